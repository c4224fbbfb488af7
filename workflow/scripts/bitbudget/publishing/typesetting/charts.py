"""Charts as slides and the paper draw them: positions between 0 and 1, ticks and texts, which charts.typ draws.

The study's own figures are as wide as a page: their letters would be too small on a slide, and their room too large in
a column of a paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bitbudget.judging import verdicts
from bitbudget.publishing.typesetting.texts import shortened
from bitbudget.telling import wording

Chart = dict[str, Any]

MOST_ROWS = 12  # of a chart, where nothing else is said
KIND_COLOURS = {verdicts.LOSS: "#D55E00", verdicts.GAIN: "#009E73"}
COLOUR = "#0072B2"  # of a difference that is neither a loss nor a gain
# Those of bitbudget.publishing.figures.style, which needs matplotlib; a test holds them together.
BASELINE = "#4D4D4D"
PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#332288", "#999933", "#882255", "#44AA99",
    "#DDCC77", "#AA4499",
)  # fmt: skip
NAME = 24  # letters of a name beside a row


@dataclass(frozen=True)
class Plot:
    """A scatter chart's plot as the template draws it, in points: names are placed where they do not meet."""

    width: float
    height: float
    letter: float  # width of a name's letters
    line: float  # height of a name
    mark: float  # half of a mark's width


HALL = Plot(560.0, 280.0, 9.8, 22.0, 8.0)  # on a slide
COLUMN = Plot(198.0, 112.0, 3.7, 8.8, 3.7)  # in a column of the paper


def colours_of(precisions: Sequence[str], baseline: str) -> dict[str, str]:
    """A colour for each precision, the same as in the study's figures."""
    others = [name for name in precisions if name != baseline]
    return {baseline: BASELINE} | {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(others)}


@dataclass(frozen=True)
class Span:
    """A value with its interval in the written unit; no value where there is none, and then why."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    text: str = ""
    colour: str = "#222222"
    baseline: bool = False
    filled: bool = True


@dataclass(frozen=True)
class Scale:
    """From a value to its place between 0 and 1."""

    least: float
    most: float

    def at(self, value: float | None) -> float | None:
        return None if value is None else (value - self.least) / (self.most - self.least)

    def ticks(self, most: int = 5) -> list[dict[str, Any]]:
        """Round values within the scale."""
        raw = (self.most - self.least) / most
        power = 10 ** math.floor(math.log10(raw))
        step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= raw)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        first = math.ceil(self.least / step - 1e-9)
        values = [(first + i) * step for i in range(most + 2)]
        kept = [value for value in values if value <= self.most + 1e-9 * step]
        return [
            {"at": self.at(value), "text": f"{value + 0.0:.{decimals}f}".replace("-", wording.MINUS)} for value in kept
        ]


def scale_of(values: Sequence[float | None], *, room: float = 0.06) -> Scale:
    """A scale that holds all values that there are, with some room at its ends."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    least, most = (min(known), max(known)) if known else (0.0, 1.0)
    if most - least <= 1e-9 * max(abs(least), abs(most), 1e-9):
        apart = abs(most) * 0.1 or 1.0
        least, most = least - apart, most + apart
    return Scale(least - room * (most - least), most + room * (most - least))


def forest(
    rows: Sequence[Span],
    axis: str,
    *,
    lines: Sequence[tuple[float, str]] = (),
    holds: Sequence[float] = (),
    most: int = MOST_ROWS,
    ticks: int = 5,
    scale: Scale | None = None,
) -> Chart:
    """A row for each value with its interval. `lines` stand across all rows (solid or dashed), as far as they lie
    within the scale; `holds` are values that the scale must hold; several charts may share a `scale`."""
    shown = rows[:most]
    scale = scale or scale_of([*ends_of(shown), *holds])
    within = [(value, style) for value, style in lines if scale.least <= value <= scale.most]
    return {
        "rows": [
            {
                "name": shortened(row.name, NAME),
                "value": scale.at(row.value),
                "low": scale.at(row.low),
                "high": scale.at(row.high),
                "text": row.text,
                "colour": row.colour,
                "hollow": row.baseline,
                "filled": row.filled and not row.baseline,
            }
            for row in shown
        ],
        "lines": [{"at": scale.at(value), "style": style} for value, style in within],
        "ticks": scale.ticks(ticks),
        "axis": axis,
    }


def ends_of(rows: Sequence[Span]) -> list[float | None]:
    """The values and ends of intervals that a scale has to hold."""
    return [end for row in rows for end in (row.low, row.value, row.high)]


def bars(
    names: Sequence[str],
    colours: Sequence[str],
    columns: Sequence[tuple[str, Sequence[Span]]],
    most: int = MOST_ROWS,
) -> Chart:
    """Bars from 0 in columns of one quantity each, in rows of one precision each."""
    made = []
    for title, spans in columns:
        largest = max((span.value for span in spans[:most] if span.value is not None), default=0) or 1.0
        cells = [
            {"share": None if span.value is None else span.value / largest, "text": span.text} for span in spans[:most]
        ]
        made.append({"title": title, "cells": cells})
    return {"names": [shortened(name, NAME) for name in names[:most]], "colours": list(colours[:most]), "columns": made}


