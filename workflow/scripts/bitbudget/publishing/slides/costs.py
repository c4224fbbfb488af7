"""Slides of costs: what the weights and an answer take, and quality against the cost that the study prefers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.judging import recommendation
from bitbudget.judging.pareto import pareto_front
from bitbudget.judging.recommendation import Cost
from bitbudget.publishing.slides import charts, standing
from bitbudget.publishing.slides.cells import Panel
from bitbudget.publishing.slides.charts import Point, Span
from bitbudget.publishing.slides.texts import ABSENT, REASON, capital, reasons, sentences, width
from bitbudget.telling import wording

Slide = dict[str, Any]
# As wide as a slide, as high as it may be without notes, with names in 20 points.
PLOT = charts.Plot(780.0, 280.0, 10.9, 24.0, 9.0)
NOTE_LINE = (84, 25.0)  # letters of a line of notes, and its height in points
Record = Mapping[str, Any]


def slide(panel: Panel) -> Slide | None:
    """What the weights and an answer take: size or the memory that the study prefers, latency and energy.

    None where there are other precisions than the baseline, and all are simulated: there is no cost to compare.
    """
    if len(panel.rows) > 1 and all(row["simulated"] is not None for row in panel.rows if row is not panel.base):
        return None
    asked = recommendation.preferred(panel.evidence.study["accept"]["prefer"], panel.rows)
    memory = (recommendation.WEIGHTS, recommendation.PEAK)
    first = asked if asked in memory and _measured(panel, asked) else recommendation.SIZE
    shown = (first, recommendation.LATENCY, recommendation.ENERGY)
    names = [row["precision"] for row in panel.rows]
    columns = [(_column(panel, cost), [_cost(panel, cost, row) for row in panel.rows]) for cost in shown]
    left = len(names) - charts.MOST_ROWS
    notes = [f"And {left} more: see summary.csv."] * (left > 0)
    title = cost_title(panel, first)
    if _measured(panel, recommendation.LATENCY):
        notes.append(f"{cost_title(panel, recommendation.LATENCY)}.")
    notes += reasons({row["precision"]: reason for row in panel.rows if (reason := panel.usable(row))})
    for cost in shown:
        if not _measured(panel, cost):
            notes.append(f"{capital(cost.name)} {ABSENT}: {sentences(absence(panel, cost), REASON)}")
    return {
        "kind": "bars",
        "title": title,
        "heading": panel.heading,
        "chart": charts.bars(names, [panel.colours[name] for name in names], columns),
        "notes": notes,
    }


def _measured(panel: Panel, cost: Cost) -> bool:
    return any(row[cost.column] is not None for row in panel.rows)


def _column(panel: Panel, cost: Cost) -> str:
    if cost is not recommendation.ENERGY:
        return cost.name
    return "energy (estimated)" if panel.base.get("energy_how") == "estimated" else "energy"


def _cost(panel: Panel, cost: Cost, row: Record) -> Span:
    value, base = row[cost.column], panel.base[cost.column]
    simulated = row["simulated"] is not None
    if value is None or simulated:
        return Span(row["precision"], None, text="simulated" if simulated else ABSENT)
    factor = f"  {_times(value, base)}" if base and row is not panel.base and not panel.usable(row) else ""
    return Span(row["precision"], value, text=f"{cost.written(value, value)}{factor}")


def _times(value: float, base: float) -> str:
    return f"{value / base:.2f}\N{MULTIPLICATION SIGN}"


def absence(panel: Panel, cost: Cost) -> str:
    """Why a cost is absent, as the record of the baseline's measurement says."""
    name = {"size_on_disk_MB": "size_on_disk", "weights_in_memory_MB": "weights_in_memory",
            "peak_memory_MB": "peak_memory", "latency_median_s": "latency",
            "energy_per_item_J": "energy_per_item"}[cost.column]  # fmt: skip
    key = (panel.model, panel.evidence.baseline, panel.condition)
    return panel.evidence.measurements[key]["metrics"].get(name, {}).get("absent") or "no reason is recorded."


