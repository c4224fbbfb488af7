"""Slides of parts: the primary metric by kinds of items, and what each module group loses by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitbudget.publishing.figures.small import Span
from bitbudget.publishing.slides import charts
from bitbudget.publishing.slides.cells import Cell
from bitbudget.publishing.slides.texts import table
from bitbudget.publishing.typesetting.texts import shortened, some
from bitbudget.telling import ablation as told_ablation
from bitbudget.telling import breakdown

Slide = dict[str, Any]


def by_type(cell: Cell) -> Slide | None:
    """The primary metric by the first kind of items that the scores tell apart; None where they tell none."""
    found = breakdown.of(cell.evidence, cell.told)
    if found is None:
        return None
    rows = [
        [
            shortened(one["name"], 22), str(one["n"]), one["baseline"],
            f"{one['worst']} ({shortened(some(one['of'], 1), 30) or 'all the same'})",
        ]
        for one in found["rows"]
    ]  # fmt: skip
    lowest = "lowest" if cell.primary["higher_is_better"] else "highest"
    columns = [found["kind"], "items", f"{shortened(cell.evidence.baseline, 16)} (baseline)", f"{lowest} of all"]
    return table(found["title"], cell.heading, columns, "lrrr", rows, "scores.json", [])


def told(cell: Cell) -> Mapping[str, Any] | None:
    """What the ablation found; None where the study has none."""
    return told_ablation.of_cell(cell.evidence, cell.told)


def ablation(cell: Cell) -> Slide | None:
    """What each part of the model loses when it alone is quantized; None where the study has no ablation."""
    found = told(cell)
    if found is None:
        return None
    rows = [_span(cell, part["group"], part["entry"]) for part in found["parts"]]
    if found["whole"]:
        rows.append(_span(cell, "every group at once", found["whole"]))
    unit = f" ({cell.primary['difference_unit']})" if cell.primary["difference_unit"] else ""
    better = "higher" if cell.primary["higher_is_better"] else "lower"
    return charts.forest(
        found["title"], cell.heading, ["One module group quantized at a time; 95 % intervals."], rows,
        f"difference in {cell.evidence.verdicts['label']}{unit}, {better} is better",
        lines=[[(0.0, "solid")]], holds=(0.0,),
    ) | {"about": "ablation"}  # fmt: skip


def _span(cell: Cell, name: str, entry: Mapping[str, Any]) -> Span:
    found = cell.difference(entry)
    text = f"{entry['mark']} {cell.signed(entry)}"
    return Span(name, found["value"], *(found["ci"] or (None, None)), text, entry["colour"])
