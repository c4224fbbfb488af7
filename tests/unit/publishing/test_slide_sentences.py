"""What slides say: what the cells of verdicts.json say, the same on every slide, and nothing where nothing is known."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import made_results
from bitbudget import files
from bitbudget.publishing.slides import cells, costs, deck, framing, outputs, parts, quality, texts, verdict
from bitbudget.publishing.typesetting import texts as short
from bitbudget.telling import breakdown, evidence, record

TIMES = "\N{MULTIPLICATION SIGN}"
REPORT = {"title": None, "authors": [{"name": "A. Author"}]}
TRACKS = ("captioning", "vqa", "lambada", "detection")


def loaded(folder: Path, **named: Any) -> evidence.Evidence:
    return evidence.load(made_results.build(folder, **named))


def retold(
    folder: Path, row: Callable[[dict[str, Any]], dict[str, Any]] = dict, accept: Any = None, **named: Any
) -> evidence.Evidence:
    """A study whose rows of summary.csv were changed before they were judged, or that asks for something else."""
    results = made_results.build(folder, **named)
    study = yaml.safe_load((results / "study.resolved.yaml").read_text(encoding="utf-8"))
    study["accept"] |= accept or {}
    keys = ("study", "track", "primary", "precisions", "conditions", "baseline", "accept", "demo")
    spec = {key: study[key] for key in keys} | {"models": list(study["models"])}
    places = [
        results / model / precision / condition
        for model in spec["models"] for precision in spec["precisions"] for condition in spec["conditions"]
    ]  # fmt: skip
    read = {name: [files.read_json(place / f"{name}.json") for place in places] for name in ("measurements", "scores")}
    rows = [row(one) for one in record.read_summary(results / "summary.csv")]
    told = record.body(
        spec, files.read_json(results / "comparison.json"), rows, read["measurements"], read["scores"],
        files.read_json(results / "blind.json"),
    )  # fmt: skip
    old = evidence.load(results)
    return dataclasses.replace(old, verdicts={**old.verdicts, **told})


def said(studies: list[evidence.Evidence]) -> str:
    """Everything that the slides say, in charts too."""
    content, assets = deck.data(REPORT, studies)
    drawn = " ".join(one.decode() for one in assets.values() if isinstance(one, bytes))
    return json.dumps(content, ensure_ascii=False) + drawn


@pytest.mark.parametrize("track", TRACKS)
def test_the_question_is_about_the_precision_that_is_recommended(tmp_path, track):
    made = loaded(tmp_path, track=track, precisions=5)
    chosen = made.cell("model-1", "zero-shot")["recommendation"]
    card = verdict.slide([made])
    asked = framing.question([made])["lines"][0]
    assert card["big"] == chosen["precision"] and card["title"] == f"Recommended: {chosen['short']}"
    assert asked.startswith(f"{chosen['precision']}: ") and asked.endswith("What does it lose?")


def test_a_recommended_baseline_is_no_question(tmp_path):
    made = loaded(tmp_path, precisions=("float16", "nf4-all"))
    assert made.cell("model-1", "zero-shot")["recommendation"]["precision"] == "float16"
    assert not any("What does it lose?" in line for line in framing.question([made])["lines"])
    card = verdict.slide([made])
    assert card["costs"] == [] and card["lines"][0] == "No other precision is both accepted and comparable."


def test_an_accepted_clear_loss_says_that_it_is_within_what_is_allowed(tmp_path):
    made = loaded(tmp_path, precisions=5)
    slide = verdict.slide([made])
    assert slide["big"] == "nf4-language"
    assert slide["lines"][0].startswith("A clear loss of 2.2 points of VQA accuracy [1.0, 3.4] (p ")
    assert slide["lines"][0].endswith(", within your 5 %.")
    told = quality.difference(cells.cells([made])[0])["notes"]
    assert "Accepted: nf4-language: a clear loss, but within 5 % at the worst end of its interval." in told
    broken = verdict.slide([loaded(tmp_path / "broken", track="captioning", precisions=8)])
    assert broken["notes"][-1] == "Not accepted: rtn-2: a clear loss of more than 5 %."


@pytest.mark.parametrize("track", TRACKS)
def test_no_slide_says_what_no_test_can_show(tmp_path, track):
    text = said([loaded(tmp_path, track=track, precisions=8)])
    for wrong in (
        "No loss",
        "no loss detected",
        "within noise: +",
        "answers worse",
        "answer worse",
        "gain within noise",
    ):
        assert wrong not in text
    assert not re.search(rf"1\.0{TIMES} (the energy|slower|faster)", text)


def test_a_recommendation_names_the_runner_up_and_what_else_was_asked_for(tmp_path):
    made = retold(tmp_path, precisions=5, accept={"prefer": ["size", "latency"]})
    profiles = made.cell("model-1", "zero-shot")["profiles"]
    lines = verdict.slide([made])["lines"]
    assert any(line.startswith("Runner-up: int8-language-vision (") for line in lines)
    assert f"For the least latency: {profiles[1]['short']}." in lines


def disturbed(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "disturbed": "the machine was loaded", "remarks": "the machine was loaded (12.0 jobs on 2 cores)"}


@pytest.mark.parametrize("track", TRACKS)
def test_of_disturbed_timings_no_speed_and_no_energy_is_claimed(tmp_path, track):
    made = retold(tmp_path, disturbed, track=track, precisions=4)
    text = said([made])
    assert not re.search(r"\b(faster|slower|less energy|more energy|lowest latency|least energy)\b", text)
    told = made.cell("model-1", "zero-shot")
    warning = short.capital(told["disturbed"])
    [slide] = costs.slides(cells.cells([made])[0])
    assert any(warning in note for note in slide["notes"]) and "forcerun" in warning
    assert any("12.0 jobs on 2 cores" in note for note in slide["notes"])
    assert "Latency" not in slide["chart"].decode()
    limits = {line["head"]: line["text"] for line in framing.limits([made])["lines"]}
    assert "were disturbed" in limits["Timings:"] and "12.0 jobs on 2 cores" in limits["Measured:"]
    numbers = {one["label"].partition(" (")[0]: one["value"] for one in framing.question([made])["numbers"]}
    assert numbers["latency"] == numbers["energy per item"] == "disturbed"
    assert numbers["size on disk"].endswith(" MB")


def test_peak_memory_that_tells_nothing_is_said_once_and_not_compared(tmp_path):
    made = loaded(tmp_path, track="detection", precisions=4)
    cell = cells.cells([made])[0]
    entry = cell.recommended
    assert cells.marked(entry, "peak_memory") == {"mark": "", "text": ""}
    assert cells.times(entry, "peak_memory") == "not compared"
    notes = [note for slide in costs.slides(cell) for note in slide["notes"]]
    assert sum("largest resident set" in note for note in notes) == 1
    assert "peak memory" not in json.dumps(verdict.slide([made]))


def test_costs_of_a_recommendation_have_their_signs(tmp_path):
    cell = cells.cells([loaded(tmp_path, precisions=5)])[0]
    assert cells.marked(cell.recommended, "size_on_disk") == {
        "mark": "better",
        "text": f"size on disk 0.33{TIMES}: smaller",
    }
    assert cells.marked(cell.recommended, "latency") == {"mark": "worse", "text": f"latency 1.39{TIMES}: slower"}
    assert cells.marked(cell.recommended, "throughput_8")["mark"] == "worse"


def test_all_models_and_conditions_are_told(tmp_path):
    made = loaded(tmp_path, models=2, conditions=("zero-shot", "4-shot"), precisions=5)
    slides = deck.data(REPORT, [made])[0]["slides"]
    names = [f"model-{i}, {condition}" for i in (1, 2) for condition in ("zero-shot", "4-shot")]
    overview = next(slide for slide in slides if slide.get("about") == "overview")
    assert [row[0] for row in overview["rows"]] == names and [
        one.replace("\n", "") for one in overview["columns"][1:]
    ] == made.precisions[1:]
    assert overview["rows"][0][4] == {"text": "\N{BLACK DOWN-POINTING TRIANGLE} \N{MINUS SIGN}2.2", "strong": True}
    assert [row[0] for row in slides[1]["rows"]] == names  # the question
    last = next(slide for slide in slides if slide["title"].startswith("Recommended"))
    assert [row[0] for row in last["rows"]] == names and {row[1] for row in last["rows"]} == {"nf4-language"}
    assert last["columns"][0] == "model and condition" and overview["title"].startswith("2 models under 2 conditions: ")


def test_a_second_condition_alone_is_called_one_and_has_its_runner_up(tmp_path):
    made = loaded(tmp_path, conditions=("zero-shot", "4-shot"), precisions=5)
    last = verdict.slide([made])
    assert last["columns"][0] == "condition" and [row[0] for row in last["rows"]] == ["zero-shot", "4-shot"]
    assert sum(note.startswith("Runner-up: int8-language-vision (") for note in last["notes"]) == 1
    assert framing.question([made])["title"] == "How few bits are enough? 2 conditions"


def test_the_table_of_all_cells_is_turned_where_there_are_more_precisions(tmp_path):
    made = loaded(tmp_path, models=2, precisions=12)
    slide = quality.overview(cells.cells([made]))
    assert slide["columns"] == ["", "model-1", "model-2"]
    assert len(slide["rows"]) + slide["left"] == 11 and slide["left"] == 1
    many = quality.overview(cells.cells([loaded(tmp_path / "many", models=7, precisions=8)]))
    assert len(many["columns"]) == 7 and "Not all are shown: see verdicts.txt." in many["notes"]


def test_sentences_and_references_are_left_out_and_not_cut():
    assert short.sentences("One is here. Another is not.", 15) == "One is here."
    assert short.sentences("a first clause; a second one", 16) == "a first clause"
    assert outputs._references([["a" * 130, 1], ["short", 2], ["brief", 1]]) == f"short (2{TIMES}) / brief (and 1 more)"
    assert short.some(["a", "b", "c"], 1, "; ", "there") == "a and 2 more: see there"
    assert texts.reasons({"a": "a is late.", "b": "late", "c": "lost"}) == ["a, b: late.", "c: lost."]


def test_power_and_risk_are_those_of_the_study(tmp_path):
    made = loaded(tmp_path, track="detection")
    slide = framing.limits([made])
    lines = {line["head"]: line["text"] for line in slide["lines"]}
    assert "Prompts:" not in lines and "repeat what is private" not in lines["Risk:"]
    assert lines["Small differences:"] == made.cell("model-1", "zero-shot")["detectable"]
    assert all(not line["text"].endswith("…") for line in slide["lines"])


def test_kinds_that_are_numbers_stand_in_their_order():
    numbers = {name: {"n": 1} for name in ("1", "3+", "2", "10")}
    assert breakdown.in_order(numbers) == ["1", "2", "3+", "10"]
    assert breakdown.in_order({"yes/no": {"n": 3}, "other": {"n": 9}}) == ["other", "yes/no"]


def _simulated(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "simulated": None if row["baseline"] else "rtn-3"}


def test_a_study_of_simulated_formats_ends_with_what_its_groups_lose(tmp_path):
    made = retold(
        tmp_path,
        lambda row: {**row, "simulated": None if row["baseline"] else "rtn-3"},
        track="captioning",
        ablation=True,
    )
    slide = verdict.slide([made])
    assert slide["big"] == "int8-language-vision"
    assert "Only simulated formats were compared" in slide["notes"][0]
    assert costs.slides(cells.cells([made])[0]) == []


def test_names_break_where_they_have_a_hyphen():
    assert texts.broken("int8-language-attention-and-mlp", 14) == "int8-language-\nattention-and-\nmlp"
    assert texts.broken("float16", 3) == "float16"
    assert texts.stacked("small-language-model-135m, zero-shot", 30) == "small-language-model-135m,\nzero-shot"
    assert texts.stacked("m, zero-shot", 30) == "m, zero-shot"


def test_a_drop_of_too_few_items_for_an_interval_is_not_the_title(tmp_path):
    """Of 4 questions that cannot be answered nearly none is right any more, which no title should rest on."""
    names = ["float16", "gptq-2-language-attention-and-mlp"]
    title = parts.by_type(cells.cells([loaded(tmp_path, precisions=names)])[0])["title"]
    assert "gptq-2-language-attention-and-mlp" in title and "unanswerable" not in title
