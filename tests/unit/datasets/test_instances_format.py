"""The reader of COCO's boxes: what it takes, and what it refuses in one sentence."""

import copy
import json

import pytest

from bitbudget.datasets import instances_format
from bitbudget.errors import UserError

GOOD = {
    "images": [
        {"id": 7, "file_name": "a.jpg", "width": 640, "height": 480},
        {"id": 3, "file_name": "b.jpg", "width": 100, "height": 200},
    ],
    "annotations": [
        {"id": 1, "image_id": 3, "category_id": 18, "bbox": [10, 20.5, 30, 40], "area": 700.25, "iscrowd": 1},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 640, 480], "segmentation": [[0, 0, 1, 1, 2, 0]]},
        {"id": 4, "image_id": 3, "category_id": 1, "bbox": [1, 2, 3, 4]},
    ],
    "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}, {"id": 1, "name": "person"}],
}


def written(tmp_path, content):
    path = tmp_path / "instances.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def read(tmp_path, content, **options):
    return instances_format.read_instances(written(tmp_path, content), lambda image: image["file_name"], **options)


def changed(change):
    content = copy.deepcopy(GOOD)
    change(content)
    return content


def box(*numbers, number=1):
    return changed(lambda c: c["annotations"][number].update(bbox=list(numbers)))


def test_boxes_go_to_their_images_in_the_order_of_the_images(tmp_path):
    first, second = read(tmp_path, GOOD)
    assert (first.id, first.images[0].source, first.question, first.references) == ("7", "a.jpg", None, ())
    # The area of a box, and no crowd, where the annotation says nothing; outlines stay behind.
    whole = {"category_id": 1, "bbox": [0.0, 0.0, 640.0, 480.0], "area": 307200.0, "iscrowd": 0}
    assert first.extra == {"width": 640, "height": 480, "objects": [whole]}
    assert second.id == "3" and (second.extra["width"], second.extra["height"]) == (100, 200)
    assert second.extra["objects"] == [
        {"category_id": 18, "bbox": [10.0, 20.5, 30.0, 40.0], "area": 700.25, "iscrowd": 1},
        {"category_id": 1, "bbox": [1.0, 2.0, 3.0, 4.0], "area": 12.0, "iscrowd": 0},
    ]


def test_categories_keep_their_order(tmp_path):
    found = instances_format.read_categories(written(tmp_path, GOOD))
    assert found == [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}]


