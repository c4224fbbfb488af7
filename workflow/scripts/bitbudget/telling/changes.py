"""How answers to one item differ from the baseline's, in words, by what an item is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WORDS = {"worse": "scores lower ({})", "better": "scores higher ({})", "changed": "changed"}


def word(change: str | None, label: str) -> str:
    """What became of an answer: "scores lower (CIDEr)"; empty where it is the baseline's or the same."""
    return WORDS.get(change or "", "").format(label)


def of_item(answers: Mapping[str, Any], baseline: str, label: str, *, share: bool) -> str:
    """How many precisions score lower or higher than the baseline on an item, or else answer otherwise.

    `answers` are those of one model and condition, by precision; `share` says whether the metric is one of right
    answers, of which all may be wrong.
    """
    others = [name for name in answers if name != baseline]
    if not others:
        return f"what {baseline} answers"
    changes = [change for name in others if (change := answers[name]["change"]) not in (None, "same")]
    wrong = ", all wrong" if share and not any(answer["value"] for answer in answers.values()) else ""
    if not changes:
        who = f"all {len(others)} precisions answer" if len(others) > 1 else f"{others[0]} answers"
        return f"{who} as {baseline} does{wrong}"
    of = f"of {len(others)} precisions"
    alone = len(others) == 1  # "1 of 1 precisions" is the one
    lower, higher = changes.count("worse"), changes.count("better")
    if not lower and not higher:
        who = others[0] if alone else f"{len(changes)} {of}"
        return f"{who} {_verb('answer', len(changes))} otherwise than {baseline}{wrong}"
    count, way = (lower, "lower") if lower else (higher, "higher")
    also = f", {higher} higher" if lower and higher else ""
    who = others[0] if alone else f"{count} {of}"
    return f"{who} {_verb('score', count)} {way} ({label}) than {baseline}{also}"


def _verb(verb: str, count: int) -> str:
    return verb if count > 1 else f"{verb}s"
