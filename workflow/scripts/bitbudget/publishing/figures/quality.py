"""Quality against precision: the primary metric large, the others as small multiples, all with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from bitbudget.publishing import axis_cut
from bitbudget.publishing.figures import rows, style
from bitbudget.publishing.figures.study import Study
from bitbudget.telling import wording

LETTERS = 86  # of the lines below all small panels of a band
FAR_APART = 10.0  # a metric that may have a logarithmic scale has one where its values differ by this factor or more


@dataclass(frozen=True)
class Layout:
    """Small panels side by side, and the rows' distance in the large panel and in the small ones, in inches."""

    columns: int
    large: float
    small: float


def _layout(height: float, others: int) -> Layout:
    """A figure of many rows is drawn more densely, lest it is longer than a page; `height` is in rows."""
    if height <= 14:
        return Layout(min(3, others), 1.15 * style.ROW, 0.8 * style.ROW)
    bands = -(-others // 6)
    return Layout(-(-others // bands) if others else 0, 0.8 * style.ROW, 0.6 * style.ROW)


def draw(study: Study) -> Figure:
    """The figure. Metrics that no row has are left out and named below it."""
    made = rows.blocks(study, study.models, study.conditions)
    have = [name for name in study.metrics if any(row.quality[name].value is not None for row in study.rows)]
    others = [name for name in have if name != study.primary]
    body = rows.height(made)
    layout = _layout(body, len(others))
    columns = layout.columns
    bands = -(-len(others) // columns) if others else 0
    heights = [body * layout.large + 0.1, *[body * layout.small + 0.1] * bands]
    figure = style.new_figure(style.WIDTH, sum(heights) + 0.62 * len(heights) + 0.75)
    footnotes = style.Footnotes()
    # Parts of their own, so that the numbers at the right of the large panel do not narrow the small ones.
    parts = figure.subfigures(2 if bands else 1, 1, height_ratios=[heights[0], sum(heights[1:])][: 1 + (bands > 0)])
    top = parts[0] if bands else parts
    _panel(top.subplots(), study, made, study.primary, footnotes)
    if bands:
        grid = parts[1].add_gridspec(bands, columns)
        for i, name in enumerate(others):
            axes = parts[1].add_subplot(grid[i // columns, i % columns])
            _panel(axes, study, made, name, footnotes, columns=columns, labels=i % columns == 0)

    label = study.metrics[study.primary]["label"]
    cuts = {name: cut for name in have if (cut := _cut(study, name))}
    style.title(figure, f"Quality by precision: {label}")
    bare = [name for name in have if all(row.quality[name].low is None for row in study.rows)]
    missing = [study.metrics[name]["label"] for name in study.metrics if name not in have]
    style.notes(
        figure,
        [
            (f"Bars: 95 % bootstrap interval over {study.resampled}. " if bare != have else "")
            + "Dashed: the baseline.",
            f"Without an interval: {', '.join(study.metrics[name]['label'] for name in bare)}." if bare else "",
            f"Dotted: {study.floor_words}." if study.floor else "",
            _left_out(study, cuts),
            f"Also in summary.csv: {', '.join(study.further)}." if study.further else "",
            f"Not computed: {', '.join(missing)} (summary.csv, column notes, says why)." if missing else "",
            *footnotes.lines(),
            study.provenance(),
            study.note,
        ],
    )
    return figure


def _cut(study: Study, name: str) -> axis_cut.Axis | None:
    """The ends of a metric's axis, where it does not hold all; a logarithmic one has room for all."""
    found = [row.quality[name] for row in study.rows if row.quality[name].value is not None]
    if _logarithmic(study, name):
        return None
    baselines = [row.quality[name].value for row in study.rows if row.baseline and row.quality[name].value is not None]
    spans = [(one.value, one.low, one.high) for one in found]
    return axis_cut.of_quality(spans, median(baselines) if baselines else None)


def _left_out(study: Study, cuts: Mapping[str, axis_cut.Axis]) -> str:
    """What is to be known of axes that are cut; nothing where none is."""
    shown = [(row.quality[name].value, cut) for name, cut in cuts.items() for row in study.rows]
    arrows = any(axis_cut.beyond(value, cut) for value, cut in shown if value is not None)
    floors = [name for name, cut in cuts.items() if name in study.floor and axis_cut.beyond(study.floor[name], cut)]
    said = [style.BEYOND] if arrows else []
    if floors:
        units = {name: " %" if study.metrics[name]["unit"] == "%" else "" for name in floors}
        listed = ", ".join(
            f"{study.metrics[name]['label']} {wording.number(study.floor[name])}{units[name]}" for name in floors
        )
        said.append(f"The dotted line lies beyond the axis, too: {listed}.")
    return " ".join(said)


def _panel(
    axes: Axes,
    study: Study,
    made: list[rows.Block],
    name: str,
    footnotes: style.Footnotes,
    *,
    columns: int = 1,
    labels: bool = True,
) -> None:
    """One metric of all rows; where it is one of several panels side by side, its values are not written out."""
    large = columns == 1
    rows.prepare(axes, made, labels=labels)
    rows.reference_lines(axes, made, lambda row: row.quality[name].value)
    cut = _cut(study, name)
    if name in study.floor and not axis_cut.beyond(study.floor[name], cut):
        axes.axvline(study.floor[name], color=style.MUTED, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1.4)
    size = 6.5 if large else 4.5
    for slot in (slot for block in made for slot in block.slots):
        quantity = slot.row.quality[name]
        if quantity.value is None:
            rows.not_measured(axes, slot.y, quantity, footnotes)
            continue
        colour = study.colours[slot.row.precision]
        beyond = axis_cut.beyond(quantity.value, cut)
        if quantity.low is not None and not beyond:
            ends = [quantity.low, quantity.high]
            axes.plot(ends, [slot.y] * 2, color=colour, linewidth=2.2 if large else 1.6, solid_capstyle="butt")
        face = "white" if slot.row.baseline else colour
        marker = ("D" if slot.row.baseline else "o", ">", "<")[beyond]
        axes.plot(
            axis_cut.placed(quantity.value, cut),
            slot.y,
            marker,
            markersize=size * (0.9 if slot.row.baseline else 1),
            markerfacecolor=face,
            markeredgecolor=colour,
            markeredgewidth=1.4,
        )
        if beyond and not large:
            axes.annotate(
                quantity.text,
                (axis_cut.placed(quantity.value, cut), slot.y),
                xytext=(-6 * beyond, 0),
                textcoords="offset points",
                ha="right" if beyond > 0 else "left",
                va="center",
                fontsize=6.5,
                bbox=style.PLATE,
            )
        if large:
            axes.annotate(
                f"{quantity.text}  {quantity.interval}".rstrip(),
                (1, slot.y),
                xycoords=("axes fraction", "data"),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
            )
    axes.margins(x=0.06)
    if cut:
        axes.set_xlim(cut)
    if columns > 3:
        axes.xaxis.set_major_locator(rows.few_ticks(3))
        if cut:  # its ticks are closer to each other and have more digits
            inside = [tick for tick in axes.get_xticks() if cut[0] <= tick <= cut[1]]
            axes.set_xticks([inside[0], inside[-1]])
            axes.tick_params(axis="x", labelsize=6.2)
    if _logarithmic(study, name):
        _scale_logarithmically(axes)
    axes.set_xlabel(style.wrapped(_label(study.metrics[name], large), LETTERS // columns))


def _label(about: dict[str, Any], large: bool) -> str:
    """A metric's name with what is to be known of it; that higher is better goes without saying in a small panel."""
    said = ["higher is better" if about["higher_is_better"] else "lower is better"]
    said = [] if about["higher_is_better"] and not large else said
    said += [about["unit"]] if about["unit"] != "score" else []
    return f"{about['label']} ({', '.join(said)})" if said else about["label"]


def _logarithmic(study: Study, name: str) -> bool:
    """Whether a metric asks for a logarithmic axis, and its values are far apart."""
    about = study.metrics[name]
    found = [row.quality[name].value for row in study.rows] + [study.floor.get(name)]
    values = [value for value in found if value is not None]
    return about.get("scale") == "log" and min(values) > 0 and max(values) >= FAR_APART * min(values)


def _scale_logarithmically(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=4))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.5g}"))
