"""Charts as small as a column of the paper, or as large as a slide: drawn at the size where they stand, as SVG.

All sizes are in points, those of letters too, so that a chart is set as it is and not scaled. Texts are in the report's
own fonts and stay texts. One broken row does not make the others unreadable: an axis of quality is cut
(`figures.axis_cut`), and what lies beyond is an arrow with its number.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from bitbudget.publishing import axis_cut
from bitbudget.publishing.figures import labels, style
from bitbudget.publishing.typesetting import glyphs, texts

NAME = 26  # letters of a name beside a point
LINE = 1.25  # from one line of a title to the next, in letters
ROW = 1.5  # of a row's height, in letters
BAR = style.PALETTE[0]
ABSENT = "\N{EM DASH}"


@dataclass(frozen=True)
class Span:
    """A value with its interval, all in the written unit; no value where there is none."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    text: str = ""  # the value as it is written: beside its row, or beside an arrow
    colour: str = BAR
    baseline: bool = False  # a diamond
    filled: bool = True

    @property
    def ends(self) -> axis_cut.Span:
        """The value with the ends of its interval."""
        return self.value, self.low, self.high


@dataclass(frozen=True)
class Point(Span):
    """A span against a cost."""

    x: float = 0.0  # `filled` says that it is on the front


@dataclass(frozen=True)
class Panel:
    """Spans that share an axis, below a title."""

    title: str
    spans: Sequence[Span]


@cache
def _family() -> tuple[str, ...]:
    """The report's sans serif, which charts and the text around them share, and what it falls back to."""
    for path in sorted(glyphs.FONTS.iterdir()):
        if path.suffix in glyphs.SUFFIXES:
            font_manager.fontManager.addfont(path)
    return "Inter", "DejaVu Sans"


class _Sheet:
    """A figure in points from its left upper corner."""

    def __init__(self, width: float, height: float, letter: float):
        self.width, self.height, self.letter = width, height, letter
        self.figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasAgg(self.figure)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        box = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        axes.tick_params(labelsize=self.letter, length=0, pad=0.3 * self.letter)
        axes.spines[:].set_visible(False)
        return axes

    def text(self, left: float, top: float, said: str, **how: object) -> Text:
        about = {"fontsize": self.letter, "va": "center"} | how
        return self.figure.text(left / self.width, 1 - top / self.height, said, **about)

    def svg(self) -> bytes:
        file = io.BytesIO()
        self.figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
        return file.getvalue()


@contextmanager
def _style(letter: float) -> Iterator[None]:
    own = {"font.family": list(_family()), "font.size": letter, "text.parse_math": False, "svg.fonttype": "none"}
    own |= {"axes.labelsize": letter, "axes.unicode_minus": True, "lines.solid_capstyle": "butt"}
    with matplotlib.rc_context(style.RC | own):
        yield


def _wide(names: Sequence[str], letter: float, **how: object) -> float:
    """How wide the widest of some texts is, in points."""
    figure = Figure(dpi=72)
    renderer = FigureCanvasAgg(figure).get_renderer()
    sizes = [
        figure.text(0, 0, name, fontsize=letter, **how).get_window_extent(renderer).width for name in names if name
    ]
    return max(sizes, default=0.0)


def shown(name: str) -> str:
    """A name as there is room for it beside a point."""
    return glyphs.shown(texts.shortened(name, NAME))


def fitted(name: str, width: float, letter: float, **how: object) -> str:
    """A name in one line, cut where it is wider than `width` points."""
    most = texts.width(name)
    said = glyphs.shown(texts.shortened(name, most))
    while most > 2 and (wide := _wide([said], letter, **how)) > width:
        most = max(2, min(most - 1, int(most * width / wide) + 1))
        said = glyphs.shown(texts.shortened(name, most))
    return said


def _titled(titles: Sequence[str], width: float, letter: float) -> list[str]:
    """Titles of columns of this width; what is wider is broken before its unit, its condition or its last words."""
    made = []
    for title in titles:
        parts = [title]
        if _wide([title], letter, fontweight="bold") > width:
            before, mark, after = title.partition(", ")
            if not mark:
                before, mark, after = title.rpartition(" (")
                after = f"({after}"
            if not mark:
                before, mark, after = title.rpartition(" at ")
                after = f"at {after}"
            parts = [before, after] if mark else [title]
        made.append("\n".join(fitted(part, width, letter, fontweight="bold") for part in parts))
    return made


