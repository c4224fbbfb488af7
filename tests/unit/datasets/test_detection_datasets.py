"""The kinds of data sets with boxes, from files that stand where a download would have put them."""

import copy
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from test_instances_format import GOOD

from bitbudget.datasets import coco2017, coco2017_detection, demo_boxes, local_detection, with_defaults
from bitbudget.errors import UserError

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
NAMES = ["annotations/instances_val2017.json", "annotations/instances_train2017.json"]


# ---- local-detection


@pytest.fixture
def local(tmp_path):
    (tmp_path / "photos").mkdir()
    for entry in GOOD["images"]:
        Image.new("RGB", (entry["width"], entry["height"])).save(tmp_path / "photos" / entry["file_name"])
    (tmp_path / "boxes.json").write_text(json.dumps(GOOD))
    given = {"images": str(tmp_path / "photos"), "annotations": str(tmp_path / "boxes.json")}
    return with_defaults(local_detection, "local-detection", given)


def test_local_detection_keeps_a_copy_and_points_at_the_images(local, tmp_path):
    found = local_detection.fetch(local, tmp_path / "out", tmp_path / "partial")
    (tmp_path / "boxes.json").unlink()
    items = local_detection.read_items(local, tmp_path / "out", "all")
    assert [i.images[0].source for i in items] == [str(tmp_path / "photos" / n) for n in ("a.jpg", "b.jpg")]
    assert found["revision"] == "sha256:" + found["files"]["annotations/instances.json"]
    categories = local_detection.read_categories(local, tmp_path / "out")
    assert [one["name"] for one in categories] == ["dog", "person"]


def test_local_detection_names_what_is_missing(local, tmp_path):
    out, partial = tmp_path / "out", tmp_path / "partial"
    (tmp_path / "photos" / "b.jpg").unlink()
    with pytest.raises(UserError, match=r"boxes\.json lists b\.jpg, which is not in the image folder"):
        local_detection.fetch(local, out, partial)
    with pytest.raises(UserError, match=r"image folder .*gone.* does not exist"):
        local_detection.fetch(local | {"images": str(tmp_path / "gone")}, out, partial)


def test_what_an_unannotated_image_means_is_the_users_to_say(local, tmp_path):
    out, partial = tmp_path / "out", tmp_path / "partial"
    content = copy.deepcopy(GOOD)
    del content["annotations"][1]
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    assert local["unannotated"] == "refuse"
    with pytest.raises(UserError, match=r"boxes\.json: image 7 has no annotation"):
        local_detection.fetch(local, out, partial)
    (tmp_path / "photos" / "a.jpg").unlink()  # one that is dropped need not be there
    for answer, ids in (("drop", ["3"]), ("keep", ["7", "3"])):
        options = local | {"unannotated": answer}
        if answer == "keep":
            with pytest.raises(UserError, match=r"lists a\.jpg"):
                local_detection.fetch(options, out, partial)
        else:
            local_detection.fetch(options, out, partial)
        assert [item.id for item in local_detection.read_items(options, out, "all")] == ids


# ---- coco2017-detection


@pytest.fixture
def official():
    """As the official file has it: addresses, an image that shows nothing, a box without height."""
    content = copy.deepcopy(GOOD)
    content["images"].append({"id": 9, "file_name": "c.jpg", "width": 10, "height": 10})
    for entry in content["images"]:
        entry["coco_url"] = f"http://example.org/{entry['file_name']}"
    content["annotations"][1]["bbox"] = [296.65, 388.33, 1.03, 0.0]
    return content


def archive(partial, content):
    partial.mkdir()
    with zipfile.ZipFile(partial / coco2017.ZIP, "w") as out:
        for name in (*NAMES, "annotations/captions_val2017.json"):
            out.writestr(name, json.dumps(content))


def test_coco2017_keeps_the_instances_of_the_official_zip(official, tmp_path):
    archive(tmp_path / "partial", official)
    options = with_defaults(coco2017_detection, "coco2017-detection", {})
    found = coco2017_detection.fetch(options, tmp_path / "out", tmp_path / "partial")
    assert sorted(found["files"]) == sorted(NAMES)
    assert {path.name for path in (tmp_path / "out/annotations").iterdir()} == {Path(name).name for name in NAMES}
    assert set(found["lock"]) == {f"sha256 of {Path(name).name}" for name in NAMES} | {f"sha256 of {coco2017.ZIP}"}
    assert list((tmp_path / "partial").iterdir()) == []
    items = coco2017_detection.read_items(options, tmp_path / "out", "train")
    assert [item.images[0].source for item in items] == [f"http://example.org/{c}.jpg" for c in "abc"]
    assert items[0].extra["objects"][0]["bbox"][3] == 0
    assert items[2].extra["objects"] == []
    assert coco2017_detection.read_categories(options, tmp_path / "out")[0] == {"id": 18, "name": "dog"}


