"""The COCO captions reader, and the kinds that read through it."""

import copy
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from bitbudget import registry
from bitbudget.datasets import coco2017_captions, coco_format, local_captions, nocaps, with_defaults
from bitbudget.errors import UserError

GOOD = {
    "images": [
        {"id": 7, "file_name": "a.jpg", "coco_url": "http://example.org/a.jpg", "domain": "out-domain"},
        {"id": 3, "file_name": "b.jpg", "coco_url": "http://example.org/b.jpg", "domain": "in-domain"},
    ],
    "annotations": [
        {"id": 1, "image_id": 3, "caption": "A dog.\n"},
        {"id": 2, "image_id": 7, "caption": "A  red\u2028cat."},
        {"id": 3, "image_id": 3, "caption": "One dog."},
    ],
}


def read(tmp_path, content, keep=()):
    path = tmp_path / "captions.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return coco_format.read_captions(path, lambda image: image["file_name"], keep)


def test_captions_go_to_their_images_in_the_order_of_the_images(tmp_path):
    found = read(tmp_path, GOOD, keep=("domain", "nothing"))
    assert [(i.id, i.images[0].source, i.references) for i in found] == [
        ("7", "a.jpg", ("A red cat.",)),
        ("3", "b.jpg", ("A dog.", "One dog.")),
    ]
    assert found[0].extra == {"domain": "out-domain"}


def broken(change):
    content = copy.deepcopy(GOOD)
    change(content)
    return content


