"""Preparing images: upright, RGB, not too long, never enlarged, and byte for byte where nothing is to do."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bitbudget.errors import UserError
from bitbudget.items import images
from bitbudget.items.images import UnreadableImage, fitted, prepare_image, prepare_images

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 160, 60), (30, 60, 210), (240, 210, 40)


def quarters(size=(96, 64)):
    """Four colours, so that no turn or reflection looks like another."""
    width, height = size
    picture = Image.new("RGB", size, RED)
    picture.paste(GREEN, (width // 2, 0, width, height // 2))
    picture.paste(BLUE, (0, height // 2, width // 2, height))
    picture.paste(YELLOW, (width // 2, height // 2, width, height))
    return picture


def corners(picture):
    width, height = picture.size
    points = ((width // 4, height // 4), (3 * width // 4, height // 4))
    points += ((width // 4, 3 * height // 4), (3 * width // 4, 3 * height // 4))
    return [picture.getpixel(p) for p in points]


def close(found, expected, within=6):
    return np.abs(np.asarray(found, dtype=int) - np.asarray(expected, dtype=int)).max() <= within


def prepared(source, tmp_path, max_side=1024):
    done = prepare_image(source, tmp_path / "out", max_side)
    with Image.open(tmp_path / done["file"]) as picture:
        picture.load()
    assert list(picture.size) == done["size"]
    assert picture.mode == "RGB"
    assert picture.getexif().get(0x0112, 1) == 1
    return done, picture


@pytest.mark.parametrize(
    ("size", "max_side", "expected"),
    [
        ((640, 480), 1024, (640, 480)),
        ((1024, 1024), 1024, (1024, 1024)),
        ((2048, 1024), 1024, (1024, 512)),
        ((1025, 3), 1024, (1024, 3)),
        ((5000, 1), 100, (100, 1)),
        ((480, 640), 320, (240, 320)),
        ((427, 640), 320, (214, 320)),
    ],
)
def test_fitted(size, max_side, expected):
    assert fitted(size, max_side) == expected


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_what_fits_is_copied_byte_for_byte(tmp_path, suffix):
    source = tmp_path / f"a.{suffix}"
    quarters().save(source)
    done, _ = prepared(source, tmp_path)
    assert done == {"file": f"out.{suffix}", "source_size": [96, 64], "size": [96, 64], "action": "copied"}
    assert (tmp_path / done["file"]).read_bytes() == source.read_bytes()


# What a viewer does for each EXIF orientation, written out by hand: where each quarter of the stored picture goes.
# Listed are the colours seen at top left, top right, bottom left, bottom right.
UPRIGHT = {
    1: (RED, GREEN, BLUE, YELLOW),
    2: (GREEN, RED, YELLOW, BLUE),  # reflected left to right
    3: (YELLOW, BLUE, GREEN, RED),  # turned by 180 degrees
    4: (BLUE, YELLOW, RED, GREEN),  # reflected top to bottom
    5: (RED, BLUE, GREEN, YELLOW),  # reflected along the main diagonal
    6: (BLUE, RED, YELLOW, GREEN),  # turned by 90 degrees clockwise
    7: (YELLOW, GREEN, BLUE, RED),  # reflected along the other diagonal
    8: (GREEN, YELLOW, RED, BLUE),  # turned by 90 degrees counter-clockwise
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("max_side", [1024, 48])
def test_exif_orientation_is_applied_to_the_pixels(tmp_path, orientation, max_side):
    source = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    quarters().save(source, quality=95, exif=exif)
    done, picture = prepared(source, tmp_path, max_side)
    upright = [64, 96] if orientation >= 5 else [96, 64]
    assert done["source_size"] == upright
    assert done["size"] == (upright if max_side == 1024 else [side // 2 for side in upright])
    assert all(close(found, wanted) for found, wanted in zip(corners(picture), UPRIGHT[orientation], strict=True))
    expected = "resized" if max_side == 48 else "copied" if orientation == 1 else "converted"
    assert done["action"] == expected


def test_orientation_of_a_png_is_applied_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    quarters().save(tmp_path / "a.png", exif=exif)
    done, picture = prepared(tmp_path / "a.png", tmp_path)
    assert done["file"] == "out.png" and done["size"] == [64, 96]
    assert corners(picture) == list(UPRIGHT[6])


def test_damaged_exif_data_does_not_spoil_a_picture(tmp_path):
    quarters().save(tmp_path / "a.jpg", exif=b"Exif\x00\x00nonsense")
    assert prepared(tmp_path / "a.jpg", tmp_path)[0]["action"] == "copied"


def test_transparency_is_shown_on_white(tmp_path):
    source = Image.new("RGBA", (40, 20), (0, 0, 0, 0))
    source.paste((200, 0, 0, 255), (0, 0, 10, 20))
    source.paste((0, 0, 200, 128), (10, 0, 20, 20))
    source.save(tmp_path / "a.png")
    done, picture = prepared(tmp_path / "a.png", tmp_path)
    assert done["file"] == "out.png" and done["action"] == "converted"
    assert picture.getpixel((5, 5)) == (200, 0, 0)
    assert close(picture.getpixel((15, 5)), (127, 127, 227), within=2)
    assert picture.getpixel((35, 5)) == (255, 255, 255)


def test_no_dark_rim_where_a_resized_picture_was_transparent(tmp_path):
    source = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    source.paste((255, 255, 255, 255), (101, 101, 299, 299))
    source.save(tmp_path / "a.png")
    _, picture = prepared(tmp_path / "a.png", tmp_path, 60)
    assert np.asarray(picture).min() == 255


def test_palette_keeps_its_colours_and_its_transparent_one_is_white(tmp_path):
    plain = quarters().quantize(4)
    plain.save(tmp_path / "a.png")
    _, picture = prepared(tmp_path / "a.png", tmp_path)
    assert corners(picture) == [RED, GREEN, BLUE, YELLOW]
    plain.save(tmp_path / "b.png", transparency=plain.getpixel((0, 0)))
    _, picture = prepared(tmp_path / "b.png", tmp_path)
    assert corners(picture) == [(255, 255, 255), GREEN, BLUE, YELLOW]


def test_resized_palette_has_mixed_colours_at_its_edges(tmp_path):
    """Resampling happens in RGB: between red and green there is neither palette noise nor a hard edge."""
    quarters((384, 256)).quantize(4).save(tmp_path / "a.png")
    _, picture = prepared(tmp_path / "a.png", tmp_path, 95)
    assert [close(c, w, 1) for c, w in zip(corners(picture), (RED, GREEN, BLUE, YELLOW), strict=True)] == [True] * 4
    assert len(picture.getcolors(4096)) > 8


def test_greyscale_becomes_three_equal_channels(tmp_path):
    ramp = Image.fromarray(np.tile(np.arange(0, 250, 10, dtype=np.uint8), (25, 1)))
    ramp.save(tmp_path / "a.png")
    _, picture = prepared(tmp_path / "a.png", tmp_path)
    assert (np.asarray(picture) == np.asarray(ramp)[:, :, None]).all()
    ramp.save(tmp_path / "a.jpg", quality=95)
    done, picture = prepared(tmp_path / "a.jpg", tmp_path)
    assert done["file"] == "out.jpg" and close(np.asarray(picture), np.asarray(ramp)[:, :, None], 12)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    levels = np.array([[0, 257, 25700, 65535]], dtype=np.uint16).repeat(4, axis=0)
    Image.fromarray(levels).save(tmp_path / "a.png")
    _, picture = prepared(tmp_path / "a.png", tmp_path)
    assert [picture.getpixel((x, 0)) for x in range(4)] == [(v, v, v) for v in (0, 1, 100, 255)]


def sixteen_bit_rgb_png(path, colour):
    """A PNG of 4 x 4 pixels with 16 bits a channel, made by hand because Pillow cannot write one."""
    rows = b"".join(b"\x00" + struct.pack(">3H", *(257 * c for c in colour)) * 4 for _ in range(4))
    out = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        out += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    path.write_bytes(out)


def test_sixteen_bit_colour_becomes_eight_bit(tmp_path):
    sixteen_bit_rgb_png(tmp_path / "a.png", RED)
    done, picture = prepared(tmp_path / "a.png", tmp_path)
    assert done["action"] == "converted" and picture.getpixel((1, 1)) == RED
    assert (tmp_path / done["file"]).read_bytes()[24] == 8  # bit depth in the header


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    quarters().convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    done, picture = prepared(tmp_path / "a.jpg", tmp_path)
    assert done["action"] == "converted"
    assert all(close(a, b, 12) for a, b in zip(corners(picture), (RED, GREEN, BLUE, YELLOW), strict=True))


def photograph(size):
    """Something like a photograph: smooth shapes, edges, and fine texture; the same each time."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(x / a + k) * np.cos(y / b - k) for k, (a, b) in enumerate(((90, 60), (17, 23), (5, 7)))]
    field = 128 + 60 * waves[0] + 35 * waves[1] + 15 * waves[2]
    field += np.where((x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 3) ** 2, 40, -10)
    channels = np.stack([field, np.roll(field, 31, axis=1), 255 - field], axis=-1)
    return Image.fromarray(np.clip(channels, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("max_side", [1000, 500, 240, 100])
def test_decoding_at_a_reduced_scale_makes_no_difference_to_speak_of(tmp_path, max_side):
    photograph((2000, 1500)).save(tmp_path / "a.jpg", quality=90)
    with Image.open(tmp_path / "a.jpg") as full:
        wanted = full.resize(fitted(full.size, max_side), Image.Resampling.LANCZOS)
    with Image.open(tmp_path / "a.jpg") as opened:
        found, _, _ = images._decoded(opened, max_side)
        assert (opened.size[0] < 2000) == (max_side <= 500)  # that the short way was taken, and only where it may be
        assert opened.size[0] >= 2 * max_side
    difference = np.abs(np.asarray(found, dtype=int) - np.asarray(wanted, dtype=int))
    assert difference.mean() < 0.5 and np.percentile(difference, 99) <= 2


def test_lossy_results_are_saved_with_full_colour_resolution(tmp_path):
    photograph((400, 300)).save(tmp_path / "a.jpg")
    done, _ = prepared(tmp_path / "a.jpg", tmp_path, 200)
    assert done["action"] == "resized" and done["size"] == [200, 150]
    with Image.open(tmp_path / done["file"]) as saved:
        assert {layer[1:3] for layer in saved.layer} == {(1, 1)}  # no channel is subsampled


def test_lossless_results_stay_lossless(tmp_path):
    photograph((400, 300)).save(tmp_path / "a.png")
    done, picture = prepared(tmp_path / "a.png", tmp_path, 200)
    wanted = photograph((400, 300)).resize((200, 150), Image.Resampling.LANCZOS)
    assert done["file"] == "out.png" and (np.asarray(picture) == np.asarray(wanted)).all()


def test_truncated_image_is_named(tmp_path):
    photograph((400, 300)).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    for max_side in (1024, 100):  # also where it would only have been copied
        with pytest.raises(UnreadableImage, match=r"cut\.jpg cannot be read \(.*truncated"):
            prepare_image(tmp_path / "cut.jpg", tmp_path / "out", max_side)
    assert not (tmp_path / "out.jpg").exists()


@pytest.mark.parametrize("damage", ["cut off", "a wrong byte"])
@pytest.mark.parametrize("max_side", [1024, 100])
def test_damaged_png_is_named(tmp_path, damage, max_side):
    photograph((400, 300)).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    if damage == "cut off":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UnreadableImage, match=r"a\.png cannot be read"):
        prepare_image(tmp_path / "a.png", tmp_path / "out", max_side)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40])