def test_coco2017_names_an_image_without_address(official, tmp_path):
    del official["images"][1]["coco_url"]
    archive(tmp_path / "partial", official)
    options = with_defaults(coco2017_detection, "coco2017-detection", {})
    coco2017_detection.fetch(options, tmp_path / "out", tmp_path / "partial")
    with pytest.raises(UserError, match="image 3 has no web address"):
        coco2017_detection.read_items(options, tmp_path / "out", "val")


def test_coco2017_says_when_the_zip_is_another(tmp_path):
    (tmp_path / "partial").mkdir()
    with zipfile.ZipFile(tmp_path / "partial" / coco2017.ZIP, "w") as out:
        out.writestr("annotations/other.json", "{}")
    options = with_defaults(coco2017_detection, "coco2017-detection", {})
    with pytest.raises(UserError, match="is not the annotations zip of COCO 2017"):
        coco2017_detection.fetch(options, tmp_path / "out", tmp_path / "partial")


# ---- demo-boxes, and the subset with its categories


def test_a_subset_of_boxes_knows_its_categories(tmp_path):
    def script(name, *arguments):
        call = [sys.executable, SCRIPTS / f"{name}.py", *arguments]
        done = subprocess.run([str(one) for one in call], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    spec = {"kind": "demo-boxes", "options": {"images": 25, "seed": 1}}
    script("fetch_dataset", "--dataset", "d", "--spec", json.dumps(spec), "--out", "d")
    spec |= {"dataset": "d", "split": "val", "seed": 53, "subset": 12}
    script(
        "select_subset", "--dataset-dir", "d", "--spec", json.dumps(spec), "--study", "s",
        "--out-subset", "subset.json", "--out-items", "items.jsonl",
    )  # fmt: skip
    subset = json.loads((tmp_path / "subset.json").read_text())
    assert [one["id"] for one in subset["categories"]] == list(range(1, len(subset["categories"]) + 1))
    assert {"circle", "square"} <= {one["name"] for one in subset["categories"]}
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert len(items) == 12
    for item in items:
        assert item["extra"]["objects"] and item["references"] == [] and item["question"] is None
        with Image.open(tmp_path / "d" / item["images"][0]["source"]) as picture:
            turned = picture.getexif().get(0x0112, 1) >= 5
            size = picture.size[::-1] if turned else picture.size
        assert size == (item["extra"]["width"], item["extra"]["height"])  # of the upright picture


def test_a_subset_without_an_object_is_refused_before_a_model_runs(tmp_path):
    def script(name, *arguments):
        call = [sys.executable, SCRIPTS / f"{name}.py", *arguments]
        return subprocess.run([str(one) for one in call], cwd=tmp_path, capture_output=True, text=True, check=False)

    for name in ("1", "2"):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{name}.png")
    images = [{"id": n, "file_name": f"{n}.png", "width": 9, "height": 9} for n in (1, 2)]
    boxes = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "7"}]}
    (tmp_path / "i.json").write_text(json.dumps(content))
    (tmp_path / "ids.txt").write_text("2\n")
    spec = {"kind": "local-detection", "options": {"images": ".", "annotations": "i.json", "unannotated": "keep"}}
    done = script("fetch_dataset", "--dataset", "d", "--spec", json.dumps(spec), "--out", "d")
    assert done.returncode == 0, done.stderr
    spec |= {"dataset": "mine", "split": "all", "seed": 53, "subset": {"ids": "ids.txt"}}
    chosen = ("--dataset-dir", "d", "--study", "s", "--out-subset", "subset.json", "--out-items", "items.jsonl")
    done = script("select_subset", *chosen, "--spec", json.dumps(spec))
    assert done.returncode == 1 and done.stderr.startswith("error: none of the 1 chosen images of mine shows an object")
    assert script("select_subset", *chosen, "--spec", json.dumps(spec | {"subset": 2})).returncode == 0


def test_demo_boxes_are_those_of_the_scenes(tmp_path):
    found = demo_boxes.fetch({"images": 3, "seed": 1}, tmp_path, tmp_path)
    assert found["revision"] == "scenes-1-seed-1-images-3"
    drawn = json.loads((tmp_path / "annotations/instances_val.json").read_text())
    items = demo_boxes.read_items({}, tmp_path, "val")
    boxes = [one["bbox"] for item in items for one in item.extra["objects"]]
    assert boxes == [one["bbox"] for one in drawn["annotations"]]
