"""Images as models see them: upright, RGB, 8 bit, no longer than the study says, and never enlarged.

A file that is all that already goes through byte for byte. Colour profiles are not applied, as in the image processors
of `transformers`.
"""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.items import bit_depth
from bitbudget.system import parallel

ORIENTATION = 0x0112  # EXIF tag
Turn = Image.Transpose
UPRIGHT = {  # what makes a picture of each EXIF orientation upright; 1, and anything else, is upright already
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_270,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_90,
}
ACROSS = {Turn.TRANSPOSE, Turn.TRANSVERSE, Turn.ROTATE_90, Turn.ROTATE_270}  # width and height change places
LOSSY = {"JPEG", "MPO", "WEBP", "AVIF", "JPEG2000"}  # formats whose pixels are an approximation already
COPIED = {"JPEG": ".jpg", "PNG": ".png"}


class UnreadableImage(UserError):
    """An image that cannot be decoded. A study may choose to skip such images."""


def fitted(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """Width and height with the longest side at most `max_side`, in proportion and never enlarged (all in pixels)."""
    longest = max(size)
    if longest <= max_side:
        return size
    width, height = (max(1, math.floor(side * max_side / longest + 0.5)) for side in size)
    return width, height


def prepare_image(source: Path, target_stem: Path, max_side: int) -> dict[str, Any]:
    """Write the image as a model shall see it to `target_stem` plus `.jpg` or `.png`.

    Lossy sources become JPEG (quality 95, 4:4:4), lossless ones PNG; a plain RGB JPEG or PNG that fits is copied.
    Returns `{file, source_size, size, action}`: the file's name, width and height in pixels of the upright source and
    of the result, and `copied`, `converted` or `resized`; and with them `levels`, how values of more than 8 bits were
    scaled, where the pixel's own range would not do. Raises `UnreadableImage` for a file that cannot be decoded.
    """
    if not source.is_file():
        raise UserError(f"the image {source} does not exist; fetch it again.")
    with decoding(source), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of tags that are damaged and large pictures
        with Image.open(source) as picture:
            result, upright, file_format = _decoded(picture, max_side)
    if result is None:
        suffix, action = COPIED[file_format], "copied"
    else:
        suffix = ".jpg" if file_format in LOSSY else ".png"
        action = "converted" if result.size == upright else "resized"
    target = target_stem.with_name(target_stem.name + suffix)
    with files.written_whole(target) as temporary:
        if result is None:
            shutil.copyfile(source, temporary)
        elif suffix == ".jpg":
            result.save(temporary, "JPEG", quality=95, subsampling=0)
        else:
            result.save(temporary, "PNG")
    size = upright if result is None else result.size
    done = {"file": target.name, "source_size": list(upright), "size": list(size), "action": action}
    return done | (result.info if result else {})


@contextmanager
def decoding(source: Path) -> Iterator[None]:
    """Let whatever a decoder raises of this file in the block be an `UnreadableImage` that names it.

    A damaged file can bring any exception out of a decoder, and which ones is not written anywhere. Only a lack of
    memory is no word on the file; it becomes a `UserError` that no study skips.
    """
    try:
        yield
    except UserError:
        raise
    except MemoryError:
        raise UserError(
            f"the memory ran out while the image {source} was read; give the run fewer cores, or remove the image."
        ) from None
    except Exception as fault:
        raise UnreadableImage(f"the image {source} cannot be read ({_reason(fault)}); replace or remove it.") from None


def _decoded(picture: Image.Image, max_side: int) -> tuple[Image.Image | None, tuple[int, int], str]:
    """The result (None: the file will do as it is), the upright source's size, and the source's format.

    How values of more than 8 bits were scaled stands in the result's `info` under "levels".
    """
    file_format = picture.format or ""
    deep = bit_depth.is_deep(picture)
    if file_format == "PNG":
        picture.load()  # a PNG's EXIF data may stand behind its pixels
    turn = _turn(picture)
    across = turn in ACROSS
    upright = picture.size[::-1] if across else picture.size
    target = fitted(picture.size, max_side)
    fits = file_format in COPIED and picture.mode == "RGB" and not deep and turn is None and target == picture.size
    if fits and not picture.has_transparency_data and getattr(picture, "n_frames", 1) == 1:
        picture.load()  # finds out whether it is whole
        return None, upright, file_format
    box = None  # the part of the decoded picture that shows the source
    if file_format == "JPEG" and target != picture.size:
        # The decoder halves the picture as often as it stays at least twice as large as wanted: the resampling filter
        # then still sees all the detail that it would keep, and decoding is several times as fast.
        # Sides that do not divide evenly leave a last row or column that is filled only in part: `box` leaves it out.
        drafted = picture.draft(None, (2 * target[0], 2 * target[1]))
        box = drafted[1] if drafted else None
    shallow, said = bit_depth.to_eight_bits(picture) if deep else (picture, None)
    result = rgb(shallow)
    if result.size != target:
        result = result.resize(target, Image.Resampling.LANCZOS, box)
    if turn is not None:
        result = result.transpose(turn)  # after resizing, when there is less to turn
    if result is picture:
        result = picture.copy()
    result.info.clear()  # a profile or a tag of the source does not describe the result
    result.info |= {"levels": said} if said else {}
    return result, upright, file_format


def _turn(picture: Image.Image) -> Image.Transpose | None:
    try:
        return UPRIGHT.get(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF data: the picture itself may be whole
        return None


def rgb(picture: Image.Image) -> Image.Image:
    """The picture in RGB with 8 bits: transparency on white, deep greys by `bit_depth`, others as by Pillow.

    Raises `ValueError` for floating-point pixels without a known range.
    """
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture, _ = bit_depth.to_eight_bits(picture)
    if picture.has_transparency_data:
        see_through = picture.convert("RGBA")
        paper = Image.new("RGBA", see_through.size, "white")
        return Image.alpha_composite(paper, see_through).convert("RGB")
    if picture.mode == "RGB":
        picture.load()
        return picture
    return picture.convert("RGB")


def _reason(fault: BaseException) -> str:
    if isinstance(fault, Image.DecompressionBombError):
        return f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels"
    if isinstance(fault, Image.UnidentifiedImageError):
        return "it is no image, or in no format that Pillow knows"
    return (str(fault).strip().split("\n")[0].rstrip(".") or type(fault).__name__)[:200]


def _try(job: tuple[str, Path], folder: Path, max_side: int) -> tuple[str, dict[str, Any] | str]:
    key, source = job
    try:
        return key, prepare_image(source, folder / key, max_side)
    except UnreadableImage as fault:
        return key, str(fault)


def prepare_images(
    sources: dict[str, Path], folder: Path, max_side: int, *, threads: int | None = None
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Prepare all images (id to source) into `folder`, in at most `threads` processes.

    Returns what `prepare_image` says of each that could be read, and the sentence of each that could not. Raises
    `UserError` where a process ended that read one.
    """
    done: dict[str, dict[str, Any]] = {}
    unreadable: dict[str, str] = {}
    one = partial(_try, folder=folder, max_side=max_side)
    try:
        for key, outcome in parallel.in_order(one, list(sources.items()), threads=threads, title="images"):
            if isinstance(outcome, str):
                unreadable[key] = outcome
            else:
                done[key] = outcome
    except BrokenProcessPool:
        raise UserError(
            "a process that read images was ended from outside, most likely because the memory ran out; run the same "
            "command again with fewer cores."
        ) from None
    return done, unreadable
