"""What is said of several models and conditions together: shared once, and none left out."""

from __future__ import annotations

import copy

import pytest

import made_results
from bitbudget.telling import across, evidence


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    found = made_results.build(folder, track="captioning", precisions=5, models=2, conditions=["zero-shot", "4-shot"])
    return evidence.load(found)


@pytest.fixture
def cells(made):
    return copy.deepcopy(made.verdicts["cells"])


def test_one_cell_is_its_own_sentence(cells):
    alone = cells[0] | {"where": "", "name": ""}
    assert across.outcomes([alone], "loss of CIDEr") == across.ended(alone["outcome"]["sentence"])
    worst = next(one for one in alone["entries"] if one["precision"] == alone["recommendation"]["precision"])[
        "at_worst"
    ]
    assert worst in across.recommended([alone])


def test_what_is_the_same_everywhere_is_said_once(cells):
    said = across.recommended(cells)
    assert said.count("recommended") + said.count("Recommended") == 1 and "everywhere" in said


def test_cells_that_differ_are_each_named(cells):
    cells[3]["outcome"] |= {"lost": [], "largest_text": ""}
    cells[1]["profiles"][0] |= {"precision": None, "reason": "no accepted precision can be compared"}
    said = across.outcomes(cells, "loss of CIDEr")
    assert "for model-2 under 4-shot, none of 4 precisions shows a clear loss of CIDEr" in said and "zero-shot" in said
    told = across.recommended(cells)
    assert "Nothing is recommended for model-1 under 4-shot: no accepted precision can be compared." in told
    assert "for model-1 under zero-shot, model-2 under zero-shot and model-2 under 4-shot" in told


def test_a_loss_that_none_shows(cells):
    for cell in cells:
        cell["outcome"] |= {"lost": [], "largest_text": ""}
    assert across.outcomes(cells, "loss of CIDEr") == "Everywhere, none of 4 precisions shows a clear loss of CIDEr."


def test_runners_up_that_are_the_same_are_told_once(cells):
    for cell, said in zip(cells, ("a", "b", "a", "b"), strict=True):
        cell["recommendation"] |= {"runner_up_sentence": f"runner-up: {said} (faster)"}
    assert across.runners_up(cells) == (
        "Runner-up: for model-1 under zero-shot and model-2 under zero-shot, a (faster); for model-1 under 4-shot and "
        "model-2 under 4-shot, b (faster)."
    )


def test_all_cells_have_a_cost_in_the_same_unit(cells):
    """Of each model and condition alone, one latency would be in ms and another in s."""
    for metric in cells[0]["main_costs"]:
        assert len({one["unit"] for cell in cells for one in cell["costs"] if one["metric"] == metric}) == 1
    values = [entry["costs"]["latency"]["value"] for cell in cells for entry in cell["entries"]]
    assert min(values) < 1 < max(values) and all(
        "ms" not in entry["costs"]["latency"]["with_unit"] for entry in cells[0]["entries"]
    )


def test_an_accepted_clear_loss_is_told_as_such(cells):
    for cell in cells:
        name = cell["recommendation"]["precision"]
        entry = next(one for one in cell["entries"] if one["precision"] == name)
        within = "a clear loss, but within 5 % at the worst end of its interval"
        entry |= {"kind": "loss", "accepted_in_short": within}
    assert "a clear loss, but within 5 %" in across.recommended(cells)
    assert "a clear loss, but within 5 %" not in across.recommended(cells, full=False)


def test_a_cell_in_which_nothing_was_compared(cells):
    cells[2]["outcome"] |= {"compared": 0, "lost": []}
    assert across.outcomes(cells, "loss of CIDEr").endswith("for model-2 under zero-shot, nothing could be compared.")


def test_timings_without_a_judgement_say_nothing_of_speed(cells):
    for entry in cells[0]["entries"]:
        entry["costs"]["latency"] |= {"incomparable": "disturbed"}
    assert across.size_and_speed(cells[0]) == ""


def test_one_precision_is_no_plural(cells):
    for cell in cells:
        cell["outcome"] |= {"lost": [], "largest_text": "", "compared": 1}
    assert across.outcomes(cells, "loss of CIDEr") == "Everywhere, none of 1 precision shows a clear loss of CIDEr."
