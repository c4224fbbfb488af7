"""Quality against a cost, with the Pareto front: what nobody beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from bitbudget.publishing import axis_cut
from bitbudget.publishing.figures import labels, style
from bitbudget.publishing.figures.costs import Cost, cost_of, warnings
from bitbudget.publishing.figures.study import Row, Study
from bitbudget.telling.wording import unit_for

FRONT = "Filled, and the black line: the Pareto front of these two. Open: another is as good in both and better in one."
BASELINE, CROSS = "Diamond: the baseline (dashed).", "Cross: not compared."
BARS = (
    "Bars: 95 % intervals. Points whose intervals overlap are not ordered by this picture; that takes a paired "
    "comparison."
)

ALL = "all models"
LETTERS = 46  # that find room below one of several panels side by side


def draw(study: Study, name: str) -> Figure:
    """The figure of quality against one cost (a key of `costs.COSTS`): columns are models, rows are conditions.

    Where there are several models, a last column has all of their precisions in one picture.
    """
    cost, told = cost_of(study, name), study
    study = _with_all(study) if len(study.models) > 1 else study
    across, down = len(study.models), len(study.conditions)
    each = (5.6, 3.6) if across * down == 1 else (3.6, 3.0)
    figure = style.new_figure(max(each[0] * across, style.WIDTH * 0.8), each[1] * down + 1.0)
    footnotes = style.Footnotes()
    panels = figure.subplots(down, across, squeeze=False)
    for i, condition in enumerate(study.conditions):
        for j, model in enumerate(study.models):
            rows = study.of(model, condition)
            _points(panels[i, j], study, cost, rows, footnotes)
            heading = [text for text, many in ((model, across > 1), (condition, down > 1)) if many]
            panels[i, j].set_title(" · ".join(heading), loc="left", fontweight="bold")
    label = study.metrics[study.primary]["label"]
    style.title(figure, f"{label} against {cost.title.lower()}")
    style.notes(
        figure,
        [
            _key(cost, _shown(told, cost, told.rows)),
            BARS if _has_bars(told, cost) else "",
            style.BEYOND if _anything_beyond(study, cost) else "",
            *(f"Not shown: {_left_out(told, cost, reason)} ({reason.rstrip('.')})." for reason in footnotes.reasons()),
            *warnings(told, cost),
            told.provenance(),
            told.note,
        ],
    )
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # names are placed in pixels, so the axes must not move any more
    for i, condition in enumerate(study.conditions):
        for j, model in enumerate(study.models):
            _names(panels[i, j], study, cost, study.of(model, condition))
    return figure


def _with_all(study: Study) -> Study:
    """The study with one more model: all of its models together, in which each has a colour."""
    together = [
        replace(row, model=ALL, precision=f"{row.model}, {row.precision}", baseline=False, fronts=row.across)
        for row in study.rows
    ]
    colours = {
        f"{model}, {precision}": style.PALETTE[number % len(style.PALETTE)]
        for number, model in enumerate(study.models)
        for precision in study.precisions
    }
    return replace(
        study, rows=[*study.rows, *together], models=[*study.models, ALL], colours={**study.colours, **colours}
    )


def _key(cost: Cost, shown: Sequence[Row]) -> str:
    """What the marks mean that there are."""
    front = [FRONT] if any(_on_front(cost, row) for row in shown) else []
    crosses = [CROSS] if any(row.costs[cost.metric].incomparable for row in shown) else []
    return " ".join([*front, *crosses, BASELINE]) if shown else ""


def _on_front(cost: Cost, row: Row) -> bool:
    return cost.metric in row.fronts


def _left_out(study: Study, cost: Cost, reason: str) -> str:
    return ", ".join(dict.fromkeys(row.precision for row in study.rows if _reason(study, cost, row) == reason))


def _reason(study: Study, cost: Cost, row: Row) -> str | None:
    """Why a row is left out, as the footnotes say it; None where it is shown."""
    return None if _absent(study, cost, row) is None else style.shortened(_absent(study, cost, row))


def _has_bars(study: Study, cost: Cost) -> bool:
    return any(
        quantity.low is not None
        for row in _shown(study, cost, study.rows)
        for quantity in (row.costs[cost.metric], row.quality[study.primary])
    )


def _absent(study: Study, cost: Cost, row: Row) -> str | None:
    """Why a row has no point, or None where it has one."""
    for quantity in (row.costs[cost.metric], row.quality[study.primary]):
        if quantity.value is None:
            return quantity.reason
    return None


def _shown(study: Study, cost: Cost, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if _absent(study, cost, row) is None]


def _cut(study: Study, shown: Sequence[Row]) -> axis_cut.Axis | None:
    """The ends of a panel's axis of quality, where it does not hold all."""
    found = [row.quality[study.primary] for row in shown]
    baseline = next((row.quality[study.primary].value for row in shown if row.baseline), None)
    return axis_cut.of_quality([(one.value, one.low, one.high) for one in found], baseline)


def _anything_beyond(study: Study, cost: Cost) -> bool:
    for model in study.models:
        for condition in study.conditions:
            shown = _shown(study, cost, study.of(model, condition))
            cut = _cut(study, shown)
            if any(axis_cut.beyond(row.quality[study.primary].value, cut) for row in shown):
                return True
    return False


def _scale(study: Study, cost: Cost) -> tuple[float, str]:
    """One unit for all panels of the figure."""
    values = [row.costs[cost.metric].value for row in study.rows]
    return unit_for(cost.unit, max((value for value in values if value is not None), default=0.0))


