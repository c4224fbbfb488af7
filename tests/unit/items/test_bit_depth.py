"""Pictures of more than 8 bits a channel: what a model sees of values of 8 to 16 bits in pixels of 16 and 32."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from bitbudget.items import bit_depth
from bitbudget.items.images import UnreadableImage, prepare_image, rgb


def seen(path, tmp_path):
    """The first row as a model sees it, the channels apart where they differ, and what is said of it."""
    done = prepare_image(path, tmp_path / "out", 100)
    with Image.open(tmp_path / done["file"]) as picture:
        row = np.asarray(picture)[0]
    assert row.shape[-1] == 3
    grey = (row == row[:, :1]).all()
    return [int(v) for v in row[:, 0]] if grey else [tuple(map(int, v)) for v in row], done.get("levels")


def row_of(values, dtype):
    return np.array([values], dtype=dtype).repeat(4, axis=0)


def png(path, rows, colour, sbit=None):
    """A PNG of 16 bits by hand, grey (`colour` 0) or RGB (2): Pillow writes neither 16 bits of colour nor sBIT."""
    body = b"".join(b"\0" + np.asarray(row, dtype=">u2").tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]) // (colour + 1), len(rows), 16, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"sBIT", bytes(sbit or ())), (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    out = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks:
        if data or name != b"sBIT":
            out += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(out)
    return path


# The values, how they are stored, and the grey of each that is right: round(255 v / top).
GREYS = {
    "8 in 16 bits": ("a.png", [0, 1, 128, 255], np.uint16, [0, 1, 128, 255], "8-bit"),
    "10 in 16 bits": ("a.png", [0, 256, 512, 1023], np.uint16, [0, 64, 128, 255], "10-bit"),
    "12 in 16 bits": ("a.png", [0, 1000, 2048, 4095], np.uint16, [0, 62, 128, 255], "12-bit"),
    "12 in 16 bits, not all used": ("a.png", [0, 1000, 2048, 3000], np.uint16, [0, 62, 128, 187], "12-bit"),
    "14 in 16 bits": ("a.tif", [0, 4096, 8192, 16383], np.uint16, [0, 64, 128, 255], "14-bit"),
    "16 in 16 bits": ("a.tif", [0, 257, 25700, 65535], np.uint16, [0, 1, 100, 255], None),
    "16 in 16 bits, not all used": ("a.png", [0, 257, 16384], np.uint16, [0, 1, 64], None),
    "8 in 32 bits": ("a.tif", [0, 1, 128, 255], np.int32, [0, 1, 128, 255], "8-bit"),
    "12 in 32 bits": ("a.tif", [0, 1000, 2048, 4095], np.int32, [0, 62, 128, 255], "12-bit"),
    "16 in 32 bits": ("a.tif", [0, 257, 25700, 65535], np.int32, [0, 1, 100, 255], None),
    "24 in 32 bits": ("a.tif", [0, 2**16, 2**24 - 1], np.int32, [0, 1, 255], "24-bit"),
    "31 in 32 bits": ("a.tif", [0, 2**24, 2**31 - 1], np.int32, [0, 2, 255], "31-bit"),
    "below 0 in 32 bits": ("a.tif", [-9, 0, 128, 255], np.int32, [0, 0, 128, 255], "those below 0 as 0"),
    "shares": ("a.tif", [0.0, 0.25, 0.5, 1.0], np.float32, [0, 64, 128, 255], "shares from 0 to 1"),
    "8 bits as floats": ("a.tif", [0.0, 1.0, 128.4, 255.0], np.float32, [0, 1, 128, 255], "8-bit"),
    "12 bits as floats": ("a.tif", [0.0, 1000.0, 2048.0, 4000.0], np.float32, [0, 62, 128, 249], "12-bit"),
    "black in 16 bits": ("a.png", [0, 0], np.uint16, [0, 0], None),
    "black in 32 bits": ("a.tif", [0, 0], np.int32, [0, 0], None),
    "black as floats": ("a.tif", [0, 0], np.float32, [0, 0], None),
}


@pytest.mark.parametrize("case", GREYS)
def test_greys_are_scaled_by_what_they_hold(tmp_path, case):
    name, values, dtype, wanted, remark = GREYS[case]
    Image.fromarray(row_of(values, dtype)).save(tmp_path / name)
    found, said = seen(tmp_path / name, tmp_path)
    assert found == wanted
    assert said is None if remark is None else remark in said
    if said:
        assert said.endswith(".") and said.count(".") == 1


def test_a_tiff_of_whole_numbers_without_sign_uses_all_its_bits(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[339] = 1  # SampleFormat: unsigned
    values = row_of([0, 2**31 - 1, 2**32 - 1], np.uint32).view(np.int32)
    Image.fromarray(values).save(tmp_path / "a.tif", tiffinfo=tags)
    data = (tmp_path / "a.tif").read_bytes()
    signed = struct.pack("<HHIHH", 339, 3, 1, 2, 0)  # Pillow writes its own word over ours
    (tmp_path / "a.tif").write_bytes(data.replace(signed, struct.pack("<HHIHH", 339, 3, 1, 1, 0)))
    found, said = seen(tmp_path / "a.tif", tmp_path)
    assert found == [0, 127, 255] and "32-bit" in said


@pytest.mark.parametrize("tag", bit_depth.MAX_SAMPLE_VALUES)
@pytest.mark.parametrize(
    ("stated", "wanted"), [(65535, [0, 4, 8]), (4095, [0, 62, 125]), (3000, [0, 62, 125]), (255, [0, 62, 125])]
)
def test_a_tiff_says_how_high_its_values_reach(tmp_path, tag, stated, wanted):
    """A lower value than there is says nothing: 2000 needs 11 bits, and 12 are the next usual number."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[tag] = stated
    tags.tagtype[tag] = 3
    Image.fromarray(row_of([0, 1000, 2000], np.uint16)).save(tmp_path / "a.tif", tiffinfo=tags)
    assert seen(tmp_path / "a.tif", tmp_path)[0] == wanted


