"""The data of the results page, and how the page is put together."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from config_folder import ROOT

import made_results
from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.provenance import rulegraph
from bitbudget.publishing.figures import style
from bitbudget.publishing.page import about, browser, cells, data, modules, page, screens
from bitbudget.telling import evidence, inspected, wording
from bitbudget.untrusted.page_data import embedded, script_hash

REPORT = ROOT / "workflow/report"
DOT = 'digraph {\n\t0[label = "all", color = "x"];\n\t1[label = "score \\"a\\"", color = "x"];\n\t1 -> 0\n}\n'


def loaded(parent: Path, **options: Any) -> evidence.Evidence:
    return evidence.load(made_results.build(parent, **options))


def item(name: str, *changes: str | None) -> dict[str, Any]:
    return {"id": name, "answers": {"m": {"zero-shot": {f"p{i}": {"change": one} for i, one in enumerate(changes)}}}}


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [one["id"] for one in items]


def test_changed_items_come_first_and_the_rest_are_spread_over_the_subset() -> None:
    same = [item(str(i), None, "same", "same") for i in range(10)]
    once, twice = item("once", None, "same", "worse"), item("twice", None, "changed", "changed")
    judged = item("judged", None, "better", "changed")
    items = [*same[:4], once, *same[4:], twice, judged]
    assert ids(browser.chosen(items, 5)) == ["judged", "twice", "once", "0", "5"]
    assert ids(browser.chosen(items, 2)) == ["judged", "twice"]
    assert len(browser.chosen(items, 300)) == 13


def test_each_picture_stands_in_the_page_once(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    items = found.examples["items"]
    items[1]["image"] = items[0]["image"]
    shown = browser.of(found.examples, found.folder, 4)
    assert (shown["total"], len(shown["items"])) == (6, 4)
    by_id = {one["id"]: one for one in shown["items"]}
    assert by_id["0"]["image"] == by_id["1"]["image"]
    assert by_id.get("3", {"image": None})["image"] is None  # a picture that is withheld
    assert len(shown["images"]) == len({one["image"] for one in shown["items"]} - {None})
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in shown["images"])
    (found.folder / items[0]["image"]).unlink()
    with pytest.raises(UserError, match=r"000000\.png is not there"):
        browser.of(found.examples, found.folder, 4)


def shown_of(found: evidence.Evidence) -> dict[str, Any]:
    return cells.of(found, found.cell("model-1", "zero-shot"))


@pytest.mark.parametrize("track", ["captioning", "vqa", "lambada", "detection"])
def test_every_value_of_a_plot_is_a_number_or_says_why_not(tmp_path: Path, track: str) -> None:
    one = shown_of(loaded(tmp_path, track=track, precisions=3, missing=["energy_per_item", "latency"]))
    for point in one["plots"]["points"]:
        for values in (point[name] for name in ("quality", "differences", "costs", "phases")):
            assert values
            for value in values.values():
                assert len(value) == 3 if isinstance(value, list) else len(value) > 10
        assert point["costs"]["latency"] == point["costs"]["energy_per_item"] == made_results.REASON
    base, other, _ = one["plots"]["points"]
    primary = one["entries"][1]["metrics"][loaded(tmp_path / "b", track=track).primary]
    assert isinstance(base["differences"][registry.module_of("track", track).PRIMARY], str)
    assert primary["difference"]["value"] in [value[0] for value in other["differences"].values() if value[1:]]
    assert one["fronts"]["latency"] == []


def test_plots_are_in_the_units_of_the_table(tmp_path: Path) -> None:
    one = shown_of(loaded(tmp_path, track="vqa", precisions=3))
    (cost,) = [cost for cost in one["costs"] if cost["metric"] == "latency"]
    for entry, point in zip(one["entries"], one["plots"]["points"], strict=True):
        (value, low, high), told = point["costs"]["latency"], entry["costs"]["latency"]
        assert value == told["value"] * cost["factor"] and low < value < high
        assert wording.number(value) == told["text"]
        assert sum(part[0] for part in point["phases"].values() if isinstance(part, list)) < 2 * value
        quality = point["quality"]["vqa_accuracy"][0]
        assert entry["metrics"]["vqa_accuracy"]["text"].startswith(f"{quality:.1f}")  # in percent


def test_the_whole_of_it_with_texts_that_would_break_a_page(tmp_path: Path) -> None:
    dot = tmp_path / "rulegraph.dot"
    dot.write_text(DOT)
    found = loaded(tmp_path, hostile=True, models=2, precisions=12, conditions=("zero-shot", "4-shot"), human=True)
    html = page.assemble(REPORT, data.of(found, dot, 300))
    assert "<script>alert" not in html and made_results.HOSTILE not in html
    assert embedded(made_results.HOSTILE)[1:-1] in html
    scripts = re.findall(r'<script id="(\w+)">(.*?)</script>', html, re.DOTALL)
    assert [name for name, _ in scripts] == ["plotly", "graphviz", "program"]
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)[1]
    assert {script_hash(text) for _, text in scripts} == set(re.findall(r"sha256-[\w+/=]+", policy))
    assert "'unsafe-eval'" not in policy and "default-src 'none'" in policy
    assert not re.search(r'<(?:script|img|link|iframe)[^>]+(?:src|href)=["\']?(?:https?:)?//', html)
    with pytest.raises(UserError, match=r"missing\.dot is not there"):
        data.of(found, tmp_path / "missing.dot", 300)


def test_modules_are_summed_and_chains_of_one_are_joined() -> None:
    def layer(path: str, size: int, found: str, **more: Any) -> dict[str, Any]:
        about = {"path": path, "group": "language", "found": found, "storage": found, "bytes": size}
        return about | {"relative_error": None, "allowed_error": None, "fault": None} | more

    audit = {
        "model": "m",
        "layers": [
            layer("model.tower.layers.0.q", 10, "bfloat16"),
            layer("model.tower.layers.0.k", 20, "bfloat16"),
            layer("model.head", 5, "bnb-int8", relative_error=0.01, fault="too far off"),
        ],
        "other_parameters": [
            {"path": "norm;2 (operator 3)", "group": "language", "storage": "FLOAT32", "bytes": 1, "fault": None}
        ],
        "groups": {"language": {"format": "bnb-int8", "parameters": 3, "bytes": 36, "relative_error": 0.01}},
    }
    tree = modules.tree(audit)
    assert tree["labels"] == ["m", "model", "tower.layers.0", "q", "k", "head", "norm;2 (operator 3)"]
    assert tree["bytes"] == [36, 35, 30, 10, 20, 5, 1]
    assert tree["parents"] == [None, 0, 1, 2, 2, 1, 0]
    assert tree["formats"] == [None, None, "bfloat16", "bfloat16", "bfloat16", "bnb-int8", "float32"]
    (group,) = modules.groups(audit)
    assert group["faults"] == ["model.head: too far off"]


def test_parts_of_a_tree_never_exceed_their_whole(tmp_path: Path) -> None:
    for audit in loaded(tmp_path, track="captioning", precisions=6).audits.values():
        tree = modules.tree(audit)
        for place, size in enumerate(tree["bytes"]):
            parts = [tree["bytes"][i] for i, parent in enumerate(tree["parents"]) if parent == place]
            assert not parts or sum(parts) <= size


def test_the_graph_in_words() -> None:
    assert rulegraph.parsed(DOT) == {"all": {'score "a"'}, 'score "a"': set()}


def test_what_concerns_people_is_listed_before_objects(tmp_path: Path) -> None:
    found = loaded(tmp_path, track="captioning")
    flag = found.inspection["flagged"][0]
    found.inspection["flagged"] = [flag | {"kind": "objects"}] * (screens.MOST_FLAGGED + 1) + [flag]
    shown = screens.of(found.inspection)["flagged"]
    assert (shown["total"], len(shown["rows"])) == (screens.MOST_FLAGGED + 2, screens.MOST_FLAGGED)
    assert shown["rows"][0]["kind"] == "privacy"


def test_hallucinations_have_intervals_or_a_reason(tmp_path: Path) -> None:
    (base, other, *_) = screens.of(loaded(tmp_path / "a", track="captioning").inspection)["cells"]
    assert base["metrics"]["chair_i"]["text"] == "5.0" and base["metrics"]["chair_i"]["interval"] == "[3.0, 7.0]"
    assert "absent" in base["differences"]["chair_i"]
    assert other["differences"]["chair_i"]["text"].startswith("+1")
    (base, *_) = screens.of(loaded(tmp_path / "b", track="lambada").inspection)["cells"]
    assert base["metrics"]["chair_s"] == {"absent": "this track has no captions."}


def test_the_sentence_of_what_was_found_agrees_with_the_table() -> None:
    def flag(kind: str, item: str, *precisions: str) -> dict[str, Any]:
        return {
            "kind": kind,
            "item": item,
            "model": "m",
            "condition": "c",
            "precisions": list(precisions),
            "where": "answer",
        }

    kinds = list(screens.CHECKS)

    def record(*flagged: dict[str, Any]) -> dict[str, Any]:
        # two objects in one caption are one caption, and one that two precisions wrote is two
        share = {"value": 0.3, "n": 10, "count": 3}
        return {"flagged": list(flagged), "cells": [{"metrics": {"chair_s": share}}]}

    two = [flag("objects", "1", "a", "b"), flag("objects", "1", "a", "b"), flag("objects", "2", "a")]
    said = screens.found(record(*two), kinds)
    assert said == "3 of 10 captions name an object that is not there; the other screens flagged nothing."
    said = screens.found(record(*two, flag("privacy", "3", "a")), kinds)
    assert "1 text was flagged for privacy; nothing for profanity and slurs and wording about people." in said
    assert screens.found(record(), kinds).startswith("Nothing was flagged.") and screens.found(record(), []) == ""


def test_what_was_not_looked_for_has_no_limits_and_no_columns(tmp_path: Path) -> None:
    found = loaded(tmp_path, track="detection")
    for one in found.inspection["looked_for"]:
        one["absent"] = "the answers are boxes, not text."
    shown = screens.of(found.inspection)
    assert (shown["limits"], shown["kinds"], shown["redaction"], shown["found"]) == ([], [], None, "")
    (reason,) = shown["not_done"]
    assert reason.endswith("(the answers are boxes, not text)") and "privacy" in reason
    assert browser.of(found.examples, found.folder, 1, screened=False)["redaction"] is None


def test_points_have_one_decimal_and_the_sign_of_their_value() -> None:
    written = [inspected.difference({"value": value})["text"] for value in (0.6, -0.0004, 0.0004, -0.031)]
    assert written == ["+60.0", "\N{MINUS SIGN}0.0", "+0.0", "\N{MINUS SIGN}3.1"]


def test_a_difference_without_an_interval_says_why() -> None:
    shown = inspected.difference({"value": 0.1, "ci": None, "note": "too few", "p_value": 0.03})
    assert shown == {"text": "+10.0", "why": "too few", "note": "p = .03, not corrected"}
    shown = inspected.difference({"value": 0.1, "ci": [0, 1], "p_holm": 0.03, "family": 7})
    assert shown["interval"] == "[+0.0, +100.0]" and shown["note"].endswith("Holm over 7")


def test_a_page_without_personal_strings_does_not_lead_to_them(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    (found.folder / "spot_check.html").write_text("as it is")
    found.inspection["redaction"]["on"] = True
    assert "spot_check.html" not in dict(about.of(found)["links"])
    found.inspection["redaction"]["on"] = False
    assert "spot_check.html" in dict(about.of(found)["links"])


@pytest.mark.parametrize(("track", "own"), [("captioning", "value"), ("vqa", "share"), ("detection", "boxes")])
def test_an_item_is_right_or_wrong_only_where_its_metric_is_a_share(tmp_path: Path, track: str, own: str) -> None:
    assert data._own(loaded(tmp_path, track=track, precisions=2)) == own


def test_the_page_names_where_its_numbers_come_from(tmp_path: Path) -> None:
    found = loaded(tmp_path, human=True)
    told = about.of(found)
    facts = dict(told["facts"])
    assert facts["Seed"] == ["53"] and made_results.HASH in facts["Items"][0]
    assert facts["Commit of the workflow"] == ["0" * 40]
    assert facts["Models"] == [f"model-1: demo/models/model-1, revision {'b' * 40}, Apache-2.0"]
    assert dict(told["packages"])["torch"] == "2.13.0+cpu"
    comparison = {**found.comparison, "provenance": {**found.comparison["provenance"], "snakemake": "9.27.1"}}
    told = about.of(dataclasses.replace(found, comparison=comparison))
    assert dict(told["packages"])["snakemake"] == "9.27.1"
    assert ["made.zip", about.FILES["{study}.zip"]] in told["links"]
    assert not any(name in about.SOME_HAVE for name, _ in told["links"])


def test_plots_have_the_colours_of_the_figures() -> None:
    theme = (REPORT / "page/theme.js").read_text()
    (light,) = re.findall(r"const LIGHT = \[(.*?)\]", theme, re.DOTALL)
    assert tuple(re.findall(r'"(#\w+)"', light)) == style.PALETTE


def test_a_script_that_could_end_early_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "plotly", lambda: "const a = '</SCRIPT>';")
    with pytest.raises(ValueError, match="the script plotly"):
        page.assemble(REPORT, {})


def test_axes_are_cut_for_a_broken_precision_and_for_no_other(tmp_path: Path) -> None:
    names = ["float16", "int8-language", "nf4-language", "torchao-int8"]
    broken = "gptq-2-language-attention-and-mlp"
    plots = shown_of(loaded(tmp_path / "fine", precisions=names))["plots"]
    assert all(cut == {"axis": None, "beyond": {}} for cuts in plots["cuts"].values() for cut in cuts.values())
    plots = shown_of(loaded(tmp_path, precisions=[*names, broken]))["plots"]
    for points, cut in (("quality", "quality"), ("differences", "differences")):
        low, high = plots["cuts"]["vqa_accuracy"][cut]["axis"]
        values = {one["precision"]: one[points]["vqa_accuracy"] for one in plots["points"]}
        assert values[broken][0] < low
        shown = [value for name, value in values.items() if name != broken and isinstance(value, list)]
        assert all(low <= end <= high for value in shown for end in value)
        ((name, place),) = plots["cuts"]["vqa_accuracy"][cut]["beyond"].items()
        assert name == broken and low < place < high
