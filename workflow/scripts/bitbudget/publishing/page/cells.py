"""What the page shows of one model under one condition: its cell of verdicts.json, and the values of its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget import registry
from bitbudget.measuring.phase_names import NO_REASON, PHASES, phases_of
from bitbudget.publishing import axis_cut
from bitbudget.telling.evidence import Evidence

Record = Mapping[str, Any]
# A value of a plot, and its interval or two times None; or why there is none.
Value = list[float | None] | str


def of(evidence: Evidence, cell: Record) -> dict[str, Any]:
    """All of one cell."""
    return {**cell, "plots": _plots(evidence, cell)}


def _plots(evidence: Evidence, cell: Record) -> dict[str, Any]:
    """Values for the plots in the units of their axes."""
    metrics, factors = evidence.verdicts["metrics"], {one["metric"]: one["factor"] for one in cell["costs"]}
    names = [f"latency_{phase}" for phase in phases_of(registry.module_of("track", evidence.track))]
    points = []
    for entry in cell["entries"]:
        measured = evidence.measurements[cell["model"], entry["precision"], cell["condition"]]["metrics"]
        told = {one["name"]: entry["metrics"].get(one["name"], {}) for one in metrics}
        points.append(
            {
                "precision": entry["precision"],
                "unusable": entry["incomparable"],
                "quality": {name: _value(metric) for name, metric in told.items()},
                "differences": {name: _value(metric.get("difference", {})) for name, metric in told.items()},
                "costs": {name: _value(entry["costs"][name], factor) for name, factor in factors.items()},
                "phases": {name: _phase(measured, name, factors["latency"]) for name in names},
            }
        )
    return {
        "phases": [{"name": name, "label": PHASES[name]} for name in names],
        "points": points,
        "cuts": {one["name"]: _cuts(points, one["name"], evidence.baseline) for one in metrics},
    }


def _value(told: Record, factor: float = 1.0) -> Value:
    if "value" not in told:
        return told.get("absent", "not in the scores of this run")
    return [told["value"] * factor, *(end if end is None else end * factor for end in told["ci"] or (None, None))]


def _phase(measured: Record, name: str, factor: float) -> Value:
    """A phase that is not in the record is absent for the reason for which nothing was timed."""
    metric = measured.get(name) or {"absent": measured.get("latency", {}).get("absent", NO_REASON)}
    return _value({"ci": None} | dict(metric), factor)


def _cuts(points: Sequence[Record], metric: str, baseline: str) -> dict[str, dict[str, Any]]:
    """Where the axes of a metric's values and of its differences are cut, and where arrows stand for what lies beyond.

    `axis` is None where an axis holds all; `beyond` has the arrows' places by precision.
    """
    quality, differences = (
        {one["precision"]: span for one in points if isinstance(span := one[what][metric], list)}
        for what in ("quality", "differences")
    )
    base = quality[baseline][0] if baseline in quality else None
    near = axis_cut.NEAR * abs(base or 0.0)
    return {
        "quality": _cut(axis_cut.of_quality([*quality.values()], base), quality),
        "differences": _cut(axis_cut.ends([*differences.values()], near=near), differences),
    }


def _cut(axis: axis_cut.Axis | None, spans: Mapping[str, axis_cut.Span]) -> dict[str, Any]:
    arrows = {name: axis_cut.placed(span[0], axis) for name, span in spans.items() if axis_cut.beyond(span[0], axis)}
    return {"axis": axis, "beyond": arrows}
