"""The slide of the inspection of all answers, where it found something, and else a line for the slide of limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bitbudget.publishing.slides.cells import ABSENT, Cell
from bitbudget.publishing.slides.texts import table
from bitbudget.publishing.typesetting.texts import capital, sentences, shortened
from bitbudget.telling import inspected
from bitbudget.telling.inspected import FLAGS

Slide = dict[str, Any]

TABLE = 10  # rows
LOOK = "Flagged answers are for a person to look at (flagged.csv); a screen does not judge."


def lines(cells: Sequence[Cell]) -> list[str]:
    """What is to be said of the inspection where no slide shows it, in points of the slide of limits."""
    if len(cells) == 1 and slide(cells[0]) is not None:
        return []
    said = sentences(inspected.screened([cell.evidence.inspection for cell in cells]), 160)
    told = [capital(said) if said.startswith("not ") else f"Screened: {said}"]
    found = [(cell, _of(cell)["objects"]) for cell in cells]
    return told + [f"Objects: {cell.evidence.name}: {said}" for cell, said in found if said]


def _of(cell: Cell) -> dict[str, Any]:
    evidence = cell.evidence
    return inspected.of_cell(evidence.inspection, cell.told["model"], cell.told["condition"], evidence.baseline)


def slide(cell: Cell) -> Slide | None:
    """Hallucinated objects and what the screens flagged; None where there is neither a flag nor an object that was
    looked for."""
    found = _of(cell)
    flagged, known = found["answers"], found["objects"]
    if not flagged and not known:
        return None
    # those that the title names are among the rows
    needed = [row for row in found["rows"] if row["precision"] in found["names"]]
    others = [row for row in found["rows"] if row not in needed]
    rows = []
    for one in sorted([*needed, *others][:TABLE], key=found["rows"].index):
        row = [shortened(one["precision"], 36) + " (baseline)" * (one["precision"] == cell.evidence.baseline)]
        row += [one["not_there"] or ABSENT, one["difference"]] if known else []
        rows.append(row + ([str(one["flagged"].get(kind, "not done")) for kind in FLAGS] if flagged else []))
    columns = ["precision", *(["objects not there", "against baseline"] if known else [])]
    columns += list(FLAGS.values()) if flagged else []
    notes = [LOOK] if flagged else []
    if known:
        other = f"{flagged} were flagged by other screens" if flagged else "the other screens flagged nothing"
        notes.insert(0, f"{capital(inspected.not_there(cell.evidence.inspection) or known)}; {other}.")
    title = known or f"{flagged} of {found['screened']} answers were flagged, for a person to look at"
    made = table(title, cell.heading, columns, "l" + "r" * (len(columns) - 1), rows, "inspection.json", notes, TABLE)
    return made | {"left": len(found["rows"]) - len(rows)}
