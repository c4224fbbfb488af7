"""What slides say: whole sentences, why a precision is accepted or not, what a recommendation trades, limits."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import made_results
from bitbudget.judging import recommendation, verdicts
from bitbudget.publishing.slides import cells, costs, deck, framing, outputs, quality, standing, texts, verdict
from bitbudget.publishing.typesetting import texts as short
from bitbudget.telling import evidence

TIMES = standing.TIMES
REPORT = {"title": None, "authors": [{"name": "A. Author"}]}


def loaded(folder: Path, **named: Any) -> evidence.Evidence:
    return evidence.load(made_results.build(folder, **named))


def test_sentences_and_references_are_left_out_and_not_cut():
    assert texts.sentences("One is here. Another is not.", 15) == "One is here."
    assert texts.sentences("a first clause; a second one", 16) == "a first clause"
    assert outputs._references([["a" * 130, 1], ["short", 2], ["brief", 1]]) == f"short (2{TIMES}) / brief (and 1 more)"
    assert short.some(["a", "b", "c"], 1, "; ", "there") == "a and 2 more: see there"


def test_a_recommendation_that_costs_time_is_told_as_a_trade(tmp_path):
    panel = cells.panels(loaded(tmp_path))[0]
    row = {**panel.base, "size_on_disk_MB": 0.5 * panel.base["size_on_disk_MB"],
           "latency_median_s": 1.6 * panel.base["latency_median_s"]}  # fmt: skip
    row = {name: None if "_ci_" in name else value for name, value in row.items()}
    told = standing.compared_cost(row, panel.base, recommendation.LATENCY)
    assert told == {"mark": "worse", "text": f"latency 1.60{TIMES}: slower"}
    other = dataclasses.replace(panel.evidence, summary=[*panel.evidence.summary, {**row, "precision": "cheap"}])
    assert (
        standing.trade(cells.Panel(other, panel.model, panel.condition), "cheap") == f"smaller, but 1.6{TIMES} slower"
    )


def test_why_a_precision_is_accepted_or_not_is_said_in_short(tmp_path):
    panel = cells.panels(loaded(tmp_path, precisions=12))[0]
    for name in panel.evidence.precisions[1:]:
        given, why = panel.verdict(name), standing.reason(panel, name)
        assert ("keeps at least 95 %" in why) == given["accepted"]
        assert why.startswith("loses") == (given["kind"] == verdicts.LOSS)
    notes = " ".join(quality.difference(panel)["notes"])
    assert "Not accepted: " in notes and "Accepted: " in notes
    worst = standing.at_worst(panel, "nf4-all")
    assert re.fullmatch(
        r"In the worst case within its 95 % interval it loses [\d.]+ points \([\d.]+ % of 69.8 %\)\.", worst
    )


def test_power_and_machine_and_risk_are_those_of_the_study(tmp_path):
    made = loaded(tmp_path, track="detection")
    lines = {line["head"]: line["text"] for line in framing.limits([made])["lines"]}
    assert "Prompts:" not in lines and "repeat what is private" not in lines["Risk:"]
    comparison = {**made.comparison, "power": 0.9}
    slide = framing.limits([dataclasses.replace(made, comparison=comparison)])
    assert "90 % probability" in json.dumps(slide) or "unknown" in json.dumps(slide)
    assert all(not line["text"].endswith("…") for line in slide["lines"])


def test_kinds_that_are_numbers_stand_in_their_order():
    numbers = {name: {"n": 1} for name in ("1", "3+", "2", "10")}
    assert short.kinds_in_order(numbers) == ["1", "2", "3+", "10"]
    assert short.kinds_in_order({"yes/no": {"n": 3}, "other": {"n": 9}}) == ["other", "yes/no"]


def test_further_models_and_conditions_are_counted_by_the_chart_that_lacks_them(tmp_path):
    made = loaded(tmp_path, models=2, conditions=("zero-shot", "4-shot"))
    slides = deck.data(REPORT, [made])[0]["slides"]
    levels = next(slide for slide in slides if slide.get("about") == "levels")
    assert levels["heading"] == "model-1, zero-shot (3 more in index.html)"
    others = [slide["heading"] for slide in slides if slide.get("about") == "differences"]
    assert others == [f"model-{i}, zero-shot (2 more in index.html)" for i in (1, 2)]


def test_a_study_of_simulated_formats_ends_with_what_its_groups_lose(tmp_path):
    made = loaded(tmp_path, track="captioning", ablation=True)
    rows = [{**row, "simulated": None if row["baseline"] else "rtn-3"} for row in made.summary]
    slide = verdict.slide([dataclasses.replace(made, summary=rows)])
    worst = min((row for row in made.ablation if row["row"] == "group"), key=lambda row: row["difference"])
    assert slide["cards"][0]["big"].startswith(worst["group"])
    assert "Only simulated formats were compared" in slide["notes"][0]
    assert costs.slide(cells.panels(dataclasses.replace(made, summary=rows))[0]) is None
