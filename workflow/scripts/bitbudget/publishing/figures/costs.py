"""Costs against precision: size, latency by phases, memory and energy, one facet a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bitbudget.measuring.phase_names import PHASES
from bitbudget.publishing.figures import rows, style
from bitbudget.publishing.figures.study import Quantity, Row, Study, span
from bitbudget.telling.wording import unit_for


@dataclass(frozen=True)
class Cost:
    """A cost, and how its figure speaks of it."""

    metric: str
    title: str
    axis: str  # may name the study's {item}
    unit: str
    by_condition: bool = True
    note: str = ""
    beside: str = ""  # a further metric that stands as a number at the right, with this heading
    beside_heading: str = ""
    inside: str = ""  # a part of it that is drawn as a dark inner bar: a metric, or `net`


COSTS = {
    "size": Cost("size_on_disk", "Size on disk", "weight files of the checkpoint", "MB", by_condition=False),
    "latency": Cost(
        "latency",
        "Latency",
        "latency per {item} at batch size 1",
        "s",
        note="Line: median of the whole call with its 95 % interval (order statistics); phases are timed apart.",
    ),
    "memory": Cost("peak_memory", "Peak memory", "peak memory allocated on the GPU", "MB", inside="weights_in_memory"),
    "energy": Cost("energy_per_item", "Energy", "energy per {item}", "J", inside="net"),
}
# Said of times and rates that several processes measured.
WIDENED = "Intervals are widened to hold what every repeat found alone."
RESIDENT = "resident set"
# Of one of several panels side by side: the share of its width that the numbers take, for each of them; and the letters
# of the lines below all of them.
NUMBERS, LETTERS = 0.12, 84
# On a CPU the peak is the whole process with its libraries, which hides the model: what the weights take is compared.
ON_CPU = Cost(
    "weights_in_memory",
    "Weights in memory",
    "weights in memory",
    "MB",
    note="At the right: the largest resident set of the whole process, libraries included; it hardly tells models "
    "apart, so it is not compared.",
    beside="peak_memory",
    beside_heading="whole process",
)
# That of a detector is LiteRT and the model, and LiteRT does not tell what the weights take of it.
OF_PROCESS = Cost(
    "peak_memory",
    "Peak memory",
    "largest resident set of the process",
    "MB",
    note="The whole process is counted, Python and its libraries included.",
)


def cost_of(study: Study, name: str) -> Cost:
    """The cost as this study can show it: which memory was counted, and at which batch size energy was read."""
    cost = replace(COSTS[name], axis=COSTS[name].axis.format(item=study.item))
    if name == "memory" and any(row.costs["peak_memory"].kind == RESIDENT for row in study.rows):
        return ON_CPU if any(row.costs["weights_in_memory"].value is not None for row in study.rows) else OF_PROCESS
    sizes = sorted({size for row in study.rows if (size := row.costs[cost.metric].batch_size)})
    return replace(cost, axis=f"{cost.axis} at batch size {span(sizes)}") if sizes else cost


def draw(study: Study, name: str) -> Figure:
    """The figure of one cost: `size`, `latency`, `memory` or `energy`."""
    cost = cost_of(study, name)
    conditions = study.conditions if cost.by_condition else study.conditions[:1]
    facets = [rows.blocks(study, [model], conditions) for model in study.models]
    heights = [rows.height(made) * style.ROW + 0.1 for made in facets]
    top = 0.3 if name == "latency" else 0.0
    figure = style.new_figure(style.WIDTH, sum(heights) + 0.75 * len(facets) + 0.75 + top)
    footnotes = style.Footnotes()
    panels = figure.subplots(len(facets), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, model, made in zip(panels, study.models, facets, strict=True):
        panel(axes, study, cost, made, footnotes)
        if len(study.models) > 1:
            axes.set_title(model, loc="left", fontweight="bold", fontsize=8.5)
    if name == "latency" and (patches := _phase_key(study)):
        figure.legend(
            handles=patches, loc="outside upper right", ncols=4, frameon=False,
            handlelength=1, handleheight=1, columnspacing=1.4, borderpad=0, fontsize=7.5,
        )  # fmt: skip
    style.title(figure, f"{cost.title} by precision")
    delegates = study.delegates() if name == "latency" else []
    lines = [_note(study, cost), *footnotes.lines(), *delegates, *warnings(study, cost), study.provenance(), study.note]
    style.notes(figure, lines)
    return figure


def _phase_key(study: Study) -> list[Patch]:
    """The legend's entries: phases that any row has, so none of vision where no model has a vision tower."""
    colours = zip(PHASES.items(), style.PHASE_COLOURS, strict=True)
    return [
        Patch(color=colour, label=label)
        for (name, label), colour in colours
        if any(row.costs[name].value is not None for row in study.rows)
    ]


def warnings(study: Study, cost: Cost) -> list[str]:
    """Which rows' values of this cost cannot be compared with the baseline's, and why."""
    return study.warnings(cost.metric)


