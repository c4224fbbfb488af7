"""Slides of quality: the primary metric of every precision, and what each changes against the baseline.

Every slide is a dict that the template sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.figures.small import Span
from bitbudget.publishing.slides import charts
from bitbudget.publishing.slides.cells import ABSENT, Cell, counted
from bitbudget.publishing.slides.texts import broken, reasons, stacked, table
from bitbudget.publishing.typesetting.texts import capital

Slide = dict[str, Any]
Record = Mapping[str, Any]

REFUSED = "Not accepted: "
COLUMNS, ROWS = 6, 10  # of the table of all models and conditions
LETTERS = 56  # of the headings of its columns together


def levels(cell: Cell) -> Slide:
    """The primary metric of every precision, with what answers without looking reach."""
    found = {entry["precision"]: cell.level(entry) for entry in cell.entries}
    rows = [
        Span(
            name, metric.get("value"), *(metric.get("ci") or (None, None)),
            f"{metric['text']} {metric['interval']}".strip() if "value" in metric else ABSENT,
            cell.colours[name], baseline=name == cell.evidence.baseline,
        )
        for name, metric in found.items()
    ]  # fmt: skip
    base = cell.level(cell.base).get("value")
    notes = reasons({name: metric["absent"] for name, metric in found.items() if "absent" in metric})
    if cell.told["floor"]:
        notes.append(f"{capital(cell.told['floor'])}.")
    unit = f" ({cell.primary['unit']})" if cell.primary["unit"] else ""
    return charts.forest(
        capital(cell.told["baseline_reaches"]), cell.heading, notes, rows,
        f"{cell.primary['label']}{unit}, {_better(cell)} is better; dashed: the baseline",
        lines=[[] if base is None else [(base, "dashed")]], holds=() if base is None else (base,), centre=base or 0.0,
    ) | {"about": "levels"}  # fmt: skip


def _better(cell: Cell) -> str:
    return "higher" if cell.primary["higher_is_better"] else "lower"


def difference(cell: Cell) -> Slide | None:
    """What each precision changes against the baseline; None where there is nothing but the baseline."""
    if not cell.others:
        return None
    rows = []
    for entry in cell.others:
        found = cell.difference(entry)
        ends = found.get("ci") or (None, None)
        text = f"{entry['mark']} {cell.signed(entry)}"
        rows.append(Span(entry["precision"], found.get("value"), *ends, text, entry["colour"]))
    limit = cell.told["limit"]
    lines, holds = [(0.0, "solid")], [0.0]
    if limit is not None:
        lines.append((limit, "dashed"))
        holds.append(limit)
    unit = f" ({cell.primary['difference_unit']})" if cell.primary["difference_unit"] else ""
    unknown = {entry["precision"]: entry["sentence"] for entry in cell.others if "absent" in cell.difference(entry)}
    dashed = "" if limit is None else "dashed: limit of acceptance; "
    marks = [f"{cell.told['counted']}, 95 % intervals; {dashed}{key(cell.others)}."]
    marks = marks if len(unknown) < len(cell.others) else []
    return charts.forest(
        cell.told["outcome"]["title"], cell.heading,
        # the more important first: where many rows stand above, the last give way
        [*marks, *refused(cell), *_accepted(cell), *reasons(unknown)],
        rows, f"difference in {cell.evidence.verdicts['label']}{unit}, {_better(cell)} is better",
        lines=[lines], holds=holds,
    ) | {"about": "differences"}  # fmt: skip


def key(entries: Sequence[Record]) -> str:
    """What the marks mean."""
    return ", ".join(f"{mark} {word}" for mark, word in {one["mark"]: one["word"] for one in entries}.items())


def refused(cell: Cell) -> list[str]:
    """Why precisions are not accepted, in one line for each reason."""
    return reasons({one["precision"]: one["accepted_in_short"] for one in cell.others if not one["accepted"]}, REFUSED)


def _accepted(cell: Cell) -> list[str]:
    return reasons({one["precision"]: one["accepted_in_short"] for one in cell.others if one["accepted"]}, "Accepted: ")


def overview(every: Sequence[Cell]) -> Slide | None:
    """The differences of all models and conditions in a table; None where there is one only, or no comparison."""
    first = every[0]
    if len(every) == 1 or not first.others:
        return None
    names = [entry["precision"] for entry in first.others]
    said = {(cell.told["name"], entry["precision"]): _short(cell, entry) for cell in every for entry in cell.others}
    rows, columns = [cell.told["name"] for cell in every], names
    turned = len(names) > len(every)
    if turned:
        rows, columns = columns, rows
    cut = len(columns) > COLUMNS
    columns = columns[:COLUMNS]
    cells_of = [
        [stacked(row, 30), *(said[(column, row) if turned else (row, column)] for column in columns)] for row in rows
    ]
    unit = f" ({first.primary['difference_unit']})" if first.primary["difference_unit"] else ""
    title = f"{counted(every)}: difference in {first.evidence.verdicts['label']}{unit}"
    heading = ", ".join([first.evidence.name] * first.among + [f"against {first.evidence.baseline}"])
    notes = [f"{key([entry for cell in every for entry in cell.others])}. Bold: accepted."]
    notes += ["Not all are shown: see verdicts.txt."] * cut
    names = ["", *(broken(name, max(12, LETTERS // len(columns))) for name in columns)]
    align = "l" + "r" * len(columns)
    return table(title, heading, names, align, cells_of, "verdicts.txt", notes, ROWS, about="overview")


def _short(cell: Cell, entry: Record) -> dict[str, Any]:
    found = cell.difference(entry)
    text = found.get("text", "not compared")
    return {"text": f"{entry['mark']} {text}" if "value" in found else text, "strong": entry["accepted"]}
