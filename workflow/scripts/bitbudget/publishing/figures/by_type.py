"""Quality by types of item: a band for each answer type and question type, in it a dot for each precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bitbudget.publishing.figures import style
from bitbudget.publishing.figures.rows import few_ticks
from bitbudget.publishing.figures.study import Row, Study

MOST = 12  # types of one kind that are shown
# Inches: from dot to dot, and above and below the dots of a band; of a kind's heading.
STEP, PADDING, HEADING = 0.09, 0.055, 0.27
LEGEND_ROW = 0.19
SHADE = "#F5F5F5"  # every second band


@dataclass(frozen=True)
class Band:
    """The place of one type, in inches from the top of the panel."""

    kind: str
    name: str
    n: int
    top: float
    bottom: float
    heading: str | None  # stands above the first band of its kind


def draw(study: Study) -> Figure:
    """The figure: columns are conditions, rows are models. One without any type says so."""
    bands = _bands(study)
    down, across = len(study.models), len(study.conditions)
    tall = max((band.bottom for band in bands), default=1.0)
    key = LEGEND_ROW * -(-len(study.precisions) // _columns(study)) if bands else 0.0
    heights = [key, (tall + 0.62) * down]
    figure = style.new_figure(max(style.WIDTH, 1.9 + 2.4 * across), sum(heights) + 1.0)
    # A part of its own for the legend, below the title and over all panels.
    parts = figure.subfigures(2 if bands else 1, 1, height_ratios=heights[-2 if bands else -1 :])
    body = parts[1] if bands else parts
    panels = body.subplots(down, across, squeeze=False, sharex=True)
    for i, model in enumerate(study.models):
        for j, condition in enumerate(study.conditions):
            _panel(panels[i, j], study, study.of(model, condition), bands, labels=j == 0)
            heading = [text for text, many in ((model, down > 1), (condition, across > 1)) if many]
            panels[i, j].set_title(" · ".join(heading), loc="left", fontweight="bold", fontsize=8.5)
            if i < down - 1:
                panels[i, j].set_xlabel("")
    label = study.metrics[study.primary]["label"]
    style.title(figure, f"{label} by {' and '.join(_word(kind) for kind in _kinds(study)) or 'type'}")
    if bands:
        parts[0].legend(
            handles=_keys(study), loc="center left", ncols=_columns(study),
            frameon=False, handletextpad=0.3, columnspacing=1.4, borderpad=0, borderaxespad=0.8, fontsize=7.5,
        )  # fmt: skip
    style.notes(figure, [*_notes(study, bands), study.provenance(), study.note])
    return figure


LEGEND_WIDTH = 112  # letters of the legend's size in a row, a mark with its space being five


def _columns(study: Study) -> int:
    """How many precisions stand side by side in the legend."""
    widths = [len(_name(study, name)) + 5 for name in study.precisions]
    return len(widths) if sum(widths) <= LEGEND_WIDTH else max(1, LEGEND_WIDTH // max(widths))


def _name(study: Study, precision: str) -> str:
    return f"{precision} (baseline)" if precision == study.baseline else precision


def _keys(study: Study) -> list[Line2D]:
    """The legend's entries in the order that makes matplotlib, which fills columns, write them row by row."""
    columns, names = _columns(study), study.precisions
    ordered = [name for column in range(columns) for name in names[column::columns]]
    return [Line2D([], [], linestyle="none", label=_name(study, p), **_mark(study, p, 4.5)) for p in ordered]


def _mark(study: Study, precision: str, size: float) -> dict[str, object]:
    colour, baseline = study.colours[precision], precision == study.baseline
    return {
        "marker": "D" if baseline else "o",
        "markersize": size * (0.9 if baseline else 1),
        "markerfacecolor": "white" if baseline else colour,
        "markeredgecolor": colour,
        "markeredgewidth": 1.2,
    }


def _kinds(study: Study) -> list[str]:
    return list(dict.fromkeys(kind for row in study.rows for kind in row.parts))


def _word(kind: str) -> str:
    return kind.replace("_", " ")