def stacks(rows: Sequence[tuple[str, Sequence[float], str]], parts: Sequence[tuple[str, str]]) -> Chart:
    """Bars of parts one after the other: of each row its name, the parts' sizes and a text; of each part its name and
    colour."""
    largest = max((sum(sizes) for _, sizes, _ in rows), default=0) or 1.0
    return {
        "rows": [
            {"name": shortened(name, NAME), "shares": [size / largest for size in sizes], "text": text}
            for name, sizes, text in rows
        ],
        "parts": [{"name": name, "colour": colour} for name, colour in parts],
    }


@dataclass(frozen=True)
class Point:
    """A point of a scatter chart with the interval of its second value."""

    name: str
    x: float
    y: float
    low: float | None
    high: float | None
    colour: str
    front: bool
    baseline: bool


def scatter(points: Sequence[Point], x_axis: str, y_axis: str, plot: Plot = HALL) -> Chart:
    """Points with their names beside them; the front is joined by steps where it has more than one point."""
    xs = scale_of([point.x for point in points], room=0.14)
    ys = scale_of([end for point in points for end in (point.low, point.y, point.high)], room=0.1)
    places = [(xs.at(point.x) * plot.width, (1 - ys.at(point.y)) * plot.height) for point in points]
    labels = _labels(places, [shortened(point.name, NAME) for point in points], plot)
    made = []
    for point, place, label in zip(points, places, labels, strict=True):
        low, high = ((1 - ys.at(end)) * plot.height if end is not None else None for end in (point.low, point.high))
        made.append(
            {"x": place[0], "y": place[1], "low": low, "high": high, "colour": point.colour, "front": point.front,
             "hollow": point.baseline, **label}
        )  # fmt: skip
    front = sorted((place for point, place in zip(points, places, strict=True) if point.front), key=lambda at: at[0])
    return {
        "width": plot.width, "height": plot.height, "points": made, "front": [list(place) for place in front],
        "x_ticks": xs.ticks(), "y_ticks": ys.ticks(4), "x_axis": x_axis, "y_axis": y_axis,
    }  # fmt: skip


Box = tuple[float, float, float, float]  # left, top, right, bottom


def _labels(places: Sequence[tuple[float, float]], names: Sequence[str], plot: Plot) -> list[dict[str, Any]]:
    """Where each name stands (its box's left and top): the nearest place that covers least."""
    taken: list[Box] = [(x - plot.mark, y - plot.mark, x + plot.mark, y + plot.mark) for x, y in places]
    found = {}
    for i in sorted(range(len(names)), key=lambda i: places[i][0]):
        width = plot.letter * len(names[i])
        x, y = places[i]
        tried = _tried(x, y, width, plot)
        boxes = [(left, top, left + width, top + plot.line) for left, top in tried]
        costs = [_covered(box, taken, plot) + 0.4 * (n // 4) for n, box in enumerate(boxes)]
        best = min(range(len(boxes)), key=costs.__getitem__)
        taken.append(boxes[best])
        left, top, right, bottom = boxes[best]
        # a name that stands apart is joined with its mark by a line to the nearest edge of its box
        leader = [min(max(x, left), right), min(max(y, top), bottom)] if best >= 4 else None
        side = "right" if right <= x else "left"  # of the box the one where the name begins or ends
        found[i] = {"name": names[i], "left": left, "top": top, "width": width, "side": side, "leader": leader}
    return [found[i] for i in range(len(names))]


def _tried(x: float, y: float, width: float, plot: Plot) -> list[tuple[float, float]]:
    """Left and top of places for a name around a point: right, left, above and below it, from near to far."""
    places, line = [], plot.line
    for far in range(9):
        away, up = plot.mark * (1.5 + 0.625 * far), far * line * 1.09
        right, left = x + away, x - away - width
        if far == 0:
            places += [(right, y - line / 2), (left, y - line / 2)]
            places += [(x - width / 2, y - away - line), (x - width / 2, y + away)]
        else:
            places += [(side, y - line / 2 + shift) for side in (right, left) for shift in (-up, up)]
    return places


def _covered(box: Box, taken: Sequence[Box], plot: Plot) -> float:
    """What a place costs: the share of it that lies on others, or outside the plot."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    outside = area - shared(box, (0.0, 0.0, plot.width, plot.height))
    return 40 * (sum(shared(box, other) for other in taken) + outside) / area


def shared(one: Box, other: Box) -> float:
    """The area that two boxes have in common."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def left_out(rows: Sequence[Span]) -> list[str]:
    """Says how many rows a chart does not show; nothing where it shows all."""
    left = [row.name for row in rows[MOST_ROWS:]]
    return [f"And {len(left)} more: see summary.csv."] if left else []