FAULTS = {
    "needs the lists `images`, `annotations` and `categories`": lambda c: c.pop("categories"),
    r"images\[0\] has no `id`": lambda c: c["images"][0].pop("id"),
    r"images\[1\] has no `file_name`": lambda c: c["images"][1].pop("file_name"),
    r"images\[1\] has no `height`": lambda c: c["images"][1].pop("height"),
    r"images\[0\] has the size 0 x 480": lambda c: c["images"][0].update(width=0),
    r"images\[0\] has the size '640' x 480": lambda c: c["images"][0].update(width="640"),
    "image id 7 twice": lambda c: c["images"][1].update(id=7),
    r"file name '\.\./a\.jpg'": lambda c: c["images"][0].update(file_name="../a.jpg"),
    r"annotations\[2\] has no `bbox`": lambda c: c["annotations"][2].pop("bbox"),
    r"annotations\[2\] has no `category_id`": lambda c: c["annotations"][2].pop("category_id"),
    r"annotations\[0\] is not an object": lambda c: c["annotations"].__setitem__(0, [1, 2]),
    "annotation id 1 twice": lambda c: c["annotations"][2].update(id=1),
    "annotation 2 is about the image 8, which is not": lambda c: c["annotations"][1].update(image_id=8),
    "annotation 2 has the category 2, which is not": lambda c: c["annotations"][1].update(category_id=2),
    "annotation 2 has '1, 2' as its `bbox`": lambda c: c["annotations"][1].update(bbox="1, 2"),
    r"annotation 2 has \[1, 2, 3\] as its `bbox`": lambda c: c["annotations"][1].update(bbox=[1, 2, 3]),
    r"not finite in annotations\[1\]\.bbox\[3\] \(image_id 7, id 2\)": lambda c: c["annotations"][1].update(
        bbox=[1, 2, 3, float("nan")]
    ),
    r"annotation 2 has \[1, 2, 3, True\] as": lambda c: c["annotations"][1].update(bbox=[1, 2, 3, True]),
    "annotation 2 has -1 as its `area`": lambda c: c["annotations"][1].update(area=-1),
    "annotation 2 has 2 as `iscrowd`": lambda c: c["annotations"][1].update(iscrowd=2),
    r"image 7 has no annotation; .* `unannotated`": lambda c: c["annotations"].pop(1),
    r"image 9 \(and 1 more\) has no annotation": lambda c: c["images"].extend(
        {"id": key, "file_name": "c.jpg", "width": 1, "height": 1} for key in (9, 10)
    ),
    "has no annotated image": lambda c: c.update(images=[], annotations=[]),
    r"categories\[1\] has no `name`": lambda c: c["categories"][1].pop("name"),
    r"categories\[0\] has no text as its `name`": lambda c: c["categories"][0].update(name=" "),
    r"categories\[0\] has '18' as its `id`; number": lambda c: c["categories"][0].update(id="18"),
    r"categories\[0\] has -1 as its `id`; number": lambda c: c["categories"][0].update(id=-1),
    "category id 1 twice": lambda c: c["categories"][0].update(id=1),
    "lists no category": lambda c: c.update(categories=[]),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_faults_are_named_with_the_file(tmp_path, sentence):
    with pytest.raises(UserError, match=sentence) as fault:
        read(tmp_path, changed(FAULTS[sentence]))
    assert "instances.json" in str(fault.value)
    assert "\n" not in str(fault.value)


OUTSIDE = {"left": (-1.5, 0, 9, 9), "above": (0, -1.5, 9, 9), "right": (600, 0, 41.5, 9), "below": (0, 480, 9, 1.5)}


@pytest.mark.parametrize("side", OUTSIDE)
def test_a_box_outside_its_image_is_refused(tmp_path, side):
    with pytest.raises(UserError, match=r"annotation 2 has the box .* not inside image 7 of 640 x 480"):
        read(tmp_path, box(*OUTSIDE[side]))


def test_a_box_of_corners_is_noticed_where_it_leaves_the_image(tmp_path):
    with pytest.raises(UserError, match=r"\(x, y, width, height in pixels\)"):
        read(tmp_path, box(400, 300, 500, 400))


def test_a_box_may_overshoot_by_a_rounding(tmp_path):
    item = read(tmp_path, box(-0.5, -1, 641.25, 481.9))[0]
    assert item.extra["objects"][0]["bbox"] == [-0.5, -1, 641.25, 481.9]


@pytest.mark.parametrize("numbers", [(1, 1, 0, 5), (1, 1, 5, 0), (9, 9, -3, 5)])
def test_a_box_without_an_extent_is_refused(tmp_path, numbers):
    with pytest.raises(UserError, match=r"annotation 2 has a box of .* third and fourth number are width and height"):
        read(tmp_path, box(*numbers))


def test_a_published_benchmark_is_taken_as_it_is(tmp_path):
    content = box(296.65, 388.33, 1.03, 0.0)
    content["annotations"][2]["bbox"] = [0, 0, 150, 4]
    first, second = read(tmp_path, content, as_published=True)
    assert first.extra["objects"][0]["bbox"] == [296.65, 388.33, 1.03, 0.0]
    assert second.extra["objects"][1]["bbox"] == [0, 0, 150, 4]


def test_images_without_an_annotation_are_kept_or_dropped(tmp_path):
    content = changed(lambda c: c["annotations"].pop(1))
    kept = read(tmp_path, content, unannotated="keep")
    assert [item.id for item in kept] == ["7", "3"] and kept[0].extra["objects"] == []
    assert [item.id for item in read(tmp_path, content, unannotated="drop")] == ["3"]


def test_files_that_are_none(tmp_path):
    with pytest.raises(UserError, match=r"instances\.json is not valid JSON .* cut off"):
        read(tmp_path, json.dumps(GOOD)[:-20])
    with pytest.raises(UserError, match="is not in the COCO instances format"):
        read(tmp_path, [])
    with pytest.raises(UserError, match=r"none\.json does not exist"):
        instances_format.read_instances(tmp_path / "none.json", str)


def test_number_and_string_ids_that_look_alike_are_refused(tmp_path):
    with pytest.raises(UserError, match="item id '7' twice"):
        read(
            tmp_path,
            changed(lambda c: (c["images"][1].update(id="7"), [a.update(image_id="7") for a in c["annotations"][::2]])),
        )