def _counts(study: Study, kind: str) -> dict[str, int]:
    """The types of this kind with their numbers of items, the most frequent first."""
    counts: dict[str, int] = {}
    for row in study.rows:
        for name, quantity in row.parts.get(kind, {}).items():
            counts[name] = max(counts.get(name, 0), quantity.n or 0)
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _bands(study: Study) -> list[Band]:
    bands, y = [], 0.0
    for kind in _kinds(study):
        heading: str | None = _word(kind).capitalize()
        for name, n in list(_counts(study, kind).items())[:MOST]:
            top = y + (HEADING if heading else 0)
            y = top + 2 * PADDING + STEP * len(study.precisions)
            bands.append(Band(kind, name, n, top, y, heading))
            heading = None
    return bands


def _panel(axes: Axes, study: Study, rows: Sequence[Row], bands: Sequence[Band], *, labels: bool) -> None:
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    about = study.metrics[study.primary]
    better = "higher is better" if about["higher_is_better"] else "lower is better"
    axes.set_xlabel(f"{about['label']} ({better})")
    if not bands:
        axes.set(xticks=[], yticks=[])
        axes.text(
            0.5, 0.5, "the data set names no types of question or answer", transform=axes.transAxes, ha="center",
            style="italic", color=style.MUTED,
        )  # fmt: skip
        return
    axes.set_ylim(bands[-1].bottom, 0)
    axes.set_yticks([(band.top + band.bottom) / 2 for band in bands])
    axes.set_yticklabels([f"{_shortened(band.name)} (n = {band.n})" for band in bands] if labels else [])
    axes.xaxis.set_major_locator(few_ticks())
    axes.grid(axis="x", color=style.GUIDE, linewidth=0.6)
    for i, band in enumerate(bands):
        if i % 2 == 0:
            axes.axhspan(band.top, band.bottom, color=SHADE, linewidth=0, zorder=0)
        if band.heading and labels:
            axes.annotate(
                band.heading, (0, band.top - HEADING / 2), xycoords=("axes fraction", "data"), ha="right", va="center",
                xytext=(-4, 0), textcoords="offset points", fontweight="bold", fontsize=8, annotation_clip=False,
            )  # fmt: skip
        _dots(axes, study, rows, band)


def _shortened(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:27]}…"


def _dots(axes: Axes, study: Study, rows: Sequence[Row], band: Band) -> None:
    ends = [band.top + 0.02, band.bottom - 0.02]
    floor = study.floor_parts.get(band.kind, {}).get(band.name)
    if floor is not None:
        axes.plot([floor.value] * 2, ends, color=style.MUTED, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1.4)
    for i, row in enumerate(rows):
        quantity = row.parts.get(band.kind, {}).get(band.name)
        if quantity is None:
            continue
        y = band.top + PADDING + STEP * (i + 0.5)
        if row.baseline:
            dashes = {"color": style.BASELINE, "linewidth": 0.9, "linestyle": (0, (4, 2))}
            axes.plot([quantity.value] * 2, ends, zorder=1.5, **dashes)
        if quantity.low is not None:
            bar = [quantity.low, quantity.high]
            axes.plot(bar, [y, y], color=study.colours[row.precision], linewidth=1.4, solid_capstyle="butt", zorder=2)
        axes.plot(quantity.value, y, zorder=3, **_mark(study, row.precision, 3.6))


def _notes(study: Study, bands: Sequence[Band]) -> list[str]:
    if not bands:
        return []
    quantities = [quantity for row in study.rows for part in row.parts.values() for quantity in part.values()]
    with_bar = [quantity.low is not None for quantity in quantities]
    bars = f"Bars: 95 % bootstrap interval over {study.resampled}. " if any(with_bar) else ""
    lines = [
        f"{bars}Dashed: the baseline.",
        f"Without a bar: too few {study.resampled} for an interval." if not all(with_bar) else "",
        f"Dotted: {study.floor_words}." if study.floor_parts else "",
    ]
    for kind in _kinds(study):
        if (count := len(_counts(study, kind))) > MOST:
            lines.append(f"Of {count} {_word(kind)}s the {MOST} most frequent are shown; scores.json has all.")
    return lines
