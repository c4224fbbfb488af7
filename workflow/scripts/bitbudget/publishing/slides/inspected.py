"""The slide of the inspection of all answers, where it found something, and else a line for the slide of limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.slides.cells import Panel
from bitbudget.publishing.slides.texts import ABSENT, sentences, shortened
from bitbudget.telling import wording

Slide = dict[str, Any]
Record = Mapping[str, Any]

TABLE = 10  # rows
FLAGS = {"privacy": "private strings", "profanity": "profanity", "people": "about people"}
LOOK = "Flagged answers are for a person to look at (flagged.csv); a screen does not judge."


def lines(panels: Sequence[Panel]) -> list[str]:
    """What is to be said of the inspection where no slide shows it, in points of the slide of limits."""
    if len(panels) == 1 and slide(panels[0]) is not None:
        return []
    cells = [(panel, cell) for panel in panels for cell in (panel.evidence.inspection or {}).get("cells", [])]
    screened = [(panel, cell) for panel, cell in cells if cell["flagged"]]
    told = []
    if screened:
        flagged = sum(_answers(panel, cell) for panel, cell in screened)
        many = sum(cell["n"] for _, cell in screened)
        found = f"{flagged} of {many} answers were flagged, for a person to look at (flagged.csv)"
        nothing = f"nothing private, profane or about people was flagged in {many} answers; a screen may miss some"
        told.append(f"Screened: {found if flagged else nothing}")
    else:
        checks = [one for panel in panels for one in (panel.evidence.inspection or {}).get("looked_for", [])]
        why = next((one["absent"] for one in reversed(checks) if one.get("absent")), "no inspection is recorded")
        told.append(f"Not screened: {sentences(why, 120).rstrip('.')}")
    wrong = {(panel.evidence.name, name): value for panel in panels for name, value in _named_wrongly(
        _cells(panel)).items()}  # fmt: skip
    if wrong:
        study, name = max(wrong, key=wrong.__getitem__)
        told.append(f"Objects: up to {_percent(wrong[study, name])} of those named are not there ({name} in {study})")
    return told


def _cells(panel: Panel) -> list[Record]:
    return [cell for cell in (panel.evidence.inspection or {}).get("cells", []) if _of(panel, cell)]


def _of(panel: Panel, cell: Record) -> bool:
    return (cell["model"], cell["condition"]) == (panel.model, panel.condition)


def _screened(cells: Sequence[Record]) -> list[Record]:
    """Those whose answers are text: boxes cannot be screened."""
    return [cell for cell in cells if cell["flagged"]]


def _flagged(panel: Panel, cells: Sequence[Record]) -> int:
    """How many answers have anything flagged, each counted once."""
    return sum(_answers(panel, cell) for cell in _screened(cells))


def _answers(panel: Panel, cell: Record) -> int:
    if cell.get("answers_flagged") is not None:
        return cell["answers_flagged"]
    # a record of before this count was kept: no fewer than of the most frequent kind, and than the items listed
    items = {
        one["item"]
        for one in panel.evidence.inspection["flagged"]
        if (one["model"], one["condition"]) == (cell["model"], cell["condition"]) and one["where"] == "answer"
        and cell["precision"] in one["precisions"] and one["kind"] in FLAGS
    }  # fmt: skip
    return max(len(items), *cell["flagged"].values())


def slide(panel: Panel) -> Slide | None:
    """Hallucinated objects and what the screens flagged; None where there is neither a flag nor an object that was
    looked for."""
    cells = _cells(panel)
    flagged = _flagged(panel, cells)
    known = _named_wrongly(cells)
    if not flagged and not known:
        return None
    base, worst = panel.evidence.baseline, max(known, key=known.__getitem__) if known else None
    differences = {
        one["precision"]: one["metrics"] for one in panel.evidence.inspection.get("comparisons", []) if _of(panel, one)
    }
    shown = _kept(cells, (base, worst))
    rows = []
    for cell in shown:
        row = [shortened(cell["precision"], 24) + " (baseline)" * (cell["precision"] == base)]
        if known:
            row += [_share(cell["metrics"].get("chair_i", {})), _points(differences.get(cell["precision"], {}))]
        row += [str(cell["flagged"].get(kind, "not done")) for kind in FLAGS] if flagged else []
        rows.append(row)
    columns = ["precision", *(["objects not there", "against baseline"] if known else [])]
    columns += list(FLAGS.values()) if flagged else []
    return {
        "kind": "table",
        "title": _title(panel, cells, known, worst, flagged),
        "heading": panel.heading,
        "columns": columns,
        "align": ["left", *["right"] * (len(columns) - 1)],
        "rows": rows,
        "left": len(cells) - len(shown),
        "where": "inspection.json",
        "notes": [*([_objects_note(panel, cells, flagged)] if known else []), *([LOOK] if flagged else [])],
    }


def _kept(cells: Sequence[Record], needed: Sequence[str | None]) -> list[Record]:
    """As many cells as a slide holds, in their order, among them those that its title names."""
    first = [cell for cell in cells if cell["precision"] in needed]
    others = [cell for cell in cells if cell["precision"] not in needed]
    return sorted([*first, *others][:TABLE], key=cells.index)


def _named_wrongly(cells: Sequence[Record]) -> dict[str, float]:
    """CHAIR-i by precision: the share of named objects that are not there."""
    found = {cell["precision"]: cell["metrics"].get("chair_i", {}) for cell in cells}
    return {name: metric["value"] for name, metric in found.items() if "value" in metric}


def _title(panel: Panel, cells: Sequence[Record], known: Mapping[str, float], worst: str | None, flagged: int) -> str:
    base = panel.evidence.baseline
    if worst is None:
        many = sum(cell["n"] for cell in _screened(cells))
        return f"{flagged} of {many} answers were flagged, for a person to look at"
    at_base = known.get(base)
    if worst == base or at_base == known[worst]:
        return f"{_percent(known[worst])} of the objects that {base} names are not there; no precision names more"
    said = f"{_percent(known[worst])} of the objects that {worst} names are not there"
    return f"{said}; of {base}'s {_percent(at_base)}" if at_base is not None else said


def _objects_note(panel: Panel, cells: Sequence[Record], flagged: int) -> str:
    sentenced = [cell["metrics"].get("chair_s", {}) for cell in cells]
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