def _note(study: Study, cost: Cost) -> str:
    if all(row.costs[cost.metric].value is None for row in study.rows):
        return ""
    shown = [row.costs[cost.metric] for row in study.rows]
    kinds = sorted({one.kind + (f" ({one.scope})" if one.scope else "") for one in shown if one.kind})
    times = f"; {style.TIMES} is against it" if any(one.times for one in shown) else ""
    parts = [f"Dashed: the baseline{times}.", cost.note]
    if any(_inside(row, cost) for row in study.rows):
        parts.append(f"Dark: {_idle(study, cost)}." if cost.inside == "net" else "Dark: the weights in memory.")
    if kinds:
        parts.append(f"{'Source' if cost.unit == 'J' else 'Kind'}: {', '.join(kinds)}.")
    if any(one.low is not None for one in shown) and cost.metric != "latency":
        parts.append("Thin lines: 95 % interval.")
    if cost.metric == "latency" and any(one.repeats > 1 and one.low is not None for one in shown):
        parts.append(WIDENED)
    return " ".join(part for part in parts if part)


def _idle(study: Study, cost: Cost) -> str:
    watts = sorted(watt for row in study.rows if (watt := row.costs[cost.metric].idle_watts) is not None)
    return "what is above the idle machine" + (f" ({span([round(watt) for watt in watts])} W)" if watts else "")


def _inside(row: Row, cost: Cost) -> float:
    """The part of the value that is drawn dark; 0 where there is none."""
    part = row.costs[cost.metric].net if cost.inside == "net" else None
    if cost.inside and cost.inside != "net":
        part = row.costs[cost.inside].value
    return max(part or 0.0, 0.0)


def panel(
    axes: Axes,
    study: Study,
    cost: Cost,
    made: Sequence[rows.Block],
    footnotes: style.Footnotes,
    *,
    columns: int = 1,
    labels: bool = True,
) -> None:
    """One cost of these rows as bars; where it is one of several panels side by side, the unit is on the axis only."""
    narrow = columns > 1
    slots = [slot for block in made for slot in block.slots]
    largest = max((_reach(slot.row, cost) for slot in slots), default=0.0)
    factor, unit = unit_for(cost.unit, largest)
    rows.prepare(axes, made, labels=labels)
    rows.reference_lines(axes, made, lambda row: _scaled(row.costs[cost.metric].value, factor))
    for block in made:
        for slot in block.slots:
            quantity = slot.row.costs[cost.metric]
            if quantity.value is None:
                rows.not_measured(axes, slot.y, quantity, footnotes)
                continue
            if cost.metric == "latency":
                _phases(axes, slot, factor)
            else:
                _bar(axes, slot, quantity.value * factor, study.colours[slot.row.precision])
            axes.barh(slot.y, _inside(slot.row, cost) * factor, height=0.16, color=style.INK)
            _interval(axes, slot.y, quantity, factor)
            label = _label(quantity, narrow=narrow)
            axes.annotate(
                label, (_reach(slot.row, cost) * factor, slot.y), xytext=(3 if narrow else 5, 0),
                textcoords="offset points", va="center", fontsize=6.8 if narrow else 7.5, bbox=style.PLATE,
            )  # fmt: skip
    if cost.beside:
        _beside(axes, cost, slots)
    letters = max((len(_label(slot.row.costs[cost.metric], narrow=narrow)) for slot in slots), default=0)
    room = 1 / (1 - NUMBERS * columns) if narrow else 1.42 if cost.beside else 1.24 + 0.02 * max(0, letters - 17)
    axes.set_xlim(0, largest * factor * room or 1)
    if narrow:
        axes.xaxis.set_major_locator(rows.few_ticks(3))
    if not largest:
        axes.set_xticks([])
    axes.set_xlabel(style.wrapped(f"{cost.axis} ({unit})", LETTERS // columns))


def _label(quantity: Quantity, *, narrow: bool) -> str:
    """The number beside a bar, with its unit where there is room for it, and how it stands to the baseline's."""
    parts = [quantity.text, quantity.times] if narrow else [quantity.with_unit, quantity.times]
    return ("  " if narrow else "   ").join(part for part in parts if part)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _reach(row: Row, cost: Cost) -> float:
    """How far to the right the row's marks go, in the cost's unit."""
    quantity = row.costs[cost.metric]
    if quantity.value is None:
        return 0.0
    phases = sum(row.costs[name].value or 0.0 for name in PHASES) if cost.metric == "latency" else 0.0
    return max(quantity.value, quantity.high or 0.0, phases, _inside(row, cost))


def _bar(axes: Axes, slot: rows.Slot, value: float, colour: str) -> None:
    if slot.row.baseline:
        axes.barh(slot.y, value, height=0.66, facecolor="white", edgecolor=colour, hatch="/////", linewidth=1)
    else:
        axes.barh(slot.y, value, height=0.66, color=colour)


def _beside(axes: Axes, cost: Cost, slots: Sequence[rows.Slot]) -> None:
    """A further metric as a column of numbers at the right edge."""
    texts = [(slot.y, slot.row.costs[cost.beside].with_unit) for slot in slots]
    texts = [(y, text) for y, text in texts if text]
    for y, text in ([(-0.8, cost.beside_heading)] if texts else []) + texts:
        axes.annotate(
            text, (1, y), xycoords=("axes fraction", "data"), ha="right", va="center", fontsize=7, color=style.MUTED,
            annotation_clip=False, bbox=style.PLATE,
        )  # fmt: skip


def _phases(axes: Axes, slot: rows.Slot, factor: float) -> None:
    """The phases of one call, one after the other; outlined for the baseline."""
    left = 0.0
    for name, colour in zip(PHASES, style.PHASE_COLOURS, strict=True):
        value = (slot.row.costs[name].value or 0.0) * factor
        if not value:
            continue
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
