"""Forest plots: a difference with its 95 % interval on each row, about a line at no difference.

What stands on a row is told by its mark, its colour and its words alike, so no colour need be seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bitbudget.publishing import axis_cut
from bitbudget.publishing.figures import rows, style
from bitbudget.publishing.figures.study import Quantity

SHADE = "#E9E9E9"  # differences below the smallest detectable one
LIMIT = (0, (1.5, 1.5))
# The markers that stand for the record's marks, and whether they are filled; any other is drawn as the sign itself.
MARKERS = {
    "\N{BLACK DOWN-POINTING TRIANGLE}": ("v", True),
    "\N{BLACK UP-POINTING TRIANGLE}": ("^", True),
    "\N{WHITE CIRCLE}": ("o", False),
    "=": ("s", False),
}


@dataclass(frozen=True)
class Look:
    """What a row is: its words, colour, marker, and whether the marker is filled."""

    words: str
    colour: str
    marker: str
    filled: bool

    def handle(self) -> Line2D:
        """Its entry in the legend."""
        face = self.colour if self.filled else "white"
        return Line2D(
            [], [], linestyle="none", marker=self.marker, markersize=6 if self.marker != "D" else 5, label=self.words,
            markerfacecolor=face, markeredgecolor=self.colour, markeredgewidth=1.3,
        )  # fmt: skip


FLOOR = Look("noise floor", style.BASELINE, "D", False)
INTERACTION = Look("interaction", style.INK, "X", True)


def look_of(kind: Mapping[str, str]) -> Look:
    """How a verdict looks whose `word`, `mark` and `colour` are these."""
    marker, filled = MARKERS.get(kind["mark"], (f"${kind['mark']}$", True))
    return Look(kind["word"], kind["colour"], marker, filled)


@dataclass(frozen=True)
class Mark:
    """What stands on a row: a difference in the written unit, or (value None) the reason why there is none."""

    look: Look
    value: float | None
    low: float | None = None
    high: float | None = None
    seen: float | None = None  # the smallest detectable loss
    text: str = ""  # at the right
    reason: str | None = None

    @property
    def span(self) -> axis_cut.Span:
        """The value with the ends of its interval."""
        return (self.value, self.low, self.high)


Key = tuple[str, str, str]  # model, condition, name of the row
Marks = Mapping[Key, Mark]


def key_of(slot: rows.Slot) -> Key:
    """Where a row's mark is found."""
    return (slot.row.model, slot.row.condition, slot.row.precision)


def panel(
    axes: Axes,
    made: Sequence[rows.Block],
    marks: Marks,
    limits: Sequence[float | None],
    footnotes: style.Footnotes,
    *,
    whole: bool = False,
) -> None:
    """The rows of all blocks; `limits` are where acceptance ends in each block, in the written unit.

    On a `whole` axis there is room for all, however far they lie apart.
    """
    rows.prepare(axes, made)
    shown = [marks[key_of(slot)] for block in made for slot in block.slots]
    left, right = window(shown, [limit for limit in limits if limit is not None], whole=whole)
    axes.set_xlim(left, right)
    axes.axvline(0, color=style.BASELINE, linewidth=0.9, zorder=1.4)
    for block, limit in zip(made, limits, strict=True):
        if limit is not None:
            ends = [block.slots[0].y - 0.5, block.slots[-1].y + 0.5]
            axes.plot([limit, limit], ends, color=style.INK, linewidth=1.1, linestyle=LIMIT, zorder=1.5)
        for slot in block.slots:
            _mark(axes, slot.y, marks[key_of(slot)], (left, right), footnotes)


def window(marks: Sequence[Mark], limits: Sequence[float] = (), *, whole: bool = False) -> tuple[float, float]:
    """The ends of the axis: all rows, but for those that lie so far away that the others could not be told apart."""
    spans = [mark.span for mark in marks if mark.value is not None]
    if not whole and (cut := axis_cut.ends(spans, holds=limits)):
        return cut
    seen = [end for mark in marks if mark.seen is not None for end in (-mark.seen, mark.seen)]
    ends = [0.0, *limits, *seen, *(end for span in spans for end in span if end is not None)]
    left, right = min(ends), max(ends)
    left, right = (left, right) if left < right else (-1.0, 1.0)  # no row differs, and nothing is known of what might
    room = 0.06 * (right - left)
    return left - room, right + room


