"""What every whole run ends with: comparisons, noise floor, verdicts, repeats in turn, and the carbon."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from pypdf import PdfReader


def check(study: Path, repeats: int = 1) -> None:
    """Hold a finished study's folder to it."""
    verdicts = json.loads((study / "verdicts.json").read_text())
    comparison = json.loads((study / "comparison.json").read_text())
    _verdicts(study, verdicts, comparison)
    _noise_floor(comparison)
    _repeats(study, repeats)
    _carbon(study)
    for form in ("svg", "png"):
        assert (study / f"figures/quality_delta.{form}").stat().st_size > 1000
    _published(study, verdicts)


def _verdicts(study: Path, verdicts: dict[str, Any], comparison: dict[str, Any]) -> None:
    cells = {(one["precision"], one["condition"]) for one in comparison["comparisons"] if one["kind"] == "precision"}
    judged = [one | {"condition": cell["condition"]} for cell in verdicts["cells"] for one in _judged(cell)]
    assert {(one["precision"], one["condition"]) for one in judged} == cells
    text = (study / "verdicts.txt").read_text()
    assert text.startswith("demo study ")
    assert all(one["sentence"].split()[0] in text and one["precision"] in text for one in judged)
    assert len(verdicts["cells"]) == len({condition for _, condition in cells})
    assert "recommended: " in text
    for one in comparison["comparisons"]:
        found = one["metrics"][comparison["primary"]]
        assert found["ci"][0] <= found["value"] <= found["ci"][1]


def _judged(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """What is said of every precision but the baseline."""
    return [one for one in cell["entries"] if not one["baseline"]]


def _published(study: Path, verdicts: dict[str, Any]) -> None:
    """All five files; the paper tells what every precision reaches, and each says that it is a demo."""
    pages = {name: PdfReader(study / f"{name}.pdf").pages for name in ("paper", "appendix", "slides")}
    assert 4 <= len(pages["paper"]) <= 6
    assert len(pages["appendix"]) == 1
    assert 8 <= len(pages["slides"]) <= 15
    told = {name: "".join(page.extract_text() for page in found) for name, found in pages.items()}
    assert all("demo" in text for text in told.values())
    # a name may be broken at its hyphens, where a column ends
    words = "".join(told["paper"].split())
    assert all("".join(one["precision"].split()) in words for cell in verdicts["cells"] for one in _judged(cell))
    page = (study / "index.html").read_text()
    assert 'src="http' not in page and "<link" not in page
    inspection = json.loads((study / "inspection.json").read_text())
    assert {one["check"] for one in inspection["looked_for"]} >= {"privacy", "hallucinated objects"}
    with zipfile.ZipFile(study / f"{study.name}.zip") as archive:
        names = archive.namelist()
    assert any(name.endswith("/results/" + study.name + "/paper.pdf") for name in names)
    shown = re.findall(r"!\[[^\n]*\]\(([^)\n]+)\)", (study / "paper.md").read_text())
    assert shown and all((study / path).is_file() for path in shown)
    below = f"{study.name}/bitbudget/results/{study.name}"
    assert {f"{below}/{path}" for path in shown} <= set(names)
    assert not any("checkpoint/" in name for name in names)


def _noise_floor(comparison: dict[str, Any]) -> None:
    """The baseline differs from itself by little, and no precision's difference is its."""
    floors = [one for one in comparison["comparisons"] if one["kind"] == "noise_floor"]
    assert floors and all(one["precision"] == comparison["baseline"] for one in floors)
    for one in floors:
        assert one["answers"]["changed"] <= 0.2 * one["n"]


def _repeats(study: Path, repeats: int) -> None:
    """Every repeat of a precision began before the next of any; simulated precisions have but one, without numbers."""
    began: dict[int, list[str]] = {}
    for path in study.glob("*/*/*/measurements/repeat-*.json"):
        one = json.loads(path.read_text())
        if "value" in one["metrics"]["latency"]:
            began.setdefault(one["repeat"], []).append(one["started"])
    assert sorted(began) == list(range(1, repeats + 1))
    for number in range(1, repeats):
        assert max(began[number]) <= min(began[number + 1])


def _carbon(study: Path) -> None:
    with (study / "carbon.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    own = [row for row in rows if row["what_if"] == "False"]
    assert len(rows) > len(own) > 0
    for row in own:
        assert (row["carbon_per_1000_items_g"] == "") == (row["energy_per_item_J"] == "")
        assert row["energy_per_item_J"] != "" or row["note"]
        assert float(row["flops_per_item"]) > 1e6