FAULTS = {
    "needs the lists `images` and `annotations`": lambda c: c.pop("annotations"),
    r"images\[0\] has no `id`": lambda c: c["images"][0].pop("id"),
    r"images\[1\] has no `file_name`": lambda c: c["images"][1].pop("file_name"),
    r"annotations\[2\] has no `caption`": lambda c: c["annotations"][2].pop("caption"),
    r"annotations\[0\] is not an object": lambda c: c["annotations"].__setitem__(0, "A dog."),
    r"images\[0\] has None as its `id`": lambda c: c["images"][0].update(id=None),
    "image id 7 twice": lambda c: c["images"][1].update(id=7),
    "annotation id 1 twice": lambda c: c["annotations"][2].update(id=1),
    "annotation 2 is about the image 8": lambda c: c["annotations"][1].update(image_id=8),
    "annotation 1 has no text": lambda c: c["annotations"][0].update(caption="  "),
    r"image 7 has no caption": lambda c: c["annotations"].pop(1),
    r"file name '\.\./a\.jpg'": lambda c: c["images"][0].update(file_name="../a.jpg"),
    r"file name '/etc/a\.jpg'": lambda c: c["images"][0].update(file_name="/etc/a.jpg"),
    "lists no image": lambda c: c.update(images=[], annotations=[]),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_faults_are_named_with_the_file(tmp_path, sentence):
    with pytest.raises(UserError, match=sentence) as fault:
        read(tmp_path, broken(FAULTS[sentence]))
    assert "captions.json" in str(fault.value)
    assert "\n" not in str(fault.value)


def test_cut_off_file(tmp_path):
    with pytest.raises(UserError, match=r"captions\.json is not valid JSON"):
        read(tmp_path, json.dumps(GOOD)[:-20])


def test_number_and_string_ids_that_look_alike_are_refused(tmp_path):
    with pytest.raises(UserError, match="item id '7' twice"):
        read(
            tmp_path,
            broken(
                lambda c: (
                    c["images"][1].update(id="7"),
                    c["annotations"][0].update(image_id="7"),
                    c["annotations"][2].update(image_id="7"),
                )
            ),
        )


# ---- local-captions


@pytest.fixture
def local(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name)
    (tmp_path / "captions.json").write_text(json.dumps(GOOD))
    return {"images": str(tmp_path / "photos"), "annotations": str(tmp_path / "captions.json")}


def test_local_captions_keeps_a_copy_and_points_at_the_images(local, tmp_path):
    found = local_captions.fetch(local, tmp_path / "out", tmp_path / "partial")
    (tmp_path / "captions.json").unlink()
    items = local_captions.read_items(local, tmp_path / "out", "all")
    assert [i.images[0].source for i in items] == [str(tmp_path / "photos" / n) for n in ("a.jpg", "b.jpg")]
    assert found["revision"] == "sha256:" + found["files"]["annotations/captions.json"]


def test_local_captions_names_a_missing_image(local, tmp_path):
    (tmp_path / "photos" / "b.jpg").unlink()
    with pytest.raises(UserError, match=r"captions\.json lists b\.jpg, which is not in the image folder"):
        local_captions.fetch(local, tmp_path / "out", tmp_path / "partial")


def test_a_file_name_that_breaks_the_line_is_spelt_out(local, tmp_path):
    content = json.loads((tmp_path / "captions.json").read_text())
    content["images"][0]["file_name"] = "a\n\u200b.jpg"
    (tmp_path / "captions.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"lists 'a\\n\\u200b\.jpg', which is not in the image folder"):
        local_captions.fetch(local, tmp_path / "out", tmp_path / "partial")


def test_a_text_in_the_place_of_an_id_is_shortened(local, tmp_path):
    content = json.loads((tmp_path / "captions.json").read_text())
    content["annotations"][0]["image_id"] = "a long caption " * 500
    (tmp_path / "captions.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"annotations\[0\] has .* as its `image_id`; use .* a short string") as caught:
        local_captions.fetch(local, tmp_path / "out", tmp_path / "partial")
    assert len(str(caught.value)) < 400


def test_local_captions_names_a_missing_folder(local, tmp_path):
    with pytest.raises(UserError, match=r"image folder .*gone.* does not exist"):
        local_captions.fetch(local | {"images": str(tmp_path / "gone")}, tmp_path / "out", tmp_path / "partial")
    with pytest.raises(UserError, match=r"image folder .*captions\.json .* is no folder; name a folder"):
        local_captions.fetch(local | {"images": local["annotations"]}, tmp_path / "out", tmp_path / "partial")


# ---- coco2017-captions and nocaps, from files that stand where a download would have put them


def official_zip(partial, content):
    partial.mkdir()
    with zipfile.ZipFile(partial / coco2017_captions.ZIP, "w") as out:
        for split in ("val", "train"):
            for kind in ("captions", "instances"):
                out.writestr(f"annotations/{kind}_{split}2017.json", json.dumps(content))


def test_coco2017_reads_the_official_zip_and_addresses(tmp_path, monkeypatch):
    official_zip(tmp_path / "partial", GOOD)
    monkeypatch.setattr(coco2017_captions, "SHA256", {})
    options = with_defaults(coco2017_captions, "coco2017-captions", {})
    found = coco2017_captions.fetch(options, tmp_path / "out", tmp_path / "partial")
    kept = {"captions_val2017.json", "captions_train2017.json", "instances_val2017.json"}
    assert set(found["files"]) == {f"annotations/{name}" for name in kept}
    assert "sha256 of annotations_trainval2017.zip" in found["lock"]
    items = coco2017_captions.read_items(options, tmp_path / "out", "val")
    assert [i.images[0].source for i in items] == ["http://example.org/a.jpg", "http://example.org/b.jpg"]
    assert list((tmp_path / "partial").iterdir()) == []


def test_coco2017_refuses_other_annotations_than_the_pinned(tmp_path):
    official_zip(tmp_path / "partial", GOOD)
    options = with_defaults(coco2017_captions, "coco2017-captions", {})
    with pytest.raises(UserError, match=r"captions_val2017\.json .* is expected"):
        coco2017_captions.fetch(options, tmp_path / "out", tmp_path / "partial")
    assert list((tmp_path / "out" / "annotations").iterdir()) == []
    assert list((tmp_path / "partial").iterdir()) == []  # a broken zip is not taken up again


def test_coco2017_says_when_the_address_holds_no_zip(tmp_path):
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / coco2017_captions.ZIP).write_text("<html>")
    options = with_defaults(coco2017_captions, "coco2017-captions", {})
    with pytest.raises(UserError, match="is not the annotations zip"):
        coco2017_captions.fetch(options, tmp_path / "out", tmp_path / "partial")


def test_nocaps_keeps_the_domain(tmp_path):
    path = tmp_path / nocaps.FILE
    path.parent.mkdir()
    path.write_text(json.dumps(GOOD))
    items = nocaps.read_items({}, tmp_path, "val")
    assert [(i.extra["domain"], i.images[0].source) for i in items] == [
        ("out-domain", "http://example.org/a.jpg"),
        ("in-domain", "http://example.org/b.jpg"),
    ]


def test_image_without_address_is_named(tmp_path):
    path = tmp_path / nocaps.FILE
    path.parent.mkdir()
    path.write_text(json.dumps(broken(lambda c: c["images"][1].pop("coco_url"))))
    with pytest.raises(UserError, match="image 3 has no web address"):
        nocaps.read_items({}, tmp_path, "val")


# ---- every kind


@pytest.mark.parametrize("kind", sorted(registry.DATASETS))
def test_every_kind_keeps_the_contract(kind):
    module = registry.module_of("dataset", kind)
    assert module.TRACKS and set(module.TRACKS) <= set(registry.TRACKS)
    assert module.SPLITS is None or module.SPLITS
    assert callable(module.fetch) and callable(module.read_items)
    for name, schema in module.OPTIONS.items():
        assert schema["description"]
        assert ("default" in schema) != (name in module.REQUIRED)


def test_kinds_are_imported_without_what_only_their_work_needs():
    """Snakemake reads options and splits when it parses, in an environment with nothing but itself."""
    code = (
        "import sys\n"
        "for name in 'requests tqdm numpy PIL datasets huggingface_hub torch'.split(): sys.modules[name] = None\n"
        "from bitbudget import registry\n"
        "for kind in registry.DATASETS: registry.module_of('dataset', kind)\n"
    )
    scripts = Path(coco_format.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=scripts, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_options_are_checked_and_filled_in():
    module = registry.module_of("dataset", "demo-scenes")
    assert with_defaults(module, "demo-scenes", {"seed": 3}) == {"images": 400, "seed": 3}
    with pytest.raises(UserError, match="has no option 'sed'; its options are: images, seed"):
        with_defaults(module, "demo-scenes", {"sed": 3})
    with pytest.raises(UserError, match="needs the option 'images'"):
        with_defaults(local_captions, "local-captions", {})
