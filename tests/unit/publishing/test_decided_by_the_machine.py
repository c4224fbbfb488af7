"""Why a study has this baseline, and which precisions could not run, is told wherever its results are."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import made_results
from bitbudget.publishing.appendix import facts
from bitbudget.publishing.page import about, data
from bitbudget.publishing.paper import document, results
from bitbudget.publishing.paper.view import View
from bitbudget.publishing.slides import deck
from bitbudget.telling import evidence, text

WHY = "The baseline is float16 (baseline: auto), because Tesla T4 (compute capability 7.5) computes in it natively."
REASON = "torchao-int4: it has no kernel for Tesla T4 (compute capability 7.5), and needs 8.0 or later"
SAID = f"torchao-int4-language is left out: {REASON}."
MACHINE = {
    "title": "Tesla T4 (compute capability 7.5)",
    "device": "auto",
    "baseline": "float16",
    "remarks": [WHY],
    "left_out": {"torchao-int4-language": REASON},
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> evidence.Evidence:
    folder = tmp_path_factory.mktemp("made")
    return evidence.load(made_results.build(folder, track="captioning", precisions=3, machine=MACHINE))


def test_every_document_says_it(found: evidence.Evidence, tmp_path: Path) -> None:
    graph = tmp_path / "rulegraph.dot"
    graph.write_text("digraph {}")
    paper = str(document.assemble({}, [found], None))
    appendix = json.dumps(facts.data(found, None, 8))
    page = json.dumps([about.of(found), data.of(found, graph, 3)["left_out"]])
    verdicts = " ".join(text.in_full(found.verdicts).split())
    for told in (paper, appendix, page, verdicts):
        assert WHY in told and SAID in told
    slides = json.dumps(deck.data({"title": None, "authors": []}, [found])[0])
    assert "torchao-int4-language, for the reasons in verdicts.txt" in slides
    assert SAID in " ".join(" ".join(text.in_short(found.verdicts)).split())


def test_the_tables_of_quality_say_what_is_not_in_them(found: evidence.Evidence) -> None:
    assert [SAID in str(table["notes"]) for table in results.tables(View(found))] == [True]


def test_the_summary_has_a_row_for_it_with_nothing_but_the_reason(found: evidence.Evidence) -> None:
    with (found.folder / "summary.csv").open(newline="") as file:
        *rows, last = csv.DictReader(file)
    assert [row["precision"] for row in rows] == found.precisions
    assert (last["precision"], last["baseline"], last["notes"]) == (
        "torchao-int4-language", "False", f"left out: {REASON}",
    )  # fmt: skip
    assert {row["seed"] for row in rows} == {"53"}
    assert [(cell["n"], type(cell["n"])) for cell in found.verdicts["cells"]] == [(200, int)]
    filled = {name for name, value in last.items() if value}
    assert filled == {"study", "model", "precision", "condition", "baseline", "notes"}


def test_a_study_that_leaves_nothing_to_the_machine_says_nothing(tmp_path: Path) -> None:
    whole = evidence.load(made_results.build(tmp_path, track="captioning", precisions=3))
    assert whole.decided == []
    assert len(whole.summary) == 3