def cost_title(panel: Panel, cost: Cost) -> str:
    """Which precision takes least of a cost, and how much of the baseline's."""
    base = panel.base[cost.column]
    valued = [
        row for row in panel.rows if row is not panel.base and not panel.usable(row) and row[cost.column] is not None
    ]
    if not base:
        return f"{capital(cost.name)} of {panel.evidence.baseline} was {ABSENT}"
    if not valued:
        return f"{capital(cost.name)} of {panel.evidence.baseline}: {cost.written(base, base)}"
    best = min(valued, key=lambda row: row[cost.column])
    value = best[cost.column]
    if value >= base:
        return f"No precision has a lower {cost.name} than {panel.evidence.baseline} ({cost.written(base, base)})"
    told = f"{cost.written(value, base)} instead of {cost.written(base, value)}"
    a, b = cost.interval(best), cost.interval(panel.base)
    doubt = ", but the intervals overlap" if a and b and a[1] >= b[0] else ""
    return f"{best['precision']} has {cost.least}: {told} ({_times(value, base)}{doubt})"


def trade_off(panel: Panel) -> Slide | None:
    """Quality against the cost that the study prefers; None where fewer than two precisions have both."""
    cost = recommendation.preferred(panel.evidence.study["accept"]["prefer"], panel.rows)
    label = panel.words.label
    shown = [row for row in panel.rows if _both(panel, cost, row) is None]
    if len(shown) < 2:
        return None
    largest = max(row[cost.column] for row in shown)
    factor, unit = wording.unit_for(cost.unit, largest)
    metrics = {row["precision"]: panel.quality(row["precision"]) for row in shown}
    qualities = [metrics[row["precision"]]["value"] for row in shown]
    better = panel.words.higher_is_better
    front = pareto_front([row[cost.column] for row in shown], qualities, higher_is_better=better)
    points = []
    for row, on in zip(shown, front, strict=True):
        name, metric = row["precision"], metrics[row["precision"]]
        low, high = (end * panel.words.factor for end in metric["ci"]) if metric.get("ci") else (None, None)
        y = metric["value"] * panel.words.factor
        points.append(Point(name, row[cost.column] * factor, y, low, high, panel.colours[name], on, row is panel.base))
    on_front = [point.name for point in points if point.front]
    left = {row["precision"]: reason for row in panel.rows if (reason := _both(panel, cost, row))}
    unit_y = " (%)" if panel.words.share else ""
    notes = [
        "Filled: none is better in both. Diamond: the baseline. Bars: 95 % intervals.",
        *reasons(left, "Not shown: "),
    ]
    lines = sum(-(-width(note) // NOTE_LINE[0]) for note in notes) + bool(panel.heading)
    plot = dataclasses.replace(PLOT, height=PLOT.height - min(lines, 4) * NOTE_LINE[1])
    return {
        "kind": "scatter",
        "title": _front_title(panel, cost, on_front, len(points)),
        "heading": panel.heading,
        "chart": charts.scatter(points, f"{cost.name} ({unit}), less is better", f"{label}{unit_y}", plot),
        "notes": notes,
    }


def _front_title(panel: Panel, cost: Cost, front: Sequence[str], of: int) -> str:
    """Which precisions no other beats in quality and a cost, in plain words."""
    better = f"no other is both {standing.WORDS[cost][0]} and better in {panel.words.label}"
    if cost in (recommendation.WEIGHTS, recommendation.PEAK, recommendation.ENERGY):
        better = f"no other has both less {cost.name} and better {panel.words.label}"
    if len(front) == 1:
        return f"{front[0]} is best in both {panel.words.label} and {cost.name}"
    who = f"{len(front)} of {of} precisions" if len(front) > 3 else wording.listed(front)
    return f"{who}: {better}"


def _both(panel: Panel, cost: Cost, row: Record) -> str | None:
    """Why a precision has no point; None where it has one."""
    if reason := panel.usable(row):
        return reason
    if row[cost.column] is None:
        return f"{cost.name} {ABSENT}"
    return None if "value" in panel.quality(row["precision"]) else f"{panel.words.label} {ABSENT}"
