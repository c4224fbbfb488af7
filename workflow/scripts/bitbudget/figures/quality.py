"""Quality against precision: the primary metric large, the others as small multiples, all with their intervals."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bitbudget.figures import rows, style
from bitbudget.figures.study import Study

COLUMNS = 3


def draw(study: Study) -> Figure:
    """The figure. Metrics that no row has are left out and named below it."""
    made = rows.blocks(study, study.models, study.conditions)
    have = [name for name in study.metrics if any(row.quality[name].value is not None for row in study.rows)]
    others = [name for name in have if name != study.primary]
    columns = min(COLUMNS, len(others))
    bands = -(-len(others) // columns) if others else 0
    body = rows.height(made)
    heights = [body * style.ROW * 1.15 + 0.1, *[body * style.ROW * 0.8 + 0.1] * bands]
    figure = style.new_figure(style.WIDTH, sum(heights) + 0.62 * len(heights) + 0.75)
    footnotes = style.Footnotes()
    # Parts of their own, so that the numbers at the right of the large panel do not narrow the small ones.
    parts = figure.subfigures(2 if bands else 1, 1, height_ratios=[heights[0], sum(heights[1:])][: 1 + (bands > 0)])
    top = parts[0] if bands else parts
    _panel(top.subplots(), study, made, study.primary, footnotes, large=True)
    if bands:
        grid = parts[1].add_gridspec(bands, columns)
        for i, name in enumerate(others):
            axes = parts[1].add_subplot(grid[i // columns, i % columns])
            _panel(axes, study, made, name, footnotes, large=columns == 1, labels=i % columns == 0)

    label = study.metrics[study.primary]["label"]
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
            f"Not computed: {', '.join(missing)} (summary.csv, column notes, says why)." if missing else "",
            *footnotes.lines(),
            study.provenance(),
            study.note,
        ],
    )
    return figure


def _panel(
    axes: Axes,
    study: Study,
    made: list[rows.Block],
    name: str,
    footnotes: style.Footnotes,
    *,
    large: bool,
    labels: bool = True,
) -> None:
    rows.prepare(axes, made, labels=labels)
    rows.reference_lines(axes, made, lambda row: row.quality[name].value)
    if name in study.floor:
        axes.axvline(study.floor[name], color=style.MUTED, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1.4)
    size = 6.5 if large else 4.5
    for slot in (slot for block in made for slot in block.slots):
        quantity = slot.row.quality[name]
        if quantity.value is None:
            rows.not_measured(axes, slot.y, quantity, footnotes)
            continue
        colour = study.colours[slot.row.precision]
        if quantity.low is not None:
            ends = [quantity.low, quantity.high]
            axes.plot(ends, [slot.y] * 2, color=colour, linewidth=2.2 if large else 1.6, solid_capstyle="butt")
        face = "white" if slot.row.baseline else colour
        marker = "D" if slot.row.baseline else "o"
        axes.plot(
            quantity.value,
            slot.y,
            marker,
            markersize=size * (0.9 if slot.row.baseline else 1),
            markerfacecolor=face,
            markeredgecolor=colour,
            markeredgewidth=1.4,
        )
        if large:
            text = style.score(quantity.value)
            if quantity.low is not None:
                text += f"  [{style.score(quantity.low)}, {style.score(quantity.high)}]"
            axes.annotate(
                text,
                (1, slot.y),
                xycoords=("axes fraction", "data"),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
            )
    axes.margins(x=0.06)
    about = study.metrics[name]
    better = "higher is better" if about["higher_is_better"] else "lower is better"
    unit = "" if about["unit"] == "score" else f", {about['unit']}"
    axes.set_xlabel(f"{about['label']} ({better}{unit})" if large else about["label"] + unit)
