"""The slide of the inspection of all answers, where it found something, and else a line for the slide of limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.slides.cells import ABSENT, Cell
from bitbudget.publishing.typesetting.texts import sentences, shortened
from bitbudget.telling import wording

Slide = dict[str, Any]
Record = Mapping[str, Any]

TABLE = 10  # rows
FLAGS = {"privacy": "private strings", "profanity": "profanity", "people": "about people"}
LOOK = "Flagged answers are for a person to look at (flagged.csv); a screen does not judge."


def lines(cells: Sequence[Cell]) -> list[str]:
    """What is to be said of the inspection where no slide shows it, in points of the slide of limits."""
    if len(cells) == 1 and slide(cells[0]) is not None:
        return []
    records = [(cell, record) for cell in cells for record in (cell.evidence.inspection or {}).get("cells", [])]
    screened = [(cell, record) for cell, record in records if record["flagged"]]
    told = []
    if screened:
        flagged = sum(_answers(cell, record) for cell, record in screened)
        many = sum(record["n"] for _, record in screened)
        found = f"{flagged} of {many} answers were flagged, for a person to look at (flagged.csv)"
        nothing = f"nothing private, profane or about people was flagged in {many} answers; a screen may miss some"
        told.append(f"Screened: {found if flagged else nothing}")
    else:
        checks = [one for cell in cells for one in (cell.evidence.inspection or {}).get("looked_for", [])]
        why = next((one["absent"] for one in reversed(checks) if one.get("absent")), "no inspection is recorded")
        told.append(f"Not screened: {sentences(why, 120).rstrip('.')}")
    wrong = {(cell.evidence.name, name): value for cell in cells for name, value in _named_wrongly(
        _records(cell)).items()}  # fmt: skip
    if wrong:
        study, name = max(wrong, key=wrong.__getitem__)
        told.append(f"Objects: up to {_percent(wrong[study, name])} of those named are not there ({name} in {study})")
    return told


def _records(cell: Cell) -> list[Record]:
    return [record for record in (cell.evidence.inspection or {}).get("cells", []) if _of(cell, record)]


def _of(cell: Cell, record: Record) -> bool:
    return (record["model"], record["condition"]) == (cell.told["model"], cell.told["condition"])


def _screened(records: Sequence[Record]) -> list[Record]:
    """Those whose answers are text: boxes cannot be screened."""
    return [record for record in records if record["flagged"]]


def _flagged(cell: Cell, records: Sequence[Record]) -> int:
    """How many answers have anything flagged, each counted once."""
    return sum(_answers(cell, record) for record in _screened(records))


def _answers(cell: Cell, record: Record) -> int:
    if record.get("answers_flagged") is not None:
        return record["answers_flagged"]
    # a record of before this count was kept: no fewer than of the most frequent kind, and than the items listed
    items = {
        one["item"]
        for one in cell.evidence.inspection["flagged"]
        if (one["model"], one["condition"]) == (record["model"], record["condition"]) and one["where"] == "answer"
        and record["precision"] in one["precisions"] and one["kind"] in FLAGS
    }  # fmt: skip
    return max(len(items), *record["flagged"].values())


def slide(cell: Cell) -> Slide | None:
    """Hallucinated objects and what the screens flagged; None where there is neither a flag nor an object that was
    looked for."""
    records = _records(cell)
    flagged = _flagged(cell, records)
    known = _named_wrongly(records)
    if not flagged and not known:
        return None
    base, worst = cell.evidence.baseline, max(known, key=known.__getitem__) if known else None
    differences = {
        one["precision"]: one["metrics"] for one in cell.evidence.inspection.get("comparisons", []) if _of(cell, one)
    }
    shown = _kept(records, (base, worst))
    rows = []
    for record in shown:
        row = [shortened(record["precision"], 24) + " (baseline)" * (record["precision"] == base)]
        if known:
            row += [_share(record["metrics"].get("chair_i", {})), _points(differences.get(record["precision"], {}))]
        row += [str(record["flagged"].get(kind, "not done")) for kind in FLAGS] if flagged else []
        rows.append(row)
    columns = ["precision", *(["objects not there", "against baseline"] if known else [])]
    columns += list(FLAGS.values()) if flagged else []
    return {
        "kind": "table",
        "title": _title(cell, records, known, worst, flagged),
        "heading": cell.heading,
        "columns": columns,
        "align": ["left", *["right"] * (len(columns) - 1)],
        "rows": rows,
        "left": len(records) - len(shown),
        "where": "inspection.json",
        "notes": [*([_objects_note(cell, records, flagged)] if known else []), *([LOOK] if flagged else [])],
    }


def _kept(records: Sequence[Record], needed: Sequence[str | None]) -> list[Record]:
    """As many records as a slide holds, in their order, among them those that its title names."""
    first = [record for record in records if record["precision"] in needed]
    others = [record for record in records if record["precision"] not in needed]
    return sorted([*first, *others][:TABLE], key=records.index)


def _named_wrongly(records: Sequence[Record]) -> dict[str, float]:
    """CHAIR-i by precision: the share of named objects that are not there."""
    found = {record["precision"]: record["metrics"].get("chair_i", {}) for record in records}
    return {name: metric["value"] for name, metric in found.items() if "value" in metric}


def _title(cell: Cell, records: Sequence[Record], known: Mapping[str, float], worst: str | None, flagged: int) -> str:
    base = cell.evidence.baseline
    if worst is None:
        many = sum(record["n"] for record in _screened(records))
        return f"{flagged} of {many} answers were flagged, for a person to look at"
    at_base = known.get(base)
    if worst == base or at_base == known[worst]:
        return f"{_percent(known[worst])} of the objects that {base} names are not there; no precision names more"
    said = f"{_percent(known[worst])} of the objects that {worst} names are not there"
    return f"{said}; of {base}'s {_percent(at_base)}" if at_base is not None else said


def _objects_note(cell: Cell, records: Sequence[Record], flagged: int) -> str:
    sentenced = [record["metrics"].get("chair_s", {}) for record in records]
    counts = [_count(metric) for metric in sentenced if "value" in metric]
    captions = sum(metric["n"] for metric in sentenced if "value" in metric)
    others = f"{flagged} were flagged by other screens" if flagged else "the other screens flagged nothing"
    return f"{sum(counts)} of {captions} captions name an object that is not there; {others}."


def _count(metric: Record) -> int:
    return metric["count"] if "count" in metric else round(metric["value"] * metric["n"])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _share(metric: Record) -> str:
    return _percent(metric["value"]) if "value" in metric else ABSENT


def _points(metrics: Record) -> str:
    metric = metrics.get("chair_i", {})
    if "value" not in metric:
        return ""
    ends = metric.get("ci")
    interval = f" [{_signed(ends[0])}, {_signed(ends[1])}]" if ends else ""
    return f"{_signed(metric['value'])}{interval}"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", wording.MINUS)