def _head(titles: Sequence[str], letter: float) -> float:
    """How high titles are, with what is below them."""
    return (1.7 + LINE * max(title.count("\n") for title in titles)) * letter


def forest(
    panels: Sequence[Panel],
    axis: str,
    *,
    width: float,
    letter: float,
    lines: Sequence[Sequence[tuple[float, str]]] = (),
    holds: Sequence[float] = (0.0,),
    centre: float = 0.0,
    near: float = 0.0,
    height: float | None = None,
    beside: bool = False,
) -> bytes:
    """Rows of values with intervals; panels side by side share rows and scale.

    `lines` are those of each panel, each with its style ("solid" or "dashed"); `holds` are values that the axis shows;
    `centre` and `near` are those of `axis_cut.ends`; `height` is of the whole, and else as high as its rows need.
    `beside` writes every value's text at the right of its row, for a chart of one panel.
    """
    spans = [span.ends for panel in panels for span in panel.spans if span.value is not None]
    cut = axis_cut.ends(spans, centre, holds=holds, near=near)
    with _style(letter):
        names = [fitted(span.name, 0.42 * width, letter) for span in panels[0].spans]
        left = _wide(names, letter) + 0.8 * letter
        right = _wide([span.text for span in panels[0].spans], letter) + 0.8 * letter if beside else 0.3 * letter
        gap = 1.2 * letter
        each = (width - left - right - gap * (len(panels) - 1)) / len(panels)
        titles = _titled([panel.title for panel in panels], each, letter)
        head = _head(titles, letter) if any(titles) else 0.3 * letter
        foot = 3.0 * letter if axis else 1.5 * letter
        height = height or len(names) * ROW * letter + head + foot
        sheet, rows = _Sheet(width, height, letter), height - head - foot
        low, high = cut or _scale([*(end for one in spans for end in one), *holds])
        for i, panel in enumerate(panels):
            start = left + i * (each + gap)
            axes = sheet.axes(start, head, each, rows)
            axes.set(xlim=(low, high), ylim=(len(names) - 0.5, -0.5))
            axes.set_yticks(range(len(names)), names if i == 0 else [""] * len(names))
            axes.grid(axis="x", color=style.GUIDE, linewidth=0.6)
            _ticks(axes, "x", max(2, min(5, int(each / (4.5 * letter)))))
            if panel.title:
                sheet.text(start, (head - 0.3 * letter) / 2, titles[i], fontweight="bold")
            for value, kind in lines[i] if lines else ():
                if low <= value <= high:
                    axes.axvline(
                        value, color=style.MUTED, linewidth=0.8, linestyle="-" if kind == "solid" else (0, (4, 3))
                    )
            for y, span in enumerate(panel.spans):
                _span(axes, y, span, (low, high), letter, beside)
                if beside and span.text:
                    top = head + (y + 0.5) * rows / len(names)
                    sheet.text(width - right + 0.8 * letter, top, glyphs.shown(span.text))
        if axis:
            sheet.text(left + (width - left - right) / 2, height - 0.65 * letter, axis, ha="center", color=style.MUTED)
        return sheet.svg()


def _span(axes: Axes, y: float, span: Span, ends: axis_cut.Axis, letter: float, beside: bool) -> None:
    """A mark with its interval, as far as the axis shows them."""
    if span.value is None:
        axes.annotate(ABSENT, (0.02, y), xycoords=("axes fraction", "data"), va="center", color=style.MUTED)
        return
    if span.low is not None:
        axes.plot([span.low, span.high], [y, y], color=span.colour, linewidth=letter / 6)
    side = axis_cut.beyond(span.value, ends)
    _mark(axes, axis_cut.placed(span.value, ends), y, span, (None, ">", "<")[side], letter)
    if side and span.text and not beside:
        axes.annotate(
            glyphs.shown(span.text), (axis_cut.placed(span.value, ends), y), xytext=(-0.6 * side * letter, 0),
            textcoords="offset points", va="center", ha="right" if side > 0 else "left", fontsize=0.92 * letter,
            bbox=style.PLATE,
        )  # fmt: skip


