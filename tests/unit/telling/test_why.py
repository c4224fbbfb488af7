"""Why costs and quality are what they are, from the records: phases, bits, boxes, and an ablation."""

from __future__ import annotations

import copy

import pytest

import made_results
from bitbudget.telling import attribution, evidence, why

TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    folder, known = tmp_path_factory.mktemp("studies"), {}

    def of(track, **more):
        key = (track, *more)
        known.setdefault(key, made_results.build(folder / str(len(known)), track=track, precisions=3, **more))
        found = evidence.load(known[key])
        return found, found.verdicts["cells"][0]

    return of


def timed(found, cell, precision, **phases):
    metrics = found.measurements[cell["model"], precision, cell["condition"]]["metrics"]
    for name, value in phases.items():
        metrics[f"latency_{name}"] = {"value": value}


def test_the_largest_phase_and_what_formats_do_to_it(build):
    found, cell = build("lambada")
    base, low, lower = found.precisions
    timed(found, cell, base, preprocessing=0.1, prefill=0.3, decode=0.6)
    timed(found, cell, low, preprocessing=0.1, prefill=0.3, decode=1.2)
    timed(found, cell, lower, preprocessing=0.4, prefill=0.3, decode=0.3)
    said = why.phases(found, cell)
    assert said[0] == f"Decode takes 60 % of {base}'s latency (prefill 30 %, preprocessing 10 %)."
    assert said[1] == f"Against {base}'s, its time is 0.50{TIMES} under {lower} and 2.00{TIMES} under {low}."
    assert f"4.0{TIMES} under {lower}" in said[2] and low not in said[2]


def test_what_no_format_touches_is_not_credited_to_one(build):
    found, cell = build("lambada")
    base, low, lower = found.precisions
    timed(found, cell, base, preprocessing=0.6, prefill=0.1, decode=0.3)
    timed(found, cell, low, preprocessing=1.2, prefill=0.1, decode=0.45)
    timed(found, cell, lower, preprocessing=0.6, prefill=0.1, decode=0.45)
    said = why.phases(found, cell)
    assert said[0].startswith(f"Preprocessing takes 60 % of {base}'s latency")
    assert said[1].startswith(
        f"Of the parts that formats touch, decode is the longest. Against {base}'s, its time is 1.50"
    )
    assert f"2.0{TIMES} under {low}" in said[2]


def test_disturbed_timings_explain_nothing(build):
    found, cell = build("lambada")
    disturbed = cell | {"disturbed": "the timings were disturbed"}
    assert why.phases(found, disturbed) == []


def test_speeds_of_what_is_recommended_and_of_what_differs_most_are_explained():
    def entry(name, factor, why="faster (…)"):
        latency = {"factor": factor}
        return {"precision": name, "baseline": False, "reaches": "", "why": why, "costs": {"latency": latency}}

    base = {"precision": "float32", "baseline": True, "reaches": "decode reaches 46 % of what … allows"}
    others = [entry("a", 1.1), entry("b", 0.2), entry("c", 0.9), entry("d", 6.0), entry("e", None, "")]
    cell = {"entries": [base, *others], "recommendation": {"precision": "c"}}
    said = why.speeds(cell, most=3)
    assert said[0] == "Under float32, decode reaches 46 % of what … allows."
    assert [one.split()[0] for one in said[1:]] == ["b", "c", "d"]
    cell = {"entries": [base | {"reaches": ""}, others[-1]], "recommendation": {"precision": None}}
    assert why.speeds(cell) == []


def test_rates_by_the_length_of_the_context(build):
    found, cell = build("lambada")
    assert why.contexts(found, cell) == ""
    found.study["measure"]["context"] = [128, 1024]
    for name, rates in zip(found.precisions, ((50.0, 40.0), (80.04, 33.0), (1.0, None)), strict=True):
        metrics = found.measurements[cell["model"], name, cell["condition"]]["metrics"]
        metrics["decode_rate_at_128"] = {"value": rates[0]}
        metrics["decode_rate_at_1024"] = {"value": rates[1]} if rates[1] else {"absent": "too long"}
    base, low, _ = found.precisions
    assert why.contexts(found, cell) == (
        f"After prompts of 128 and 1024 tokens of text, decode makes 50.0 and 40.0 tokens/s under {base} and 80.0 and "
        f"33.0 tokens/s under {low}."
    )
    del found.study["measure"]["context"]


def test_bits_that_are_really_reached(build):
    found, cell = build("captioning")
    for row, bits in zip(found.summary, (16.0, 9.26, None), strict=True):
        row["bits_per_weight"] = bits
    names = found.precisions
    assert f"a weight takes 16.0 bits under {names[0]} and 9.26 under {names[1]}: scales" in why.bits(found, cell)
    found.summary[1]["bits_per_weight"] = None
    assert why.bits(found, cell) == ""


@pytest.mark.parametrize(
    ("after", "said"), [((0.78, 0.50), "their boxes fit worse"), ((0.50, 0.45), "missed or taken for others")]
)
def test_boxes_that_fit_worse_or_are_missed(build, after, said):
    found, cell = build("detection")
    cell = copy.deepcopy(cell)
    pairs = {"AP50": (0.80, after[0]), "AP75": (0.70, after[1])}
    for place in (0, 1):
        for name, values in pairs.items():
            cell["entries"][place]["metrics"][name] = {"value": values[place], "text": f"{values[place]:.3f}"}
    text = why.boxes(found, cell, found.precisions[1])
    assert f"AP75 from 0.700 to {after[1]:.3f}" in text and said in text


def test_an_ablation_tells_shares_and_what_is_not_clear(build):
    found, cell = build("captioning", ablation=True)
    text = attribution.groups(found, cell)
    assert text.startswith("Of the module groups, each alone in rtn-3, none shows a clear loss (")
    rows = [row for row in found.ablation if row["row"] == "group"]
    entry = next(one for one in cell["entries"] if one["precision"] == rows[0]["precision"])
    entry |= {"kind": "loss", "short": "clear loss: -0.2 [-0.3, -0.1]"}
    rows[0] |= {"share_of_loss": 0.6, "share_of_parameters": 0.3}
    text = attribution.groups(found, cell)
    assert (
        f"{rows[0]['group']} clear loss: -0.2 [-0.3, -0.1] (60 % of what all groups together lose, 30 % of the" in text
    )
    assert "no other group shows a clear loss" in text