def _mark(axes: Axes, y: float, mark: Mark, ends: tuple[float, float], footnotes: style.Footnotes) -> None:
    if mark.value is None:
        rows.not_measured(axes, y, Quantity(None, reason=mark.reason), footnotes, "not compared")
        return
    colour, marker, filled = mark.look.colour, mark.look.marker, mark.look.filled
    if mark.seen is not None:
        axes.barh(y, 2 * mark.seen, left=-mark.seen, height=0.7, color=SHADE, zorder=0.4)
    if mark.low is not None:
        axes.plot([mark.low, mark.high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt", zorder=2)
    beyond = axis_cut.beyond(mark.value, ends)
    axes.plot(
        axis_cut.placed(mark.value, ends), y, (marker, ">", "<")[beyond], markersize=6.5 if marker != "D" else 5.5,
        markeredgewidth=1.3, zorder=3, markerfacecolor=colour if filled else "white", markeredgecolor=colour,
        clip_on=False,
    )  # fmt: skip
    axes.annotate(
        mark.text, (1, y), xycoords=("axes fraction", "data"), xytext=(8, 0), textcoords="offset points", va="center",
        fontsize=7.2,
    )  # fmt: skip


COLUMNS, LEGEND_ROW = 4, 0.2  # of the legend; inches
MANY = 20  # from so many rows on they stand closer, lest the figure is longer than a page


def with_legend(made: Sequence[rows.Block], marks: Marks, limit: str = "") -> tuple[Figure, Axes]:
    """A figure with a panel for these blocks, and above it what the marks mean, those that there are.

    `limit` names the dashed line; there is no legend where there is no mark.
    """
    handles, tall = _handles(marks, limit), rows.height(made) if made else 1.5
    height = tall * style.ROW * (1.1 if tall < MANY else 0.75)
    key = LEGEND_ROW * -(-len(handles) // COLUMNS)
    figure = style.new_figure(style.WIDTH, height + key + 1.5)
    if not handles:
        return figure, figure.subplots()
    # A part of its own for the legend, below the title.
    parts = figure.subfigures(2, 1, height_ratios=[key + 0.08, height + 0.6])
    parts[0].legend(
        handles=handles, loc="center left", ncols=COLUMNS, frameon=False, handletextpad=0.5, columnspacing=1.4,
        borderpad=0, borderaxespad=0.8, fontsize=7.5,
    )  # fmt: skip
    return figure, parts[1].subplots()


def _handles(marks: Marks, limit: str) -> list[Artist]:
    looks = dict.fromkeys(mark.look for mark in marks.values() if mark.value is not None)
    handles: list[Artist] = [look.handle() for look in sorted(looks, key=lambda look: look in (FLOOR, INTERACTION))]
    if any(mark.seen for mark in marks.values()):
        handles.append(Patch(color=SHADE, label="not detectable"))
    if limit:
        handles.append(Line2D([], [], color=style.INK, linewidth=1.1, linestyle=LIMIT, label=limit))
    return handles


def axis_label(label: str, baseline: str, *, share: bool, higher_is_better: bool) -> str:
    """What the axis shows; `label` is the metric's."""
    better = "higher is better" if higher_is_better else "lower is better"
    unit = "percentage points, " if share else ""
    return f"difference in {label} from {baseline} ({unit}{better})"


def notes(axes: Axes, marks: Marks, resampled: str) -> str:
    """What is to be known of the marks of a panel."""
    shown = [mark for mark in marks.values() if mark.value is not None]
    left, right = axes.get_xlim()
    beyond = any(not left <= mark.value <= right for mark in shown)
    lines = [f"Bars: 95 % interval of the difference on the same items, drawn over {resampled}."] if shown else []
    if any(mark.seen for mark in shown):
        lines.append(
            "Grey: below the smallest detectable loss, which would have been found with a probability of 80 %."
        )
    if beyond:
        lines.append("An arrow lies beyond the axis; its number is at the right.")
    return " ".join(lines)
