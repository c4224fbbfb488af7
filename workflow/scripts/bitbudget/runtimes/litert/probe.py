"""Pictures that every detector is tried on: always the same, and nobody's photograph."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

NAME = "a drawn test picture"


def picture() -> Image.Image:
    """Soft coloured patches, RGB, 640 x 480 pixels: edges, plain areas and all brightnesses."""
    patches = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((640, 480), Image.Resampling.BICUBIC)


def pictures() -> list[Image.Image]:
    """The picture, its mirror image, upside down, and its negative."""
    one = picture()
    return [one, ImageOps.mirror(one), ImageOps.flip(one), ImageOps.invert(one)]
