"""The generated demo set: official formats, every odd kind of file, the same every time."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image, ImageOps

from bitbudget.datasets import demo_scenes
from bitbudget.datasets.demo import scenes
from bitbudget.items.images import prepare_image

OPTIONS = {"images": 25, "seed": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        found = demo_scenes.fetch(OPTIONS, folder, folder / "partial")
    return folder, found


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def test_every_form_of_file_is_there(made):
    folder, _ = made
    forms = {"L": 0, "P": 0, "RGBA": 0, "turned": 0, "RGB": 0}
    for path in (folder / "images").iterdir():
        with Image.open(path) as picture:
            turned = picture.getexif().get(0x0112, 1) in (3, 6, 8)
            forms["turned" if turned else picture.mode] += 1
    assert forms == {"L": 2, "P": 2, "RGBA": 2, "turned": 2, "RGB": 17}


def test_sizes_are_those_of_the_upright_picture_and_vary(made):
    folder, _ = made
    entries = json.loads((folder / demo_scenes.CAPTIONS).read_text())["images"]
    for entry in entries:
        with Image.open(folder / "images" / entry["file_name"]) as picture:
            assert ImageOps.exif_transpose(picture).size == (entry["width"], entry["height"])
    longest = [max(p.longest for p in demo_scenes.plan(400, 0)), min(p.longest for p in demo_scenes.plan(400, 0))]
    assert 1500 < longest[0] <= 1600 and 320 <= longest[1] < 400
    assert sum(p.longest > 1024 for p in demo_scenes.plan(400, 0)) > 120


def test_boxes_hold_the_shapes_of_the_prepared_picture(made, tmp_path):
    """Through the whole way of a picture (turned, see-through, palette …) every shape is where its box says."""
    folder, _ = made
    content = json.loads((folder / demo_scenes.INSTANCES).read_text())
    names = {c["id"]: c["name"] for c in content["categories"]}
    assert tuple(names.values()) == scenes.SHAPES
    for entry, form in zip(content["images"], demo_scenes.plan(**OPTIONS), strict=True):
        boxes = [a for a in content["annotations"] if a["image_id"] == entry["id"]]
        done = prepare_image(folder / "images" / entry["file_name"], tmp_path / str(entry["id"]), 2000)
        with Image.open(tmp_path / done["file"]) as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        background = "white" if form.form == "alpha" else None
        scene = scenes.make_scene(entry["scene_seed"], achromatic=form.form == "grey", background=background)
        assert [names[b["category_id"]] for b in boxes] == [s.shape for s in scene.shapes]
        for shape, annotation in zip(scene.shapes, boxes, strict=True):
            x, y, w, h = annotation["bbox"]
            assert x >= 0 and y >= 0 and x + w <= entry["width"] and y + h <= entry["height"]
            inside = pixels[int(y) : int(y + h) + 1, int(x) : int(x + w) + 1]
            alike = np.abs(inside - scenes.COLOURS[shape.colour]).max(axis=-1) < 12
            assert alike.mean() > 0.3, (entry, shape)
            rows, columns = np.where(alike)
            assert columns.max() - columns.min() > 0.9 * w - 3 and rows.max() - rows.min() > 0.9 * h - 3


def test_see_through_pictures_are_transparent_and_shown_on_white(made, tmp_path):
    folder, _ = made
    path = folder / "images" / "000007.png"
    with Image.open(path) as picture:
        assert picture.mode == "RGBA" and picture.getpixel((0, 0))[3] == 0
    done = prepare_image(path, tmp_path / "x", 2000)
    with Image.open(tmp_path / done["file"]) as picture:
        assert picture.getpixel((0, 0)) == (255, 255, 255)


def test_captions_are_those_of_the_scene(made):
    folder, _ = made
    for item in demo_scenes.read_items(OPTIONS, folder, "val"):
        assert len(item.references) == 5
        assert (folder / item.images[0].source).is_file()
    plain = next(i for i in demo_scenes.read_items(OPTIONS, folder, "val") if i.id == "1")
    assert list(plain.references) == scenes.captions(scenes.make_scene(plain.extra["scene_seed"]))


def test_same_options_same_bytes_and_fewer_pictures_are_the_beginning(made, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder, found = made
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "000099.jpg").write_bytes(b"of a larger set")
    fewer = demo_scenes.fetch({"images": 10, "seed": 4}, tmp_path, tmp_path / "partial")
    all_of_them, again = digests(folder / "images"), digests(tmp_path / "images")
    assert again == {name: all_of_them[name] for name in sorted(all_of_them)[:10]}
    assert fewer["revision"] != found["revision"]
    assert found["files"][demo_scenes.CAPTIONS] == digests(folder / "annotations")["captions_val.json"]


def test_scenes_are_never_those_of_training():
    assert max(p.scene_seed for p in demo_scenes.plan(10_000, 69)) < 700_000
    assert not {p.scene_seed for p in demo_scenes.plan(10_000, 0)} & {p.scene_seed for p in demo_scenes.plan(50, 1)}


def test_official_tools_read_the_boxes(made, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    folder, _ = made
    read = coco.COCO(str(folder / demo_scenes.INSTANCES))
    assert len(read.getImgIds()) == 25 and len(read.getCatIds()) == len(scenes.SHAPES)
    assert all(a["area"] > 0 for a in read.loadAnns(read.getAnnIds()))
