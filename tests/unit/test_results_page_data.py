"""The data of the results page, and how the page is put together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from config_folder import ROOT

import made_results
from bitbudget.embedding import embedded, script_hash
from bitbudget.errors import UserError
from bitbudget.figures import style
from bitbudget.reporting import evidence
from bitbudget.results_page import about, browser, cells, data, graph, modules, page, screens

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


@pytest.mark.parametrize("track", ["captioning", "vqa", "lambada", "detection"])
def test_every_value_of_the_table_is_a_number_or_says_why_not(tmp_path: Path, track: str) -> None:
    found = loaded(tmp_path, track=track, precisions=3, missing=["energy_per_item", "latency"])
    one = cells.of(found, "model-1", "zero-shot")
    keys = [column["key"] for column in one["columns"]][1:]
    for row in one["rows"]:
        assert set(row["cells"]) == set(keys)
        for key, value in row["cells"].items():
            assert ("absent" in value) is not ("text" in value), key
            assert "absent" not in value or len(value["absent"]) > 10
        assert row["cells"]["latency"] == {"absent": made_results.REASON}
    assert one["rows"][0]["baseline"] and one["rows"][0]["cells"]["difference"] == {"absent": cells.IS_BASELINE}
    assert one["plots"]["points"][0]["costs"]["latency"] == made_results.REASON
    assert one["plots"]["fronts"][found.primary]["latency"] == []


def test_estimated_energy_is_called_so_and_ratios_are_against_the_baseline(tmp_path: Path) -> None:
    found = loaded(tmp_path, track="vqa", precisions=3)
    first, second, _ = cells.of(found, "model-1", "zero-shot")["rows"]
    how = found.measurements["model-1", found.baseline, "zero-shot"]["metrics"]["energy_per_item"]["how"]
    assert first["cells"]["energy_per_item"]["note"] == how == first["cells"]["carbon_per_item"]["note"]
    assert "ratio" not in first["cells"]["size_on_disk"]
    sizes = [row["size_on_disk_MB"] for row in found.summary[:2]]
    assert second["cells"]["size_on_disk"]["ratio"] == f"{sizes[1] / sizes[0]:.2f}\N{MULTIPLICATION SIGN}"


def test_each_kind_of_verdict_has_a_mark_that_needs_no_colour() -> None:
    from bitbudget import verdicts

    kinds = {
        verdicts.LOSS, verdicts.GAIN, verdicts.IDENTICAL, verdicts.NO_LOSS, verdicts.NOT_COMPARED,
        verdicts.LOSS_WITHIN_NOISE, verdicts.GAIN_WITHIN_NOISE,
    }  # fmt: skip
    assert set(cells.KINDS) == kinds
    assert len({(mark, word) for mark, word, _ in cells.KINDS.values()}) == len(kinds)


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
    assert graph.in_words(DOT) == [("all", ['score "a"']), ('score "a"', [])]


def test_what_concerns_people_is_listed_before_objects(tmp_path: Path) -> None:
    found = loaded(tmp_path, track="captioning")
    flag = found.inspection["flagged"][0]
    found.inspection["flagged"] = [flag | {"kind": "objects"}] * (screens.MOST_FLAGGED + 1) + [flag]
    shown = screens.of(found.inspection)["flagged"]
    assert (shown["total"], len(shown["rows"])) == (screens.MOST_FLAGGED + 2, screens.MOST_FLAGGED)
    assert shown["rows"][0]["kind"] == "privacy"


def test_hallucinations_have_intervals_or_a_reason(tmp_path: Path) -> None:
    (base, other, *_) = screens.of(loaded(tmp_path / "a", track="captioning").inspection)["cells"]
    assert base["metrics"]["chair_i"]["text"] == "5.0" and base["metrics"]["chair_i"]["ci"] == "[3.0, 7.0]"
    assert "absent" in base["differences"]["chair_i"]
    assert other["differences"]["chair_i"]["text"].startswith("+1")
    (base, *_) = screens.of(loaded(tmp_path / "b", track="lambada").inspection)["cells"]
    assert base["metrics"]["chair_s"] == {"absent": "this track has no captions."}


def test_the_page_names_where_its_numbers_come_from(tmp_path: Path) -> None:
    found = loaded(tmp_path, human=True)
    told = about.of(found)
    facts = dict(told["facts"])
    assert facts["Seed"] == ["53"] and made_results.HASH in facts["Items"][0]
    assert facts["Commit of the workflow"] == ["0" * 40]
    assert dict(told["packages"])["torch"] == "2.13.0+cpu"
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
