"""The pictures that the demo models learn from: scenes of no data set, drawn in the ways in which those are made."""

from __future__ import annotations

import random

from PIL import Image

from bitbudget.datasets.demo.scenes import Scene, draw, make_scene

# Scenes below the first seed are for evaluation, from it on for the examination during training, and from the second
# on for training: no picture is in two of them.
FIRST_HELD_OUT_SEED, FIRST_TRAINING_SEED = 700_000, 1_000_000
SMALLEST, LARGEST = 128, 320  # longest side in pixels


def training_picture(seed: int, *, with_sign: bool = False) -> tuple[Scene, Image.Image]:
    """The training scene of this seed, drawn in one of the ways in which the data set's pictures are made."""
    rng = random.Random(f"picture-{seed}")
    kind = rng.random()
    longest = rng.randint(SMALLEST, LARGEST)
    if kind < 0.08:
        scene = make_scene(seed, achromatic=True, with_sign=with_sign)
        return scene, draw(scene, longest).convert("L").convert("RGB")
    if kind < 0.16:  # a transparent background shown on white
        scene = make_scene(seed, background="white", with_sign=with_sign)
        picture = draw(scene, longest, mode="RGBA")
        paper = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        return scene, Image.alpha_composite(paper, picture).convert("RGB")
    scene = make_scene(seed, with_sign=with_sign)
    return scene, draw(scene, longest)
