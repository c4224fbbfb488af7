"""Pictures of more than 8 bits a channel, brought to 8 by the range that their values really fill.

Instruments write 10, 12 or 14 bits into pixels of 16, and programs write 8 into pixels of 32; scaled by the pixel's own
range such a picture comes out black. So the range is that of the file's own word, else the smallest of 8, 10, 12, 14
and 16 bits that holds the highest value (beyond: of 24, 31 and 32):

- TIFF: MaxSampleValue (281, or 341 in other units than bytes), else BitsPerSample (258) where it is not the pixel's.
- PNG: sBIT says that only n bits count. By the PNG specification these are the *upper* ones, so the range is the whole;
  where values lie below 2^n and have lower bits, the writer meant the lower ones.
- PGM and JPEG 2000 state their highest value, and Pillow has scaled by it already; but where that is the highest of 16
  bits, it is only the pixel's.
- Floating-point pixels reach from 0 to 1 where none is higher, else as whole numbers do.

A picture that is black in its own range stays black, and one that is only dark in true 16 bits (no value above 16383)
is made brighter: nothing in the file tells it from 14 bits. Every scaling that goes by values and not by the pixel's
range is told in words.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    import numpy as np

BITS = (8, 10, 12, 14, 16, 24, 31, 32)
STATED = {"PPM", "JPEG2000"}  # formats whose pixels Pillow has already scaled to 16 bits
BITS_PER_SAMPLE, MAX_SAMPLE_VALUES, SAMPLE_FORMAT, UNSIGNED = 258, (281, 341), 339, 1
_OTHER_BYTE = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if struct.pack("=H", 1)[0] else ";16L"}


def is_deep(picture: Image.Image) -> bool:
    """Whether an opened picture has more than 8 bits a channel in its file, also where Pillow calls it RGB."""
    return picture.mode == "F" or picture.mode.startswith("I") or _rawmode(picture)[-4:] in _OTHER_BYTE


def to_eight_bits(picture: Image.Image) -> tuple[Image.Image, str | None]:
    """A deep picture that was opened from a file, with 8 bits a channel, and in words how its values were scaled.

    Nothing is said where the range was the pixel's own. Raises `ValueError` for pixels that are not finite, or are
    floating-point numbers below 0 or beyond 16 bits, which have no known range.
    """
    import numpy as np

    if picture.mode == "F":
        return _floats(np.asarray(picture))
    if not picture.mode.startswith("I"):
        return _colours(picture)
    unscaled = _rawmode(picture)[-4:] in _OTHER_BYTE  # a PGM as it stands in the file; lost when the pixels are read
    values = np.asarray(picture)
    if picture.mode == "I" and _tag(picture, SAMPLE_FORMAT, UNSIGNED) == UNSIGNED and picture.format == "TIFF":
        values = values.view(np.uint32)  # Pillow takes them for signed
    lowest, highest = int(values.min()), int(values.max())
    # JPEG 2000 of fewer than 15 bits was scaled by shifting, which leaves the lowest two bits empty
    scaled = not (unscaled if picture.format == "PPM" else (values & 3).any())
    bits = 16 if picture.format in STATED and scaled else _bits(picture, values, highest)
    if bits == 16 and lowest >= 0:
        return Image.fromarray(_scaled(values, 2**16 - 1)), None
    below = ", those below 0 as 0" if lowest < 0 else ""
    return Image.fromarray(_scaled(values, 2**bits - 1)), f"{_in_words('grey', bits, highest)}{below}."


def bits_of(highest: int) -> int:
    """The smallest usual number of bits that holds this value; 16, which leaves black as it is, for 0."""
    return next((bits for bits in BITS if highest < 2**bits), BITS[-1]) if highest > 0 else 16


def _bits(picture: Image.Image, values: np.ndarray, highest: int) -> int:
    """How many bits the values of this picture have: as the file says, never too few for the highest, or by that."""
    stated = _significant_bits_of_png(picture, values, highest) if picture.format == "PNG" else _stated_bits(picture)
    return max(stated, bits_of(highest) if highest else 0) if stated else bits_of(highest)


def _in_words(what: str, bits: int, highest: float) -> str:
    reached = highest if isinstance(highest, int) else f"{highest:g}"
    return f"its {what} values reach {reached} and were read as {bits}-bit ones, from 0 to {2**bits - 1}"


def _scaled(values: np.ndarray, top: int) -> np.ndarray:
    """Whole numbers from 0 to `top` as 8-bit ones, rounded to the nearest."""
    import numpy as np

    if top >= 2**16:
        return np.rint(np.clip(values, 0, top) * (255 / top)).astype(np.uint8)
    table = ((np.arange(top + 1, dtype=np.int64) * 255 + top // 2) // top).astype(np.uint8)
    return table[np.clip(values, 0, top)]


def _floats(values: np.ndarray) -> tuple[Image.Image, str | None]:
    import numpy as np

    lowest, highest = float(values.min()), float(values.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ValueError("its pixels are floating-point numbers, and not all of them are finite")
    if lowest < 0 or highest > 2**16 - 1:
        raise ValueError("its pixels are floating-point numbers without a known range")
    if highest == 0:
        return Image.new("L", values.shape[::-1]), None
    if highest <= 1:
        top, said = 1, "its grey values are floating-point numbers and were read as shares from 0 to 1"
    else:
        bits = bits_of(int(np.ceil(highest)))
        top, said = 2**bits - 1, _in_words("grey", bits, highest)
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8)), f"{said}."


def _colours(picture: Image.Image) -> tuple[Image.Image, str | None]:
    """A picture of which Pillow keeps the upper byte of each 16-bit value; the lower ones are read where they count."""
    import numpy as np

    upper = np.asarray(picture)
    colours = slice(0, 3)  # not the opacity
    if picture.mode not in ("RGB", "RGBA") or upper[..., colours].max() > (2**14 - 1) >> 8:
        return picture, None
    with Image.open(picture.filename) as again:
        rawmode = _rawmode(again)
        if rawmode[:-4] != picture.mode:  # grey with opacity, whose lower bytes Pillow cannot read
            lower = np.zeros_like(upper)
        else:
            _set_rawmode(again, rawmode[:-4] + _OTHER_BYTE[rawmode[-4:]])
            lower = np.asarray(again)
    values = upper[..., colours].astype(np.uint16) << 8 | lower[..., colours]
    highest = int(values.max())
    bits = _bits(picture, values, highest)
    if bits == 16:
        return picture, None
    found = upper.copy()
    found[..., colours] = _scaled(values, 2**bits - 1)
    return Image.fromarray(found), f"{_in_words('colour', bits, highest)}."


def _rawmode(picture: Image.Image) -> str:
    """How a file stores the pixels of an opened picture, as Pillow's decoders name it; empty where it is not said."""
    if not getattr(picture, "tile", None):
        return ""
    args = picture.tile[0][3]
    found = args[0] if isinstance(args, tuple) and args else args
    return found if isinstance(found, str) else ""


