"""The pictures of the generated sets: drawn scenes in files of every odd form that real sets have.

Of every 25 pictures two each are a greyscale JPEG, a palette PNG, a PNG with a transparent background, and a JPEG that
is stored turned and says so in its EXIF orientation; the rest are RGB JPEGs. Longest sides go from 320 to 1600 pixels.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitbudget import files

# The form of each of 25 pictures in turn, so that even a small set has every form.
FORMS = {3: "grey", 9: "palette", 12: "turned", 15: "grey", 6: "alpha", 18: "alpha", 21: "palette", 24: "turned"}
# How the stored file of each EXIF orientation comes from the upright picture (names of `Image.Transpose`).
STORED = {3: "ROTATE_180", 6: "ROTATE_90", 8: "ROTATE_270"}
DRAWN_FULLY = 1024  # longer pictures are drawn at half their size and enlarged: four times as fast
LICENCE = {"id": 1, "name": "CC0 1.0 Universal", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}


@dataclass(frozen=True)
class Picture:
    """One file to draw: `longest` is the longest side in pixels, `orientation` the EXIF tag (1: none)."""

    number: int
    scene_seed: int
    form: str
    longest: int
    orientation: int
    with_sign: bool = False

    @property
    def file_name(self) -> str:
        """`000001.jpg`, or `.png` for palette and alpha."""
        return f"{self.number:06d}.{'png' if self.form in ('palette', 'alpha') else 'jpg'}"


def picture(index: int, number: int, scene_seed: int, rng: random.Random, *, with_sign: bool = False) -> Picture:
    """What to draw at this place of a set: the place decides the form, `rng` the size and the turn of a turned one."""
    form = FORMS.get(index % 25, "plain")
    longest, orientation = rng.randint(320, 1600), rng.choice(tuple(STORED))
    return Picture(number, scene_seed, form, longest, orientation if form == "turned" else 1, with_sign)


def scene_of(picture: Picture) -> Any:
    """The scene that a picture shows: without colours in greyscale, on white where the background is transparent."""
    from bitbudget.datasets.demo import scenes

    background = "white" if picture.form == "alpha" else None
    return scenes.make_scene(
        picture.scene_seed, achromatic=picture.form == "grey", background=background, with_sign=picture.with_sign
    )


def empty_folders(folders: Iterable[Path]) -> None:
    """Make the folders, without the pictures of an earlier size or seed of the set."""
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)


def save(scene: Any, picture: Picture, path: Path) -> tuple[int, int]:
    """Draw the scene into a file of the picture's form; width and height in pixels of the upright picture."""
    from PIL import Image

    from bitbudget.datasets.demo import scenes

    size = scenes.size_of(scene, picture.longest)
    large = picture.longest > DRAWN_FULLY
    mode = "RGBA" if picture.form == "alpha" else "RGB"
    drawn = scenes.draw(scene, picture.longest // 2 if large else picture.longest, mode=mode)
    if large:
        drawn = drawn.resize(size, Image.Resampling.NEAREST)  # adds no colours: a palette still holds them all
    with files.written_whole(path) as temporary:
        if picture.form == "palette":
            drawn.quantize(256, dither=Image.Dither.NONE).save(temporary)
        elif picture.form == "alpha":
            drawn.save(temporary)
        elif picture.form == "grey":
            drawn.convert("L").save(temporary, quality=92)
        elif picture.form == "turned":
            exif = Image.Exif()
            exif[0x0112] = picture.orientation
            drawn.transpose(Image.Transpose[STORED[picture.orientation]]).save(temporary, quality=92, exif=exif)
        else:
            drawn.save(temporary, quality=92)
    return size