def _points(axes: Axes, study: Study, cost: Cost, rows: list[Row], footnotes: style.Footnotes) -> None:
    about = study.metrics[study.primary]
    factor, unit = _scale(study, cost)
    better = "higher" if about["higher_is_better"] else "lower"
    label = f"{cost.axis} ({unit}), less is better"
    narrow = len(study.models) > 1 and len(label) > LETTERS
    axes.set_xlabel(label.replace("), ", "),\n") if narrow else label)
    unit = " (%)" if about["unit"] == "%" else ""
    axes.set_ylabel(f"{about['label']}{unit}, {better} is better")
    axes.grid(color=style.GUIDE, linewidth=0.6)
    for row in rows:
        reason = _absent(study, cost, row)
        if reason is not None:
            footnotes.mark(reason)
    shown = _shown(study, cost, rows)
    if not shown:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", style="italic", color=style.MUTED)
        return
    xs = [row.costs[cost.metric].value * factor for row in shown]
    ys = [row.quality[study.primary].value for row in shown]
    cut = _cut(study, shown)
    for row, x, y in zip(shown, xs, ys, strict=True):
        colour = study.colours[row.precision]
        for ends in _bars(study, cost, row, factor, cut):
            axes.plot(*zip(*ends, strict=True), color=colour, linewidth=1.2, zorder=2)
        marker = "D" if row.baseline else "X" if row.costs[cost.metric].incomparable else "o"
        axes.plot(
            x, axis_cut.placed(y, cut), (marker, "^", "v")[axis_cut.beyond(y, cut)],
            markersize=6.5 if row.baseline else 7.5, zorder=3, markeredgewidth=1.5, clip_on=False,
            markerfacecolor=colour if _on_front(cost, row) else "white", markeredgecolor=colour,
        )  # fmt: skip
        if row.baseline:
            dashes = {"color": style.BASELINE, "linewidth": 0.8, "linestyle": (0, (4, 2)), "zorder": 1.2}
            axes.axhline(y, **dashes)
            axes.axvline(x, **dashes)
    axes.margins(x=0.16, y=0.12)
    if cut:
        axes.set_ylim(cut)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    # Over the bars between its points; and on to the edges, below them, so that it is seen also where points crowd.
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    line = _front_line(axes, study, cost, shown)
    if line:
        axes.plot(*zip(*line, strict=True), color=style.INK, linewidth=1.0, zorder=1.8)
        axes.plot(*zip(*line[1:-1], strict=True), color=style.INK, linewidth=2.0, zorder=2.5)


def _bars(
    study: Study, cost: Cost, row: Row, factor: float, cut: axis_cut.Axis | None
) -> list[list[tuple[float, float]]]:
    """The ends of the intervals of a row's quality and of its cost, as far as there are any on the axis."""
    quality, spent = row.quality[study.primary], row.costs[cost.metric]
    x, y, bars = spent.value * factor, axis_cut.placed(quality.value, cut), []
    if quality.low is not None and not axis_cut.beyond(quality.value, cut):
        bars.append([(x, quality.low), (x, quality.high)])
    if spent.low is not None:
        bars.append([(spent.low * factor, y), (spent.high * factor, y)])
    return bars


def _front_line(axes: Axes, study: Study, cost: Cost, shown: Sequence[Row]) -> list[tuple[float, float]]:
    """The staircase of the front, and on to the worst quality at its left and to the highest cost at its right; empty
    where nothing is compared."""
    factor, _ = _scale(study, cost)
    points = [
        (row.costs[cost.metric].value * factor, row.quality[study.primary].value)
        for row in shown
        if _on_front(cost, row)
    ]
    if not points:
        return []
    corners = _front_corners(points)
    worst = axes.get_ylim()[0 if study.metrics[study.primary]["higher_is_better"] else 1]
    return [(corners[0][0], worst), *corners, (axes.get_xlim()[1], corners[-1][1])]


def _front_corners(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The front as a staircase: level from each of its points to the cost of the next, then up (or down) to it."""
    ordered = sorted(set(points))
    corners = ordered[:1]
    for (_, y), (x, next_y) in pairwise(ordered):
        corners += [(x, y), (x, next_y)]
    return corners


def _names(axes: Axes, study: Study, cost: Cost, rows: list[Row]) -> None:
    shown = _shown(study, cost, rows)
    if not shown:
        return
    factor, _ = _scale(study, cost)
    cut = _cut(study, shown)
    points, drawn, names, obstacles = [], [], [], []
    for row in shown:
        x, y = row.costs[cost.metric].value * factor, row.quality[study.primary].value
        points.append((x, y))
        drawn.append((x, axis_cut.placed(y, cut)))
        level = row.quality[study.primary].text
        names.append(f"{row.precision}: {level}" if axis_cut.beyond(y, cut) else row.precision)
        for ends in _bars(study, cost, row, factor, cut):
            low, high = axes.transData.transform(ends)
            obstacles.append(Bbox([low - 2, high + 2]))
    # The lines that a name should not lie on: the baseline's and the front's.
    if line := _front_line(axes, study, cost, shown):
        front = axes.transData.transform(line)
        obstacles += [Bbox([np.minimum(a, b) - 1, np.maximum(a, b) + 1]) for a, b in pairwise(front)]
    inside = axes.get_window_extent()
    for row, point in zip(shown, points, strict=True):
        if row.baseline:
            x, y = axes.transData.transform(point)
            obstacles += [
                Bbox([[inside.x0, y - 1], [inside.x1, y + 1]]),
                Bbox([[x - 1, inside.y0], [x + 1, inside.y1]]),
            ]
    labels.place(axes, drawn, names, [study.colours[row.precision] for row in shown], obstacles)