def _set_rawmode(picture: Any, rawmode: str) -> None:
    """Let an opened picture be decoded in another way than its file says."""
    picture.tile = [
        one._replace(args=(rawmode, *one.args[1:]) if isinstance(one.args, tuple) else rawmode) for one in picture.tile
    ]


def _stated_bits(picture: Image.Image) -> int | None:
    """The bits of a value that the file itself states; None where it only states the pixel's."""
    for tag in MAX_SAMPLE_VALUES:
        highest = _tag(picture, tag)
        if isinstance(highest, int) and highest > 0:
            return bits_of(highest)
    bits = _tag(picture, BITS_PER_SAMPLE)
    return bits if bits in BITS and bits not in (16, 32) else None


def _tag(picture: Any, tag: int, default: Any = None) -> Any:
    """The value of a TIFF's tag, of several the highest; the default where the file has none."""
    found = getattr(picture, "tag_v2", {}).get(tag, default)
    return max(found) if isinstance(found, tuple) and found else found


def _significant_bits_of_png(picture: Image.Image, values: np.ndarray, highest: int) -> int | None:
    """The bits that the values of a 16-bit PNG have, by its sBIT chunk; None where it has none."""
    path = getattr(picture, "filename", None)  # none of a picture from memory
    counting = _significant_bits(path) if path else None
    if not counting:
        return None
    upper_ones = counting >= 16 or highest >= 2**counting or not (values & (2 ** (16 - counting) - 1)).any()
    return 16 if upper_ones else counting


def _significant_bits(path: str) -> int | None:
    """What the sBIT chunk of a PNG states of its first channel (PNG specification, section 11.3.2.7)."""
    with Path(path).open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if name == b"sBIT":
                return (file.read(1) or b"\0")[0]
            if name in (b"IDAT", b"IEND"):
                return None
            file.seek(length + 4, 1)
    return None