def test_what_is_no_image_is_named(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"a\.jpg cannot be read") as fault:
        prepare_image(tmp_path / "a.jpg", tmp_path / "out", 1024)
    assert "\n" not in str(fault.value)


def test_decompression_bomb_is_a_sentence(tmp_path, monkeypatch):
    Image.new("RGB", (300, 300)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40_000)
    with pytest.raises(UnreadableImage, match=r"a\.png cannot be read \(it has more than .* million pixels\)"):
        prepare_image(tmp_path / "a.png", tmp_path / "out", 1024)


def test_missing_image_is_not_counted_as_unreadable(tmp_path):
    with pytest.raises(UserError, match="does not exist") as fault:
        prepare_image(tmp_path / "gone.jpg", tmp_path / "out", 1024)
    assert not isinstance(fault.value, UnreadableImage)


def test_many_in_several_processes_are_as_one_by_one(tmp_path):
    sources = {}
    for n in range(20):
        sources[f"i{n}"] = tmp_path / f"{n}.jpg"
        quarters((96 + n, 64)).save(sources[f"i{n}"])
    sources["i7"].write_bytes(b"broken")
    alone = prepare_images(sources, tmp_path / "one", 90, threads=1)
    together = prepare_images(sources, tmp_path / "two", 90, threads=2)
    assert together[0] == alone[0] and list(together[0]) == [f"i{n}" for n in range(20) if n != 7]
    assert list(together[1]) == ["i7"]
    for entry in alone[0].values():
        assert (tmp_path / "one" / entry["file"]).read_bytes() == (tmp_path / "two" / entry["file"]).read_bytes()
