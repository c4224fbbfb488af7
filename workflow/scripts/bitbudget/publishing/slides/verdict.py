"""The slide that says what to run, and the rule by which it was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.judging import recommendation
from bitbudget.publishing.slides import parts, quality, standing
from bitbudget.publishing.slides.cells import Panel, panels
from bitbudget.publishing.slides.texts import capital, sentences, shortened
from bitbudget.telling import wording
from bitbudget.telling.evidence import Evidence

Slide = dict[str, Any]

CARDS = 3  # in large letters; more make a table
TABLE = 9
NOTHING = "none"


def rule(studies: Sequence[Evidence]) -> str:
    """When a precision is good enough, and what then counts."""
    rules = {(study.study["accept"]["quality"], study.study["accept"]["prefer"]) for study in studies}
    if len(rules) > 1:
        return "Each study has its own rule of what is good enough: see verdicts.txt of each."
    share, prefer = next(iter(rules))
    left = f"at least {100 * share:g} % of the baseline's quality, even at the worst end of the interval"
    return f"Good enough: {left}; then the least {prefer}."


def slide(studies: Sequence[Evidence]) -> Slide:
    """What is recommended: in large letters, or in a table where there are many models, conditions or studies."""
    if len(studies) == 1 and (found := _parts(studies[0])) is not None:
        return found
    every = [panel for study in studies for panel in panels(study)]
    joint = len(studies) > 1
    many = len(every) > 1
    cards = [card for panel in every if (card := _card(panel, joint, short=many))]
    names = list(dict.fromkeys(card["big"] for card in cards))
    if not cards:
        said = "No recommendation was computed"
    elif len(names) == 1:
        said = "Nothing can be recommended" if names[0] == NOTHING else f"Recommended: {names[0]}"
        told = {_traded(panel) for panel in every}
        if len(told) == 1 and (one := next(iter(told))):
            said += f", {one}"
    else:
        said = "Recommended, by study" if joint else "Recommended, by model and condition"
    if len(cards) <= CARDS:
        # why others are not accepted: of one model and condition, where the card does not tell it itself
        others = standing.refused(every[0]) if len(cards) == len(every) == 1 and _traded(every[0]) else []
        return {"kind": "verdict", "title": said, "heading": "", "cards": cards, "notes": [rule(studies), *others]}
    rows = [_line(panel, card) for panel in every if (card := _card(panel, joint, short=many))]
    return {
        "kind": "table",
        "title": said,
        "heading": "",
        "columns": ["study" if joint else "model and condition", "recommended", "quality", "on disk", "latency"],
        "align": ["left", "left", "right", "right", "right"],
        "rows": rows[:TABLE],
        "left": max(len(rows) - TABLE, 0),
        "where": "verdicts.txt",
        "notes": [rule(studies), "Quality: difference from the baseline; on disk and latency: times the baseline's."],
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
        ratio = standing.factor(row, panel.base, cost)
        told = standing.compared_cost(row, panel.base, cost)
        factors.append(f"{ratio:.2f}{standing.TIMES} {_word(told)}".strip() if ratio else "not measured")
    change = panel.difference(name)
    return [*start, "not compared" if change is None else panel.form(change).signed(change["value"]), *factors]


def _word(told: Mapping[str, str]) -> str:
    return told["text"].partition(": ")[2].partition(" (")[0]


def _traded(panel: Panel) -> str:
    """What is won and paid with what is recommended; empty where that is nothing, or the baseline."""
    name = (panel.evidence.recommendation_of(panel.model, panel.condition) or {}).get("precision")
    return "" if name is None or name == panel.evidence.baseline else standing.trade(panel, name)


def _card(panel: Panel, joint: bool, *, short: bool) -> dict[str, Any] | None:
    chosen = panel.evidence.recommendation_of(panel.model, panel.condition)
    if chosen is None:
        return None
    return {
        "heading": ", ".join([panel.evidence.name] * joint + [panel.heading] * bool(panel.heading)),
        "big": shortened(chosen["precision"] or NOTHING, 30),
        "lines": _why(panel, chosen, short),
    }


def _why(panel: Panel, chosen: Mapping[str, Any], short: bool) -> list[dict[str, str]]:
    """What a recommended precision changes, in short lines; the record's own sentence where nothing is changed."""
    name, sentence = chosen["precision"], chosen["sentence"]
    if name is None or name == panel.evidence.baseline:
        why = sentences(sentence.removeprefix(f"{name}, ").removeprefix("nothing is recommended: "), 150)
        return [_told(f"{capital(why)}."), *(_told(line) for line in standing.refused(panel))]
    row = panel.evidence.row(panel.model, name, panel.condition)
    lines = [_told(f"{panel.words.label} {quality.signed_in_words(panel, name)}: {standing.reason(panel, name)}")]
    preferred = recommendation.preferred(panel.evidence.study["accept"]["prefer"], panel.rows)
    memory = preferred if short else recommendation.memory(panel.rows)
    shown = (recommendation.SIZE, memory, recommendation.LATENCY, recommendation.ENERGY)
    lines += [standing.compared_cost(row, panel.base, cost) for cost in dict.fromkeys(shown)]
    if row["energy_how"] == "estimated" and lines[-1]["mark"]:
        lines[-1] = {**lines[-1], "text": f"{lines[-1]['text']} (estimated)"}
    worst = standing.at_worst(panel, name)
    return [*lines, *([_told(worst)] if worst else [])]


def _told(text: str) -> dict[str, str]:
    return {"mark": "", "text": text}


def _parts(evidence: Evidence) -> Slide | None:
    """What the ablation found, where only simulated formats were compared: there is no cost to recommend by."""
    panel = panels(evidence)[0]
    found = parts.findings(panel)
    others = [row for row in panel.rows if row is not panel.base]
    if not found or not others or any(row["simulated"] is None for row in others):
        return None
    losing = [(name, f"{text} {panel.words.noun}") for name, text, loses in found if loses]
    kept = [name for name, _, loses in found if not loses]
    form = parts.ablated_format(panel)
    lines = [_told(f"{name}: {text}") for name, text in losing[1:]]
    if kept:
        lines.append(_told(f"No loss detected: {wording.listed(kept)}"))
    title = f"In {form}, {losing[0][0]} needs its bits most" if losing else f"No part alone shows a loss in {form}"
    big = ": ".join(losing[0]) if losing else "no part"
    heading = ", ".join([*([panel.heading] if panel.heading else []), f"each alone in {form}"])
    return {
        "kind": "verdict",
        "title": title,
        "heading": "",
        "cards": [{"heading": heading, "big": big, "lines": lines}],
        "notes": ["Only simulated formats were compared: there is no recommendation by costs."],
    }