def _mark(axes: Axes, x: float, y: float, span: Span, arrow: str | None, letter: float) -> None:
    axes.plot(
        x, y, arrow or ("D" if span.baseline else "o"), markersize=letter * (0.6 if span.baseline else 0.68), zorder=3,
        markerfacecolor=span.colour if span.filled else "white",
        markeredgecolor=span.colour, markeredgewidth=letter / 7, clip_on=False,
    )  # fmt: skip


def _ticks(axes: Axes, which: str, most: int) -> None:
    ticks = axes.xaxis if which == "x" else axes.yaxis
    ticks.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    form = ScalarFormatter(useOffset=False)
    form.set_scientific(False)
    ticks.set_major_formatter(form)


def _scale(values: Sequence[float | None], room: float = axis_cut.ROOM) -> axis_cut.Axis:
    """The ends of an axis that holds all values that there are, with some room."""
    known = [value for value in values if value is not None] or [0.0, 1.0]
    low, high = min(known), max(known)
    apart = (high - low) or abs(high) * 0.1 or 1.0
    return low - room * apart, high + room * apart


def scatter(panels: Sequence[Panel], x_axis: str, y_axis: str, *, width: float, height: float, letter: float) -> bytes:
    """`Point`s of a value against a cost, with names that do not meet; the front (filled) is joined by steps.

    The axis of values is cut about the baseline's; of all panels it has its own ends.
    """
    with _style(letter):
        foot, left, gap = 3.2 * letter, 3.6 * letter, 4.2 * letter
        sheet = _Sheet(width, height, letter)
        each = (width - left - 0.6 * letter - gap * (len(panels) - 1)) / len(panels)
        titles = _titled([panel.title for panel in panels], each + 0.6 * gap, letter)
        above = 1.5 * letter
        head = above + _head(titles, letter) if any(titles) else 1.7 * letter
        sheet.text(0, 0.7 * letter, y_axis, color=style.MUTED)
        for i, panel in enumerate(panels):
            start = left + i * (each + gap)
            if panel.title:
                sheet.text(start, above + (head - above) / 2, titles[i], fontweight="bold")
            _scatter(sheet.axes(start, head, each, height - head - foot), panel.spans, letter)
            sheet.text(start + each / 2, height - 0.65 * letter, x_axis, ha="center", color=style.MUTED)
        return sheet.svg()


def _scatter(axes: Axes, points: Sequence[Point], letter: float) -> None:
    own = next((point.value for point in points if point.baseline), None)
    cut = axis_cut.of_quality([point.ends for point in points], own)
    ends = cut or _scale([end for point in points for end in point.ends], 0.1)
    axes.set(xlim=_scale([point.x for point in points], 0.2), ylim=ends)
    axes.grid(color=style.GUIDE, linewidth=0.6)
    axes.spines[["left", "bottom"]].set_visible(True)
    _ticks(axes, "x", 4)
    _ticks(axes, "y", 4)
    places = [(point.x, axis_cut.placed(point.value, ends)) for point in points]
    front = sorted(place for point, place in zip(points, places, strict=True) if point.filled)
    lines, names = [], []
    for (x, y), (next_x, next_y) in pairwise(front):
        for ends_of_line in ((x, next_x), (y, y)), ((next_x, next_x), (y, next_y)):
            lines += axes.plot(
                *ends_of_line, color=style.INK, linewidth=letter / 8, solid_capstyle="projecting", zorder=1
            )
    for point, place in zip(points, places, strict=True):
        side = axis_cut.beyond(point.value, ends)
        if point.low is not None and not side:
            bar = [point.x] * 2, [point.low, point.high]
            lines += axes.plot(*bar, color=point.colour, linewidth=letter / 7, alpha=0.6)
        _mark(axes, *place, point, (None, "^", "v")[side], 1.15 * letter)
        names.append(shown(point.name) + (f" ({glyphs.shown(point.text)})" if side and point.text else ""))
    boxes = [line.get_window_extent() for line in lines]
    labels.place(axes, places, names, [point.colour for point in points], boxes, size=letter)


