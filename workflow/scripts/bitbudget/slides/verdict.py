"""The slide that says what to run, and the rule by which it was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget import recommendation
from bitbudget.reporting.evidence import Evidence
from bitbudget.slides import quality
from bitbudget.slides.cells import Panel, panels
from bitbudget.slides.texts import capital, shortened

Slide = dict[str, Any]

CARDS = 3  # in large letters; more make a table
TABLE = 7
NOTHING = "none"


def rule(studies: Sequence[Evidence]) -> str:
    """When a precision is good enough, and what then counts."""
    rules = {(study.study["accept"]["quality"], study.study["accept"]["prefer"]) for study in studies}
    if len(rules) > 1:
        return "Each study has its own rule of what is good enough: see verdicts.txt of each."
    share, prefer = next(iter(rules))
    left = f"{100 * share:g} % of the baseline's quality is left at the 95 % bound"
    return f"Good enough: {left}; then the least {prefer}."


def slide(studies: Sequence[Evidence]) -> Slide:
    """What is recommended: in large letters, or in a table where there are many models, conditions or studies."""
    every = [panel for study in studies for panel in panels(study)]
    joint = len(studies) > 1
    cards = [card for panel in every if (card := _card(panel, joint))]
    names = list(dict.fromkeys(card["big"] for card in cards))
    if not cards:
        said = "No recommendation was computed"
    elif len(names) == 1:
        said = "Nothing can be recommended" if names[0] == NOTHING else f"Recommended: {names[0]}"
    else:
        said = "Recommended, by study" if joint else "Recommended, by model and condition"
    if len(cards) <= CARDS:
        return {"kind": "verdict", "title": said, "heading": "", "cards": cards, "notes": [rule(studies)]}
    rows = [_line(panel, card) for panel in every if (card := _card(panel, joint))]
    return {
        "kind": "table",
        "title": said,
        "heading": "",
        "columns": ["study" if joint else "model and condition", "recommended", "quality", "on disk", "latency"],
        "align": ["left", "left", "right", "right", "right"],
        "rows": rows[:TABLE],
        "left": max(len(rows) - TABLE, 0),
        "where": "verdicts.txt",
        "notes": [rule(studies), "Quality: difference from the baseline; on disk and latency: of the baseline's."],
    }


def _line(panel: Panel, card: Mapping[str, Any]) -> list[str]:
    """A recommendation in a row of a table."""
    chosen = panel.evidence.recommendation_of(panel.model, panel.condition)
    name = (chosen or {}).get("precision")
    start = [shortened(card["heading"], 34), card["big"]]
    if name is None:
        return [*start, "", "", ""]
    if name == panel.evidence.baseline:
        return [*start, "is the baseline", "", ""]
    row = panel.evidence.row(panel.model, name, panel.condition)
    factors = []
    for cost in (recommendation.SIZE, recommendation.LATENCY):
        new, old = row[cost.column], panel.base[cost.column]
        factors.append(f"{new / old:.2f}\N{MULTIPLICATION SIGN}" if new and old else "not measured")
    change = panel.difference(name)
    return [*start, "not compared" if change is None else panel.form(change).signed(change["value"]), *factors]


def _card(panel: Panel, joint: bool) -> dict[str, Any] | None:
    chosen = panel.evidence.recommendation_of(panel.model, panel.condition)
    if chosen is None:
        return None
    return {
        "heading": ", ".join([panel.evidence.name] * joint + [panel.heading] * bool(panel.heading)),
        "big": shortened(chosen["precision"] or NOTHING, 30),
        "lines": [shortened(line, 200) for line in _why(panel, chosen)],
    }


def _why(panel: Panel, chosen: Mapping[str, Any]) -> list[str]:
    """What a recommended precision changes, in short lines; the record's own sentence where nothing is changed."""
    name, sentence = chosen["precision"], chosen["sentence"]
    if name is None or name == panel.evidence.baseline:
        return [capital(sentence.removeprefix(f"{name}, ")) + "."]
    row = panel.evidence.row(panel.model, name, panel.condition)
    estimated = {recommendation.ENERGY: " (estimated)"} if row["energy_how"] == "estimated" else {}
    lines = [f"{panel.words.label} {quality.signed_in_words(panel, name)}"]
    shown = (recommendation.SIZE, recommendation.memory(panel.rows), recommendation.LATENCY, recommendation.ENERGY)
    for cost in shown:
        new, old = row[cost.column], panel.base[cost.column]
        if not new or not old:
            lines.append(f"{cost.name} not measured")
            continue
        ends = cost.interval(row), cost.interval(panel.base)
        overlap = (
            ", intervals overlap" if None not in ends and ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1] else ""
        )
        lines.append(f"{cost.name} {new / old:.2f}\N{MULTIPLICATION SIGN}{overlap}{estimated.get(cost, '')}")
    worst = [part for part in sentence.split("; ") if part.startswith("if that is wrong, ")]
    return lines + [f"{capital(part.partition(' (')[0])}." for part in worst]
