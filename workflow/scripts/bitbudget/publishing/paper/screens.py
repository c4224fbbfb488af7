"""What the inspection of all answers flagged, in one wording wherever the paper tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.paper import nodes
from bitbudget.telling import inspected, wording

OBJECTS = "hallucinated objects"  # the check that is a count and no screen


def screened(record: Mapping[str, Any]) -> list[str]:
    """The screens of the answers that were run, without the count of hallucinated objects."""
    return [one["check"] for one in record["looked_for"] if not one["absent"] and one["check"] != OBJECTS]


def flagged(record: Mapping[str, Any]) -> str:
    """What the inspection flagged, answers and what people wrote apart; the same words wherever it is told."""
    answers = [one for one in record["flagged"] if one["where"] == "answer"]
    given = [one for one in record["flagged"] if one["where"] != "answer"]
    checked = inspected.not_there(record)
    screens = [one for one in answers if one["kind"] != "objects"]
    parts = []
    if checked:
        parts.append(checked)
    the = "the other screens" if checked else "the screens"
    if screens:
        kinds = wording.listed(sorted({one["kind"] for one in screens}))
        parts.append(f"{the} flagged {_screened(record, screens)} ({kinds}) for a person to judge")
    else:
        parts.append(f"{the} flagged no answer")
    if given:
        parts.append(f"{nodes.count(len(given), 'finding')} {'is' if len(given) == 1 else 'are'} in what people wrote")
    elif not screens:
        parts[-1] = f"{the} flagged nothing"
    empty = "" if screens or given else ", which is no proof that nothing is there"
    return "; ".join(parts) + f"{empty}."


def _screened(record: Mapping[str, Any], screens: Sequence[Mapping[str, Any]]) -> str:
    """How many answers the screens flagged, of how many where the record counts them by precision."""
    counts = [cell.get("answers_flagged") for cell in record["cells"]]
    if None in counts:
        return nodes.count(len({_answer(one) for one in screens}), "distinct answer")
    return f"{sum(counts)} of {nodes.count(sum(cell['n'] for cell in record['cells']), 'answer')}"


def _answer(one: Mapping[str, Any]) -> tuple[Any, ...]:
    """Which answer a finding is in: the same one of several precisions counts once."""
    return one["item"], one["model"], one["condition"], tuple(one["precisions"])
