"""Charts of slides: as large as the notes below leave room for, with letters for the back of a hall."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bitbudget.publishing.figures import small
from bitbudget.publishing.typesetting.texts import width

Slide = dict[str, Any]

MOST_ROWS = 12
WIDE, TALL = 888.0, 400.0  # points, of a slide's content
HEADING, MARGIN, GAP = 31.0, 10.0, 8.0
LINE, APART, LETTERS = 24.0, 8.0, 86  # of notes: height of a line, what is between two notes, letters of a line
ROW, AXIS = 27.0, 50.0  # the least height of a row, and what stands around them
ROOMY = 58.0  # the largest height of a row


def slide(
    title: str, heading: str, notes: Sequence[str], draw: Callable[[float, float], bytes], rows: int | None = None
) -> Slide:
    """A slide of a chart; `draw` makes it of this height and letters, both in points. Without `rows` it fills what the
    notes leave."""
    notes = list(notes)
    room = TALL - (HEADING if heading else MARGIN) - GAP
    least = 240.0 if rows is None else rows * ROW + AXIS
    # at least the first note, and a line that says how many more there are
    below = max(min(_height(notes), room - least), _height([*notes[:1], *([""] if notes[1:] else [])]))
    height = room - below
    if rows is not None:
        height = min(height, rows * ROOMY + AXIS)
    letter = 20.0 if rows is None else max(14.0, min(20.0, (height - AXIS) / rows / 1.25))
    return {
        "kind": "chart", "title": title, "heading": heading, "notes": notes, "height": height,
        "chart": draw(height, letter),
    }  # fmt: skip


def _height(notes: Sequence[str]) -> float:
    """How high notes are below a chart."""
    lines = sum(max(-(-width(note) // LETTERS), 1) for note in notes)
    return lines * LINE + max(len(notes) - 1, 0) * APART


def forest(
    title: str,
    heading: str,
    notes: Sequence[str],
    rows: Sequence[small.Span],
    axis: str,
    **how: Any,
) -> Slide:
    """A row for each value with its interval, and the value beside it; of rows without any value the notes alone."""
    if all(row.value is None for row in rows):
        lines = [{"head": "", "text": note} for note in notes]
        return {"kind": "points", "title": title, "heading": heading, "lines": lines}

    def draw(height: float, letter: float) -> bytes:
        panels = [small.Panel("", rows[:MOST_ROWS])]
        return small.forest(panels, axis, width=WIDE, height=height, letter=letter, beside=True, **how)

    return slide(title, heading, [*notes, *left_out(rows)], draw, min(len(rows), MOST_ROWS))


def bars(title: str, heading: str, notes: Sequence[str], names: Sequence[str], columns: Sequence[small.Panel]) -> Slide:
    """Columns of one quantity each, in rows of one precision each."""
    shown = [small.Panel(column.title, column.spans[:MOST_ROWS]) for column in columns]

    def draw(height: float, letter: float) -> bytes:
        return small.bars(names[:MOST_ROWS], shown, width=WIDE, height=height, letter=min(letter, 18.0))

    return slide(title, heading, [*notes, *left_out(names)], draw, min(len(names), MOST_ROWS))


def scatter(
    title: str, heading: str, notes: Sequence[str], points: Sequence[small.Point], x_axis: str, y_axis: str
) -> Slide:
    """Points with their names beside them."""

    def draw(height: float, letter: float) -> bytes:
        return small.scatter([small.Panel("", points)], x_axis, y_axis, width=WIDE, height=height, letter=letter)

    return slide(title, heading, notes, draw)


def left_out(rows: Sequence[Any]) -> list[str]:
    """Says how many rows a chart does not show; nothing where it shows all."""
    left = len(rows) - MOST_ROWS
    return [f"And {left} more: see summary.csv."] if left > 0 else []
