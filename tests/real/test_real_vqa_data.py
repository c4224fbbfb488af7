"""Real VQA v2 questions, and real photographs that they are about, through the data stage."""

import json
from collections import Counter
from pathlib import Path

import pytest

from bitbudget.datasets import local_vqa, vqa_format, vqav2, with_defaults
from bitbudget.errors import UserError
from bitbudget.items import item as item_files
from bitbudget.items.images import prepare_images

REAL = Path(__file__).parents[3] / "shared" / "real"
MINI = REAL / "vqa" / "vqav2_on_coco_mini.json"  # questions and annotations in one file
pytestmark = pytest.mark.skipif(not MINI.is_file(), reason=f"the real questions {MINI} are not there")


def local(questions):
    own = {"images": str(REAL / "coco_images"), "questions": str(questions), "annotations": str(questions)}
    return with_defaults(local_vqa, "local-vqa", own)


def test_all_real_questions_are_read_with_all_their_answers():
    found = vqa_format.read_questions(MINI, MINI, lambda question: question["file_name"])
    assert len(found) == 39 and all(len(item.references) == 10 for item in found)
    assert Counter(item.extra["answer_type"] for item in found).keys() == {"yes/no", "number", "other"}
    first = found[0]
    assert (first.id, first.images[0].id, first.question) == ("100667000", "100667", "Are those bananas ripe?")
    assert first.references == ("yes",) * 10 and first.extra == {"question_type": "are", "answer_type": "yes/no"}


def test_official_pair_of_files_gives_the_official_addresses(tmp_path):
    content = json.loads(MINI.read_text())
    (tmp_path / "annotations").mkdir()
    for key, name in (
        ("questions", "v2_OpenEnded_mscoco_train2014_questions"),
        ("annotations", "v2_mscoco_train2014_annotations"),
    ):
        whole = {"info": {}, "license": {}, "data_subtype": "train2014", key: content[key]}
        (tmp_path / "annotations" / f"{name}.json").write_text(json.dumps(whole))
    found = vqav2.read_items(with_defaults(vqav2, "vqav2", {}), tmp_path, "train")
    assert len(found) == 39
    assert found[0].images[0].source == "http://images.cocodataset.org/train2014/COCO_train2014_000000100667.jpg"


def test_questions_on_photographs_are_a_local_data_set(tmp_path):
    """The eight whose images are here; written to items.jsonl and read again, every text is as it was."""
    content = json.loads(MINI.read_text())
    here = [q for q in content["questions"] if (REAL / "coco_images" / q["file_name"]).is_file()]
    keys = {question["question_id"] for question in here}
    answered = [a for a in content["annotations"] if a["question_id"] in keys]
    (tmp_path / "eight.json").write_text(json.dumps({"questions": here, "annotations": answered}))
    options = local(tmp_path / "eight.json")
    local_vqa.fetch(options, tmp_path / "out", tmp_path / "partial")
    found = local_vqa.read_items(options, tmp_path / "out", "all")
    assert len(found) == 8
    item_files.write(tmp_path / "items.jsonl", found)
    assert item_files.read(tmp_path / "items.jsonl") == found
    by_id = {str(a["question_id"]): a for a in answered}
    for item in found:
        assert list(item.references) == [one["answer"] for one in by_id[item.id]["answers"]]
    sources = {item.images[0].id: Path(item.images[0].source) for item in found}
    done, unreadable = prepare_images(sources, tmp_path / "images", 512, threads=1)
    assert done.keys() == sources.keys() and not unreadable


def test_missing_photographs_are_counted():
    with pytest.raises(
        UserError, match=r"question '\d+' is about train2017/\d+\.jpg, .* \(16 more files are missing\)"
    ):
        local_vqa.fetch(local(MINI), Path("/nowhere"), Path("/nowhere"))
