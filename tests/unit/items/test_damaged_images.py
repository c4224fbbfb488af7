"""Damaged pictures of every format: each is read or told in one sentence, quickly and in little memory."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from config_folder import ROOT, is_one_sentence
from PIL import Image

from bitbudget.errors import UserError
from bitbudget.items.images import UnreadableImage, prepare_image

PYTHON = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "scripts")}


def test_damage_of_any_kind_is_a_word_on_one_picture(tmp_path):
    fuzz = [sys.executable, str(Path(__file__).parents[1] / "helpers" / "fuzz_images.py"), str(tmp_path), "7", "3000"]
    done = subprocess.run(fuzz, env=PYTHON, capture_output=True, text=True, timeout=900, check=True)
    said = json.loads(done.stdout)
    assert not said["tracebacks"], next(iter(said["tracebacks"].items()))
    assert said["outcomes"]["read"] > 300 and said["outcomes"]["unreadable"] > 300
    assert {"JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "DDS"} <= set(said["formats"])
    assert said["peak_mib"] < 1500 and said["slowest"] < 30


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("Failed to decode frame 0: Decoding of color planes failed"),
        TypeError("Missing dimensions"),
        NotImplementedError("Unknown pixel format flags 512"),
        RecursionError("maximum recursion depth exceeded"),
        ZeroDivisionError("division by zero"),
        AssertionError(),
        KeyError(3),
    ],
)
def test_any_exception_of_a_decoder_is_an_unreadable_image(tmp_path, monkeypatch, fault):
    def broken(*_, **__):
        raise fault

    (tmp_path / "a.avif").write_bytes(b"something")
    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(UnreadableImage, match=r"the image .*a\.avif cannot be read") as caught:
        prepare_image(tmp_path / "a.avif", tmp_path / "out", 40)
    assert is_one_sentence(str(caught.value))


def test_a_lack_of_memory_is_no_word_on_the_picture_and_an_interruption_interrupts(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"something")

    def lacking(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Image, "open", lacking)
    with pytest.raises(UserError, match=r"the memory ran out while the image .*a\.png was read") as caught:
        prepare_image(tmp_path / "a.png", tmp_path / "out", 40)
    assert not isinstance(caught.value, UnreadableImage)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_image(tmp_path / "a.png", tmp_path / "out", 40)


def bmp(width, height):
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def tiff(width, height):
    tags = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 1))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


CLAIMS = {
    "a.bmp": bmp,
    "a.tif": tiff,
    "a.ppm": lambda width, height: f"P6 {width} {height} 255\n".encode(),
    "a.gif": lambda width, height: b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b";",
    "a.png": lambda width, height: b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(9),
    "a.qoi": lambda width, height: b"qoif" + struct.pack(">IIBB", width, height, 3, 0),
    "a.tga": lambda width, height: struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, width, height, 24, 0),
}


@pytest.mark.parametrize("size", [(60000, 60000), (0, 5), (5, 0), (13000, 13000)])
@pytest.mark.parametrize("name", CLAIMS)
def test_sizes_that_are_none_or_giant_are_one_sentence(tmp_path, name, size):
    (tmp_path / name).write_bytes(CLAIMS[name](*size))
    with pytest.raises(UnreadableImage, match=rf"the image .*{name} cannot be read") as caught:
        prepare_image(tmp_path / name, tmp_path / "out", 40)
    assert is_one_sentence(str(caught.value))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0", b"Exif\0\0" + b"\xff" * 40, b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"x"]
)
def test_damaged_tags_and_profiles_do_not_matter(tmp_path, form, exif):
    picture = Image.linear_gradient("L").resize((32, 24)).convert("RGB")
    about = {} if form == "TIFF" else {"exif": b"Exif\0\0" + exif}
    picture.save(tmp_path / "a", form, icc_profile=b"no profile at all", quality=95, **about)
    done = prepare_image(tmp_path / "a", tmp_path / "out", 100)
    with Image.open(tmp_path / done["file"]) as found:
        difference = np.abs(np.asarray(found.convert("RGB"), dtype=int) - np.asarray(picture, dtype=int))
    assert difference.max() <= 4


def test_damaged_images_are_left_out_where_the_study_says_so(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "whole.png")
    (tmp_path / "cut.dds").write_bytes(b"DDS " + struct.pack("<I", 124) + bytes(120))
    (tmp_path / "cut.tif").write_bytes(tiff(90, 90))
    sources = {name: {"path": str(tmp_path / name), "sha256": ""} for name in ("whole.png", "cut.dds", "cut.tif")}
    (tmp_path / "sources.json").write_text(json.dumps({"images": sources}))

    def resize(on_corrupt):
        command = ["resize_images.py", "--study", "s", "--sources", "sources.json", "--out", "images.json"]
        command += ["--out-dir", "images", "--spec", json.dumps({"max_side": 40, "on_corrupt": on_corrupt})]
        script = [sys.executable, str(ROOT / "workflow" / "scripts" / command[0]), *command[1:]]
        return subprocess.run(script, cwd=tmp_path, env=PYTHON, capture_output=True, text=True, check=False)

    failed = resize("fail")
    assert failed.returncode == 1 and "Traceback" not in failed.stderr
    assert "2 of 3 images cannot be read" in failed.stderr and "cut.dds" in failed.stderr
    done = resize("skip")
    assert done.returncode == 0 and "left out cut.tif: the image" in done.stderr
    record = json.loads((tmp_path / "images.json").read_text())
    assert list(record["images"]) == ["whole.png"]
    assert [one["id"] for one in record["skipped"]] == ["cut.dds", "cut.tif"]
    assert all(one["id"] in one["reason"] for one in record["skipped"])
