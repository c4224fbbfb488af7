"""What was done to images, and which were left out, is told wherever the number of items is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import made_results
from bitbudget.publishing.appendix import facts
from bitbudget.publishing.page import about
from bitbudget.publishing.paper import document
from bitbudget.publishing.slides import deck
from bitbudget.telling import evidence

LEFT_OUT = "3 of 160 items are left out: images.json names the images that cannot be used."
SCALED = "1 image of more than 8 bits per channel: scaled as images.json says of each."


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> evidence.Evidence:
    folder = made_results.build(tmp_path_factory.mktemp("made"), track="captioning", precisions=3)
    for path in folder.glob("*/*/*/predictions.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"n": 157}))
    told = json.loads((folder / "verdicts.json").read_text())
    told["cells"] = [cell | {"n": 157, "counted": "157 images"} for cell in told["cells"]]
    (folder / "verdicts.json").write_text(json.dumps(told))
    images = {"1": {"levels": "its grey values reach 4000"}, "2": {}}
    (folder / "images.json").write_text(json.dumps({"images": images, "skipped": []}))
    return evidence.load(folder)


def test_sentences_are_there_only_where_something_is_to_be_known(found: evidence.Evidence, tmp_path: Path) -> None:
    assert (found.chosen, found.n, found.prepared) == (160, 157, [LEFT_OUT, SCALED])
    whole = evidence.load(made_results.build(tmp_path, track="lambada", precisions=2))
    assert whole.n == whole.chosen == 160 and whole.prepared == []


def test_every_document_says_it(found: evidence.Evidence) -> None:
    paper = str(document.assemble({}, [found], None))
    slides = json.dumps(deck.data({"title": None, "authors": []}, [found])[0])
    appendix = json.dumps(facts.data(found, None, 8))
    page = json.dumps(about.of(found))
    for told in (paper, appendix, page):
        assert LEFT_OUT in told and SCALED in told
    assert "3 of 160 items are left out" in slides and "scaled as images.json says" in slides
    assert "on the same 157 images" in paper and "answers the same 157 images" in slides
