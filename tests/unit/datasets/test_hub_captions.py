"""Hub-hosted sets: rows become image files and COCO captions; the rows come from a local parquet file."""

import io

import pytest
from PIL import Image

from bitbudget.datasets import hub_captions, with_defaults
from bitbudget.errors import UserError

datasets = pytest.importorskip("datasets")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def encoded(colour, file_format):
    data = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(data, file_format)
    return data.getvalue()


@pytest.fixture
def options(tmp_path, monkeypatch):
    rows = {
        "image": [{"bytes": encoded("red", "PNG"), "path": None}, {"bytes": encoded("blue", "JPEG"), "path": None}],
        "captions": [["A red field.", "Red."], ["A blue field."]],
        "key": ["r1", "b2"],
    }
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "captions": datasets.List(datasets.Value("string")),
            "key": datasets.Value("string"),
        }
    )
    (tmp_path / "hub").mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "hub" / "test.parquet")
    monkeypatch.setattr(hub_captions, "_resolve", lambda repo, revision: (revision or COMMIT, "mit"))
    own = {"repo": str(tmp_path / "hub"), "caption_column": "captions", "id_column": "key"}
    return with_defaults(hub_captions, "hub-captions", own)


def test_rows_become_files_and_captions(options, tmp_path):
    found = hub_captions.fetch(options, tmp_path / "out", tmp_path / "partial")
    assert (found["revision"], found["licence"], found["lock"]) == (COMMIT, "mit", {"revision": COMMIT})
    items = hub_captions.read_items(options, tmp_path / "out", "test")
    assert [(i.id, i.references) for i in items] == [("r1", ("A red field.", "Red.")), ("b2", ("A blue field.",))]
    first, second = (tmp_path / "out" / i.images[0].source for i in items)
    assert first.read_bytes() == encoded("red", "PNG") and first.suffix == ".png"
    assert second.read_bytes() == encoded("blue", "JPEG") and second.suffix == ".jpg"


def test_unknown_column_is_named(options, tmp_path):
    with pytest.raises(UserError, match=r"no column 'caption'.*image, captions, key"):
        hub_captions.fetch(options | {"caption_column": "caption"}, tmp_path / "out", tmp_path / "partial")


def test_split_that_the_set_or_the_entry_does_not_have(options, tmp_path):
    with pytest.raises(UserError, match="split 'nowhere' of the Hub data set"):
        hub_captions.fetch(options | {"splits": ["nowhere"]}, tmp_path / "out", tmp_path / "partial")
    with pytest.raises(UserError, match=r"split 'train' .* was not fetched; choose one of test"):
        hub_captions.read_items(options, tmp_path / "out", "train")


def test_offline_is_one_sentence(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="owner/name cannot be had") as fault:
        hub_captions._resolve("owner/name", None)
    assert "\n" not in str(fault.value)
