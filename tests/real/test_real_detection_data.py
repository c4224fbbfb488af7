"""Real COCO boxes and photographs through the readers, and what the floor scores on them."""

from pathlib import Path

import pytest
from PIL import Image

from bitbudget.datasets import coco2017_detection, instances_format, local_detection, with_defaults
from bitbudget.tracks import detection

FOLDER = Path(__file__).parents[3] / "shared" / "real" / "coco_images"
COUNTS = {"val": 25, "train": 26}

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"{FOLDER} is not there: the real files stand beside the checkout of the project"
)


def annotations(split):
    return FOLDER / "annotations" / f"instances_{split}2017.json"


@pytest.mark.parametrize("split", COUNTS)
def test_folders_of_photographs_are_local_data_sets(split, tmp_path):
    given = {"images": str(FOLDER / f"{split}2017"), "annotations": str(annotations(split))}
    options = with_defaults(local_detection, "local-detection", given)
    local_detection.fetch(options, tmp_path, tmp_path / "partial")
    items = local_detection.read_items(options, tmp_path, "all")
    assert len(items) == COUNTS[split]
    categories = local_detection.read_categories(options, tmp_path)
    assert len(categories) == 80
    assert categories[0] == {"id": 1, "name": "person"} and categories[-1] == {"id": 90, "name": "toothbrush"}
    for item in items:
        with Image.open(item.images[0].source) as photograph:
            assert photograph.size == (item.extra["width"], item.extra["height"])
        assert item.extra["objects"]


def test_official_annotations_are_read_with_their_addresses(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_val2017.json").symlink_to(annotations("val"))
    items = coco2017_detection.read_items({}, tmp_path, "val")
    assert len(items) == 25
    assert all(item.images[0].source.endswith(f"/val2017/{int(item.id):012d}.jpg") for item in items)
    assert len(coco2017_detection.read_categories({}, tmp_path)) == 80


def test_the_floor_and_the_ceiling_on_real_boxes():
    items = [item.to_dict() for item in instances_format.read_instances(annotations("val"), lambda image: "x")]
    words, blind = detection.blind_answers(items, 1)
    floor, _ = detection.score(items, blind, 1)
    right = {
        item["id"]: [
            {key: one[key] for key in ("category_id", "bbox")} | {"score": 1} for one in item["extra"]["objects"]
        ]
        for item in items
    }
    ceiling, rows = detection.score(items, right, 1)
    assert "the best constant box of each of" in words
    assert floor["AP"]["value"] < 0.2 < 0.99 < ceiling["AP"]["value"]
    assert all(row["found"] == row["objects"] for row in rows)
