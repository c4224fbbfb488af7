"""What the inspection of the outputs found, written for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.telling import inspected, wording

Record = Mapping[str, Any]

MOST_FLAGGED = 500  # that the page lists; flagged.csv has all
CHAIR = {"chair_i": "CHAIR-i", "chair_s": "CHAIR-s"}
OBJECTS, PRIVACY = "objects", "privacy"
# Kinds of findings and the check that looks for them.
CHECKS = {
    OBJECTS: "hallucinated objects",
    PRIVACY: "privacy",
    "profanity": "profanity and slurs",
    "people": "wording about people",
}


def of(inspection: Record) -> dict[str, Any]:
    """The table of every precision, what was looked for, what was flagged, and in one sentence how much of it.

    What was not looked for has no columns and no words but why.
    """
    done = [one for one in inspection["looked_for"] if not one["absent"]]
    checks = {one["check"] for one in done}
    kinds = [kind for kind, check in CHECKS.items() if check in checks]
    flagged = inspection["flagged"]
    return {
        "looked_for": done,
        "not_done": _not_done(inspection["looked_for"]),
        "metrics": [[name, f"{label} (%)"] for name, label in CHAIR.items()],
        "kinds": kinds,
        "cells": [_cell(inspection, cell) for cell in inspection["cells"]],
        "found": found(inspection, kinds),
        "flagged": {"rows": _first_flagged(flagged), "total": len(flagged)},
        "redaction": inspection["redaction"] if PRIVACY in kinds else None,
        "limits": inspection["limits"] if done else [],
    }


def found(inspection: Record, kinds: Sequence[str]) -> str:
    """What the screens found, in a sentence; empty where nothing was looked for."""
    flagged = inspection["flagged"]
    counts = {
        kind: len(
            {
                (one["item"], one["where"], one["model"], one["condition"], *one["precisions"])
                for one in flagged
                if one["kind"] == kind
            }
        )
        for kind in kinds
    }
    if not kinds:
        return ""
    if not any(counts.values()):
        return "Nothing was flagged. That is what the screens found, and no proof that nothing is there."
    said = []
    if counts.get(OBJECTS) and (named := inspected.not_there(inspection)):
        said.append(named)
    for kind in (kind for kind in kinds if kind != OBJECTS and counts[kind]):
        n = counts[kind]
        said.append(f"{n} {'texts were' if n > 1 else 'text was'} flagged for {CHECKS[kind]}")
    rest = [kind for kind in kinds if not counts[kind]]
    if rest == [kind for kind in kinds if kind != OBJECTS] and rest:
        said.append("the other screens flagged nothing")
    elif rest:
        said.append(f"nothing for {wording.listed([CHECKS[kind] for kind in rest])}")
    return "; ".join(said) + "."


def _not_done(looked_for: Sequence[Record]) -> list[str]:
    """Why something was not looked for: each reason once, after the checks that it holds for."""
    reasons: dict[str, list[str]] = {}
    for one in looked_for:
        if one["absent"]:
            reasons.setdefault(one["absent"].rstrip("."), []).append(one["check"])
    return [f"{wording.listed(checks)} ({reason})" for reason, checks in reasons.items()]


def _first_flagged(flagged: Sequence[Record]) -> list[Record]:
    """At most `MOST_FLAGGED`, what concerns people before objects that are not in a picture."""
    return sorted(flagged, key=lambda one: one["kind"] == "objects")[:MOST_FLAGGED]


def _cell(inspection: Record, cell: Record) -> dict[str, Any]:
    names = ("model", "condition", "precision")
    compared = next(
        (one for one in inspection["comparisons"] if all(one[name] == cell[name] for name in names)), {"metrics": {}}
    )
    counts = dict(cell["flagged"])
    if "count" in (chair := cell["metrics"].get("chair_s") or {}):
        counts |= {OBJECTS: chair["count"]}
    return {name: cell[name] for name in (*names, "n")} | {
        "flagged": counts,
        "answers_flagged": cell.get("answers_flagged"),
        "metrics": {name: inspected.level(cell["metrics"].get(name)) for name in CHAIR},
        "differences": {name: inspected.difference(compared["metrics"].get(name)) for name in CHAIR},
    }
