"""The slide that says what to run, and the rule by which it was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.slides import parts, quality
from bitbudget.publishing.slides.cells import Cell, cells, marked, times
from bitbudget.publishing.typesetting.texts import capital, shortened
from bitbudget.telling.evidence import Evidence

Slide = dict[str, Any]
Record = Mapping[str, Any]

CARDS = 2  # in large letters; more make a table
TABLE = 9
NOTHING = "nothing"


def rule(studies: Sequence[Evidence]) -> str:
    """When a precision is good enough, and what then counts."""
    rules = list(dict.fromkeys(study.verdicts["rule"] for study in studies))
    return rules[0] if len(rules) == 1 else "Each study has its own rule of what is accepted: see verdicts.txt of each."


def slide(studies: Sequence[Evidence]) -> Slide:
    """What is recommended: in large letters, or in a table where there are many models, conditions or studies."""
    every = cells(studies)
    joint = len(studies) > 1
    if not joint and (found := _parts(every[0])) is not None:
        return found
    said = {cell.told["recommendation"]["short"] for cell in every}
    names = {cell.told["recommendation"]["precision"] for cell in every}
    if len(said) == 1 or len(names) == 1:
        told = said.pop() if len(said) == 1 else names.pop()
        title = capital(told) if None in names or told.startswith("nothing") else f"Recommended: {told}"
    else:
        title = "Recommended, by study" if joint else "Recommended, by model and condition"
    notes = [rule(studies)]
    if len(every) <= CARDS:
        cards = [_card(cell, alone=len(every) == 1) for cell in every]
        if len(every) == 1:  # the rule stands beside the question
            notes = quality.accepted(every[0])
        return {"kind": "verdict", "title": title, "heading": "", "cards": cards, "notes": notes}
    rows = [_line(cell) for cell in every]
    return {
        "kind": "table",
        "title": title,
        "heading": "",
        "columns": ["study" if joint else "model and condition", "recommended", "difference", "on disk", "latency"],
        "align": ["left", "left", "right", "right", "right"],
        "rows": rows[:TABLE],
        "left": max(len(rows) - TABLE, 0),
        "where": "verdicts.txt",
        "notes": [*notes, "Against the baseline: difference in quality; size on disk and latency in the baseline's."],
    }


def _line(cell: Cell) -> list[str]:
    """A recommendation in a row of a table."""
    name, entry = cell.told["recommendation"]["precision"], cell.recommended
    start = [shortened(cell.heading, 34), shortened(name or NOTHING, 30)]
    if entry is None:
        return [*start, "" if name is None else "is the baseline", "", ""]
    found = cell.difference(entry)
    told = f"{entry['mark']} {found['text']}" if "value" in found else "not compared"
    return [*start, told, times(entry, "size_on_disk"), times(entry, "latency")]


def _card(cell: Cell, *, alone: bool) -> dict[str, Any]:
    """What a recommended precision changes: its costs, each with its sign, and what else is to be said of it."""
    chosen, entry = cell.told["recommendation"], cell.recommended
    lines, costs = [f"{capital(chosen['reason'])}."], []
    if entry is not None:
        lines = [f"{capital(entry['sentence'])}.", f"{capital(entry['at_worst'])}."]
        costs = [marked(entry, metric) for metric in cell.told["main_costs"]]
        costs = [one for one in costs if one["mark"] or (alone and one["text"])]
    if cell.told["disturbed"]:
        lines.append(f"{capital(cell.told['disturbed'])}.")
    if chosen.get("runner_up_sentence"):
        lines.append(f"{chosen['runner_up_sentence'].replace('runner-up', 'Runner-up', 1)}.")
    lines += [f"For the least {one['prefer']}: {one['short']}." for one in cell.told["profiles"][1:]]
    big = shortened(chosen["precision"] or NOTHING, 30)
    return {"heading": cell.heading, "big": big, "costs": costs, "lines": lines}


def _parts(cell: Cell) -> Slide | None:
    """What the ablation found, where only simulated formats were compared: there is no cost to recommend by."""
    found = parts.told(cell)
    if found is None or not all(entry["simulated"] for entry in cell.others):
        return None
    lines = [f"{part['group']}: {part['entry']['short']}" for part in found["parts"][:5]]
    heading = ", ".join(filter(None, [cell.heading, f"each alone in {found['format']}"]))
    return {
        "kind": "verdict",
        "title": found["title"],
        "heading": "",
        "cards": [{"heading": heading, "big": found["worst"]["group"], "costs": [], "lines": lines}],
        "notes": ["Only simulated formats were compared: there is no recommendation by costs."],
    }
