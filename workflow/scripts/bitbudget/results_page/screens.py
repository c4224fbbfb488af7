"""What the inspection of the outputs found, written for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget import wording

Record = Mapping[str, Any]

MOST_FLAGGED = 500  # that the page lists; flagged.csv has all
CHAIR = {"chair_i": "CHAIR-i", "chair_s": "CHAIR-s"}


def of(inspection: Record) -> dict[str, Any]:
    """The table of every precision, what was looked for, and what was flagged."""
    return {
        "looked_for": inspection["looked_for"],
        "metrics": [[name, f"{label} (%)"] for name, label in CHAIR.items()],
        "cells": [_cell(inspection, cell) for cell in inspection["cells"]],
        "flagged": {"rows": _first_flagged(inspection["flagged"]), "total": len(inspection["flagged"])},
        "redaction": inspection["redaction"],
        "limits": inspection["limits"],
    }


def _first_flagged(flagged: Sequence[Record]) -> list[Record]:
    """At most `MOST_FLAGGED`, what concerns people before objects that are not in a picture."""
    return sorted(flagged, key=lambda one: one["kind"] == "objects")[:MOST_FLAGGED]


def _cell(inspection: Record, cell: Record) -> dict[str, Any]:
    names = ("model", "condition", "precision")
    compared = next(
        (one for one in inspection["comparisons"] if all(one[name] == cell[name] for name in names)), {"metrics": {}}
    )
    return {name: cell[name] for name in (*names, "n", "flagged")} | {
        "metrics": {name: _level(cell["metrics"].get(name)) for name in CHAIR},
        "differences": {name: _difference(compared["metrics"].get(name)) for name in CHAIR},
    }


def _level(metric: Record | None) -> dict[str, Any]:
    if not metric or "value" not in metric:
        return {"absent": (metric or {}).get("absent", "not computed in this run")}
    ci = metric.get("ci")
    decimals = wording.decimals_for((ci[1] - ci[0]) / 3.92 * 100) if ci else None
    digits = 1 if decimals is None else decimals
    shown = {"text": f"{100 * metric['value']:.{digits}f}"}
    return shown | ({"ci": f"[{', '.join(f'{100 * end:.{digits}f}' for end in ci)}]"} if ci else {})


def _difference(metric: Record | None) -> dict[str, Any]:
    if metric is None:
        return {"absent": "not compared: this is the baseline, or there is nothing to compare"}
    if "value" not in metric:
        return {"absent": metric["absent"]}
    ci = metric.get("ci")
    decimals = wording.decimals_for((ci[1] - ci[0]) / 3.92 * 100) if ci else None
    digits = 1 if decimals is None else decimals

    def written(value: float) -> str:
        return f"{100 * value:+.{digits}f}".replace("-", wording.MINUS)

    p = metric.get("p_holm") or metric.get("p_value")
    shown = {"text": written(metric["value"])} | ({"ci": f"[{', '.join(map(written, ci))}]"} if ci else {})
    return shown | ({"note": wording.p_value(p)} if p else {})
