"""Costs against precision: size, latency by phases, memory and energy, one facet a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bitbudget.figures import rows, style
from bitbudget.figures.study import PHASES, Quantity, Row, Study


@dataclass(frozen=True)
class Cost:
    """A cost, and how its figure speaks of it."""

    metric: str
    title: str
    axis: str
    unit: str
    by_condition: bool = True
    note: str = ""


COSTS = {
    "size": Cost("size_on_disk", "Size on disk", "weight files of the checkpoint", "MB", by_condition=False),
    "latency": Cost(
        "latency",
        "Latency",
        "latency per item at batch size 1",
        "s",
        note="Line: median of the whole call with its 95 % interval (order statistics); phases are timed apart.",
    ),
    "memory": Cost("peak_memory", "Peak memory", "peak memory", "MB"),
    "energy": Cost("energy_per_item", "Energy", "energy per item", "J"),
}


def draw(study: Study, name: str) -> Figure:
    """The figure of one cost: `size`, `latency`, `memory` or `energy`."""
    cost = COSTS[name]
    conditions = study.conditions if cost.by_condition else study.conditions[:1]
    facets = [rows.blocks(study, [model], conditions) for model in study.models]
    heights = [rows.height(made) * style.ROW + 0.1 for made in facets]
    top = 0.3 if name == "latency" else 0.0
    figure = style.new_figure(style.WIDTH, sum(heights) + 0.75 * len(facets) + 0.75 + top)
    footnotes = style.Footnotes()
    panels = figure.subplots(len(facets), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, model, made in zip(panels, study.models, facets, strict=True):
        _panel(axes, study, cost, made, footnotes)
        if len(study.models) > 1:
            axes.set_title(model, loc="left", fontweight="bold", fontsize=8.5)
    if name == "latency":
        patches = [Patch(color=c, label=label) for c, label in zip(style.PHASE_COLOURS, PHASES.values(), strict=True)]
        figure.legend(
            handles=patches, loc="outside upper right", ncols=4, frameon=False,
            handlelength=1, handleheight=1, columnspacing=1.4, borderpad=0, fontsize=7.5,
        )  # fmt: skip
    style.title(figure, f"{cost.title} by precision")
    style.notes(figure, [_note(study, cost), *footnotes.lines(), study.note])
    return figure


def _note(study: Study, cost: Cost) -> str:
    if all(row.costs[cost.metric].value is None for row in study.rows):
        return ""
    kinds = sorted({row.costs[cost.metric].kind for row in study.rows if row.costs[cost.metric].kind})
    parts = [f"Dashed: the baseline; {style.TIMES} is against it.", cost.note]
    if cost.metric == "peak_memory" and any(row.costs["weights_in_memory"].value is not None for row in study.rows):
        parts.append("Dark: the weights in memory.")
    if kinds:
        parts.append(f"{'Source' if cost.unit == 'J' else 'Kind'}: {', '.join(kinds)}.")
    if any(row.costs[cost.metric].low is not None for row in study.rows) and cost.metric != "latency":
        parts.append("Thin lines: 95 % interval.")
    return " ".join(part for part in parts if part)


def _panel(axes: Axes, study: Study, cost: Cost, made: Sequence[rows.Block], footnotes: style.Footnotes) -> None:
    slots = [slot for block in made for slot in block.slots]
    largest = max((_reach(slot.row, cost) for slot in slots), default=0.0)
    factor, unit = style.unit_for(cost.unit, largest)
    rows.prepare(axes, made)
    rows.reference_lines(axes, made, lambda row: _scaled(row.costs[cost.metric].value, factor))
    for block in made:
        base = block.baseline.costs[cost.metric].value if block.baseline else None
        for slot in block.slots:
            quantity = slot.row.costs[cost.metric]
            if quantity.value is None:
                rows.not_measured(axes, slot.y, quantity, footnotes)
                continue
            if cost.metric == "latency":
                _phases(axes, slot, factor)
            else:
                _bar(axes, slot, quantity.value * factor, study.colours[slot.row.precision])
            if cost.metric == "peak_memory":
                _weights(axes, slot, factor)
            _interval(axes, slot.y, quantity, factor)
            label = f"{style.number(quantity.value * factor)} {unit}"
            if base and not slot.row.baseline:
                label += f"   {quantity.value / base:.2f}{style.TIMES}"
            axes.annotate(
                label, (_reach(slot.row, cost) * factor, slot.y), xytext=(5, 0),
                textcoords="offset points", va="center", fontsize=7.5, bbox=style.PLATE,
            )  # fmt: skip
    axes.set_xlim(0, largest * factor * 1.24 or 1)
    if not largest:
        axes.set_xticks([])
    axes.set_xlabel(f"{cost.axis} ({unit})")


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _reach(row: Row, cost: Cost) -> float:
    """How far to the right the row's marks go, in the cost's unit."""
    quantity = row.costs[cost.metric]
    if quantity.value is None:
        return 0.0
    phases = sum(row.costs[name].value or 0.0 for name in PHASES) if cost.metric == "latency" else 0.0
    weights = (row.costs["weights_in_memory"].value or 0.0) if cost.metric == "peak_memory" else 0.0
    return max(quantity.value, quantity.high or 0.0, phases, weights)


def _bar(axes: Axes, slot: rows.Slot, value: float, colour: str) -> None:
    if slot.row.baseline:
        axes.barh(slot.y, value, height=0.66, facecolor="white", edgecolor=colour, hatch="/////", linewidth=1)
    else:
        axes.barh(slot.y, value, height=0.66, color=colour)


def _weights(axes: Axes, slot: rows.Slot, factor: float) -> None:
    weights = slot.row.costs["weights_in_memory"].value
    if weights is not None:
        axes.barh(slot.y, weights * factor, height=0.16, color=style.INK)


def _phases(axes: Axes, slot: rows.Slot, factor: float) -> None:
    """The phases of one call, one after the other; outlined for the baseline."""
    left = 0.0
    for name, colour in zip(PHASES, style.PHASE_COLOURS, strict=True):
        value = (slot.row.costs[name].value or 0.0) * factor
        axes.barh(slot.y, value, left=left, height=0.66, color=colour)
        left += value
    if left == 0:  # the whole call was timed, its phases were not
        total = slot.row.costs["latency"].value * factor
        axes.barh(slot.y, total, height=0.66, facecolor="none", edgecolor=style.MUTED, linewidth=0.8)
    elif slot.row.baseline:
        axes.barh(slot.y, left, height=0.66, facecolor="none", edgecolor=style.INK, linewidth=1)


def _interval(axes: Axes, y: float, quantity: Quantity, factor: float) -> None:
    """The value's interval as a thin line with ends."""
    if quantity.low is None:
        return
    value, low, high = quantity.value * factor, quantity.low * factor, quantity.high * factor
    axes.plot([low, high], [y, y], color=style.INK, linewidth=1)
    axes.plot([low, high], [y] * 2, "|", color=style.INK, markersize=4, markeredgewidth=1)
    axes.plot(value, y, "|", color=style.INK, markersize=8, markeredgewidth=1.2)