def bars(
    names: Sequence[str], columns: Sequence[Panel], *, width: float, letter: float, height: float | None = None
) -> bytes:
    """Columns of one quantity each, in rows of one precision each: bars from 0, or marks where there are intervals.

    A row without a value or a text in any column is a heading.
    """
    with _style(letter):
        headings = {y for y in range(len(names)) if all(one.spans[y].value is None and not one.spans[y].text
                                                        for one in columns)}  # fmt: skip
        rows = ["" if y in headings else fitted(name, 0.36 * width, letter) for y, name in enumerate(names)]
        left, gap = _wide(rows, letter) + 0.8 * letter, 1.4 * letter
        each = (width - left - gap * (len(columns) - 1)) / len(columns)
        titles = _titled([column.title for column in columns], each, letter)
        head = _head(titles, letter)
        height = height or len(rows) * ROW * letter + head + 0.3 * letter
        sheet = _Sheet(width, height, letter)
        for y in headings:
            top = head + (y + 0.5) * (height - head - 0.3 * letter) / len(rows)
            sheet.text(0, top, fitted(names[y], width, letter, fontweight="bold"), fontweight="bold", color=style.INK)
        for i, column in enumerate(columns):
            start = left + i * (each + gap)
            bottom = head - 0.5 * letter
            sheet.text(start, bottom, titles[i], fontweight="bold", color=style.INK, va="bottom")
            axes = sheet.axes(start, head, each, height - head - 0.3 * letter)
            axes.set(ylim=(len(rows) - 0.5, -0.5), xticks=[])
            axes.set_yticks(range(len(rows)), rows if i == 0 else [""] * len(rows))
            _column(axes, column.spans, each, letter)
        return sheet.svg()


def _column(axes: Axes, spans: Sequence[Span], width: float, letter: float) -> None:
    text = _wide([span.text for span in spans], letter) + 0.9 * letter
    values = [span.value for span in spans if span.value is not None]
    if any(span.low is not None for span in spans):
        ends = _scale([end for span in spans for end in span.ends])
        cut = axis_cut.of_quality(
            [span.ends for span in spans if span.value is not None],
            next((span.value for span in spans if span.baseline), None),
        )
        low, high = cut or ends
    else:
        low, high = 0.0, max(values, default=0.0) or 1.0
    share = max(0.2, 1 - text / width)  # the rest is for texts
    axes.set_xlim(low, low + (high - low) / share)
    for y, span in enumerate(spans):
        if span.value is None:
            end = low
        elif span.low is None and low == 0.0:
            axes.barh(y, span.value, height=0.66, color=span.colour)
            end = span.value
        else:
            _span(axes, y, span, (low, high), letter, beside=True)
            end = high
        axes.annotate(
            glyphs.shown(span.text), (end, y), xytext=(0.5 * letter, 0), textcoords="offset points", va="center",
            fontsize=0.94 * letter, annotation_clip=False,
        )  # fmt: skip


def stacks(
    rows: Sequence[tuple[str, Sequence[float], str]],
    parts: Sequence[tuple[str, str]],
    *,
    width: float,
    letter: float,
    height: float | None = None,
) -> bytes:
    """Bars of parts one after the other: of each row its name, the parts' sizes and a text; of each part its name and
    colour."""
    with _style(letter):
        names = [fitted(name, 0.36 * width, letter) for name, _, _ in rows]
        left = _wide(names, letter) + 0.8 * letter
        texts_wide = _wide([text for _, _, text in rows], letter) + 0.9 * letter
        head = 1.9 * letter
        height = height or len(rows) * ROW * letter + head + 0.3 * letter
        sheet = _Sheet(width, height, letter)
        at = 0.0
        for name, colour in parts:
            sheet.text(at, 0.7 * letter, "\N{BLACK SQUARE}", color=colour, fontsize=1.2 * letter)
            at += 1.2 * letter
            sheet.text(at, 0.7 * letter, name)
            at += _wide([name], letter) + 1.2 * letter
        axes = sheet.axes(left, head, width - left, height - head - 0.3 * letter)
        largest = max((sum(sizes) for _, sizes, _ in rows), default=0.0) or 1.0
        axes.set(ylim=(len(rows) - 0.5, -0.5), xticks=[], xlim=(0, largest / max(0.2, 1 - texts_wide / (width - left))))
        axes.set_yticks(range(len(rows)), names)
        for y, (_, sizes, text) in enumerate(rows):
            start = 0.0
            for size, (_, colour) in zip(sizes, parts, strict=True):
                axes.barh(y, size, left=start, height=0.66, color=colour)
                start += size
            axes.annotate(text, (start, y), xytext=(0.5 * letter, 0), textcoords="offset points", va="center")
        return sheet.svg()