SBITS = {
    "the upper ones, as the specification has it": (12, [0, 16 * 64, 16 * 128], [0, 4, 8], None),
    "the upper ones of bright values": (12, [0, 16 * 1000, 16 * 4095], [0, 62, 255], None),
    "the lower ones, as some write": (12, [0, 1001, 2047], [0, 62, 127], "12-bit"),
    "the lower ones of a dark picture": (12, [0, 100, 201], [0, 6, 13], "12-bit"),
    "all": (16, [0, 1001, 2047], [0, 4, 8], None),
}


@pytest.mark.parametrize("case", SBITS)
def test_a_png_says_how_many_bits_count(tmp_path, case):
    bits, values, wanted, remark = SBITS[case]
    found, said = seen(png(tmp_path / "a.png", [values] * 3, 0, sbit=[bits]), tmp_path)
    assert found == wanted and (remark in said if remark else said is None)


def test_a_pgm_states_its_highest_value(tmp_path):
    """So a dark one stays as dark as it is."""
    (tmp_path / "a.pgm").write_bytes(b"P5 3 1 4095\n" + np.array([0, 100, 200], dtype=">u2").tobytes())
    assert seen(tmp_path / "a.pgm", tmp_path) == ([0, 6, 12], None)
    (tmp_path / "a.pgm").write_bytes(b"P5 3 1 4095\n" + np.array([0, 1000, 4095], dtype=">u2").tobytes())
    assert seen(tmp_path / "a.pgm", tmp_path) == ([0, 62, 255], None)


@pytest.mark.parametrize(("top", "said"), [(65535, None), (4095, "12-bit")])
def test_a_highest_value_of_16_bits_is_only_the_pixels(tmp_path, top, said):
    values = np.array([[0, 1001, 2049, 4095]], dtype=np.uint16) * (top // 4095)
    (tmp_path / "a.pgm").write_bytes(b"P5 4 1 65535\n" + values.astype(">u2").tobytes())
    grey, told = seen(tmp_path / "a.pgm", tmp_path)
    assert grey == pytest.approx([0, 62, 128, 255], abs=1) and (said or "") in (told or "")
    Image.fromarray(values.repeat(4, axis=0)).save(tmp_path / "a.jp2", irreversible=False)
    with Image.open(tmp_path / "a.jp2") as picture:
        assert (np.asarray(picture)[0] == values[0]).all()
    assert [abs(a - b) <= 1 for a, b in zip(seen(tmp_path / "a.jp2", tmp_path)[0], grey, strict=True)] == [True] * 4


@pytest.mark.parametrize(
    ("values", "wanted", "remark"),
    [
        ([(4095, 0, 0), (1000, 1000, 1000), (100, 2048, 3)], [(255, 0, 0), (62, 62, 62), (6, 128, 0)], "12-bit"),
        ([(255, 0, 1), (128, 9, 9)], [(255, 0, 1), (128, 9, 9)], "8-bit"),
        ([(0, 0, 0), (0, 0, 0)], [0, 0], None),
        ([(257 * 99, 257, 0), (0, 0, 0)], [(99, 1, 0), (0, 0, 0)], None),
    ],
)
def test_colours_have_right_values(tmp_path, values, wanted, remark):
    """Pillow itself keeps the upper byte of each value only."""
    found, said = seen(png(tmp_path / "a.png", [np.ravel(values)] * 2, 2), tmp_path)
    assert found == wanted and (remark in said and "colour" in said if remark else said is None)


@pytest.mark.parametrize("values", [[0.0, float("nan")], [0.0, float("inf")], [-1.0, 1.0], [0.0, 70000.0]])
def test_floats_without_a_known_range_are_refused(tmp_path, values):
    Image.fromarray(row_of(values, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImage, match=r"a\.tif cannot be read \(its pixels are floating-point numbers"):
        prepare_image(tmp_path / "a.tif", tmp_path / "out", 100)


def test_pictures_from_memory_are_scaled_alike(tmp_path):
    picture = Image.fromarray(row_of([0, 1000, 2048, 4095], np.uint16))
    assert np.asarray(rgb(picture))[0, :, 0].tolist() == [0, 62, 128, 255]
    picture.save(tmp_path / "a.png")
    with Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as again:
        assert np.asarray(rgb(again))[0, :, 0].tolist() == [0, 62, 128, 255]
