"""Items: what is written is what is read, and ids are unique."""

import json

import pytest

from bitbudget.errors import UserError
from bitbudget.items import item as items
from bitbudget.items.item import ImageRef, Item


def item(key="1", image="1", source="images/1.jpg", **more):
    return Item(key, (ImageRef(image, source),), None, ("A cat.", "Ein Kätzchen."), **more)


def test_round_trip(tmp_path):
    written = [item(extra={"domain": "in-domain"}), Item("q1", (ImageRef("1", "images/1.jpg"),), "What?", ("cat",))]
    items.write(tmp_path / "items.jsonl", written)
    assert items.read(tmp_path / "items.jsonl") == written


def test_line_has_the_agreed_keys(tmp_path):
    items.write(tmp_path / "items.jsonl", [item()])
    assert json.loads((tmp_path / "items.jsonl").read_text()) == {
        "id": "1",
        "images": [{"id": "1", "source": "images/1.jpg"}],
        "question": None,
        "references": ["A cat.", "Ein Kätzchen."],
        "extra": {},
    }


def test_duplicate_item_id_is_named(tmp_path):
    with pytest.raises(UserError, match=r"items\.jsonl has the item id '1' twice"):
        items.write(tmp_path / "items.jsonl", [item(), item()])
    assert not (tmp_path / "items.jsonl").exists()


def test_several_questions_may_share_an_image_but_two_images_no_id():
    items.check([item("1"), item("2")], "x")
    with pytest.raises(UserError, match=r"image id '1' to both images/1\.jpg and images/2\.jpg"):
        items.check([item("1"), item("2", source="images/2.jpg")], "x")


@pytest.mark.parametrize("bad", ["../1", "a/b", "", ".hidden", "a b"])
def test_image_id_must_be_a_file_name(bad):
    with pytest.raises(UserError, match="cannot be a file's name"):
        items.check([item(image=bad)], "x")


@pytest.mark.parametrize("line", ['{"id": "2"}', '["id"]', '{"id":"2","images":["a"],"question":null}'])
def test_line_that_is_no_item_is_named(tmp_path, line):
    path = tmp_path / "items.jsonl"
    items.write(path, [item()])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=r"items\.jsonl, line 2, is not an item"):
        items.read(path)


def test_remote_and_local_sources():
    assert ImageRef("1", "https://example.org/1.jpg").is_remote
    assert not ImageRef("1", "/data/1.jpg").is_remote
