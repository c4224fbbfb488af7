"""The slide that says what to run, and the rule by which it was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.slides import parts, quality
from bitbudget.publishing.slides.cells import Cell, apart_by, cells, marked, times
from bitbudget.publishing.slides.texts import broken, stacked, table
from bitbudget.publishing.typesetting.texts import capital, shortened
from bitbudget.telling import across, wording
from bitbudget.telling.evidence import Evidence

Slide = dict[str, Any]
Record = Mapping[str, Any]

RUNNERS_UP = 3  # so many models, conditions or studies tell the next best too
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
    if len(every) == 1:
        return _card(every[0])
    said = list(dict.fromkeys(cell.told["recommendation"]["short"] for cell in every))
    names = {cell.told["recommendation"]["precision"] for cell in every}
    what = "study" if joint else apart_by(every)
    title = f"Recommended, by {what}"
    if names == {None}:
        title = capital(said[0])
    elif len(names) == 1:
        title = f"Recommended: {said[0] if len(said) == 1 else names.pop()}"
    chosen = {cell.heading: cell.told["recommendation"].get("runner_up_sentence") for cell in every}
    notes = [f"{_quality(every)}; size on disk and latency as multiples of the baseline's."]
    if joint and len(every) <= RUNNERS_UP:
        notes += [f"{capital(name)}: {said}." for name, said in chosen.items() if said]
    elif len(every) <= RUNNERS_UP and (told := across.runners_up([cell.told for cell in every])):
        notes.append(told)
    columns = [what, "recommended", "difference", "on disk", "latency"]
    rows = [_line(cell) for cell in every]
    return table(title, "", columns, "llrrr", rows, "verdicts.txt", [*notes, rule(studies)])


def _quality(every: Sequence[Cell]) -> str:
    """What the differences are of, and what their marks mean."""
    metrics = dict.fromkeys(cell.evidence.verdicts["label"] for cell in every)
    entries = [cell.recommended for cell in every if cell.recommended]
    key = f" ({quality.key(entries)})" if entries else ""
    return f"Difference from the baseline in {wording.listed(list(metrics))}{key}"


def _line(cell: Cell) -> list[str]:
    """A recommendation in a row of a table."""
    name, entry = cell.told["recommendation"]["precision"], cell.recommended
    start = [stacked(cell.heading, 30), broken(shortened(name or NOTHING, 40), 24)]
    if entry is None:
        return [*start, "" if name is None else "is the baseline", "", ""]
    found = cell.difference(entry)
    unit = cell.primary["difference_unit"]
    told = f"{entry['mark']} {found['text']} {unit}".rstrip() if "value" in found else "not compared"
    return [*start, told, times(entry, "size_on_disk"), times(entry, "latency")]


def _card(cell: Cell) -> Slide:
    """What a recommended precision changes: its costs, each with its sign, and what else is to be said of it."""
    chosen, entry = cell.told["recommendation"], cell.recommended
    lines, costs = [f"{capital(chosen['reason'])}."], []
    if entry is not None:
        lines = [f"{capital(entry['sentence'])}.", f"{capital(entry['at_worst'])}."]
        costs = [one for metric in cell.told["main_costs"] if (one := marked(entry, metric))["text"]]
    if cell.told["disturbed"]:
        lines.append(f"{capital(cell.told['disturbed'])}.")
    if chosen.get("runner_up_sentence"):
        lines.append(f"{chosen['runner_up_sentence'].replace('runner-up', 'Runner-up', 1)}.")
    lines += [f"For the least {one['prefer']}: {one['short']}." for one in cell.told["profiles"][1:]]
    big = chosen["precision"]
    title = capital(chosen["short"]) if big is None else f"Recommended: {chosen['short']}"
    return {
        "kind": "verdict",
        "title": title,
        "heading": cell.heading,
        "big": shortened(big or NOTHING, 44),
        "costs": costs,
        "lines": lines,
        # the rule stands beside the question, and who is accepted beside the differences
        "notes": quality.refused(cell),
    }


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
        "heading": heading,
        "big": found["worst"]["group"],
        "costs": [],
        "lines": lines,
        "notes": ["Only simulated formats were compared: there is no recommendation by costs."],
    }
