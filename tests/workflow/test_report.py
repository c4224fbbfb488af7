"""Snakemake's own report, and its graph of rules, of a study that was run to its end."""

from __future__ import annotations

import json
from typing import Any

from checkout_copy import Checkout

from checkouts import ROOT

CATEGORIES = {"Verdict", "Quality", "Costs", "Outputs inspected", "Paper and slides"}


def held(page: str, name: str) -> dict[str, Any]:
    """What the report's page holds under this name."""
    start = page.index(f"var {name} = {{")
    return json.JSONDecoder().raw_decode(page, page.index("{", start))[0]


def test_the_report_shows_figures_once_with_captions_categories_and_labels(run: Checkout) -> None:
    done = run.snakemake("--report", "report.html")
    assert done.returncode == 0, done.stderr
    page = (run.folder / "report.html").read_text()
    shown = {entry["name"]: entry for entry in held(page, "results").values()}
    assert {"verdicts.txt", "comparison.csv", "summary.csv", "carbon.csv", "flagged.csv"} <= set(shown)
    assert {"quality.svg", "quality_delta.svg", "quality_vs_size.svg"} <= set(shown)
    assert {"paper.pdf", "appendix.pdf", "slides.pdf", "index.html"} <= set(shown)
    assert not [name for name in shown if name.endswith((".png", ".zip"))]
    assert all("tiny" in one["caption"] for one in shown.values())
    assert {one["labels"]["study"] for one in shown.values()} == {"tiny (demo)"}
    assert {name.rsplit(".")[-1] for name in shown} == {one["labels"]["format"] for one in shown.values()}
    assert set(held(page, "categories")) == CATEGORIES


def test_the_report_needs_no_network(run: Checkout) -> None:
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = run.snakemake("--report", "report.zip", **nowhere)
    assert done.returncode == 0, done.stderr
    assert (run.folder / "report.zip").stat().st_size > 10_000


def test_the_graph_of_rules_is_the_same_whatever_has_run(run: Checkout) -> None:
    graph = run.folder / "results/tiny/rulegraph.dot"
    script = "workflow/scripts/draw_rulegraph.py"
    (run.folder / script).write_text((ROOT / script).read_text())

    def drawn() -> str:
        graph.unlink(missing_ok=True)
        done = run.snakemake("--cores", "1", "results/tiny/rulegraph.dot")
        assert done.returncode == 0, done.stderr
        return graph.read_text()

    first = drawn()
    for rule in ("predict", "score", "compare_precisions", "draw_rulegraph", "all"):
        assert f'"{rule}"' in first
    assert '"reproduce"' not in first
    (run.folder / "results/tiny/demo-vlm/float16/audit.json").unlink()
    assert drawn() == first
