"""All that the page's program shows, as one JSON-like value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import contracts, registry
from bitbudget.errors import UserError
from bitbudget.provenance.rulegraph import parsed
from bitbudget.publishing.page import about, browser, cells, modules, screens
from bitbudget.telling import changes, wording
from bitbudget.telling.evidence import Evidence

BOXES = "right \N{MINUS SIGN} wrong boxes"  # by which an image's detections score, whichever the metric


def of(evidence: Evidence, rulegraph: Path, most: int) -> dict[str, Any]:
    """The page's data: at most `most` items stand in its browser of examples.

    Raises `UserError` where the graph of rules or a picture is not there.
    """
    try:
        dot = rulegraph.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{rulegraph} is not there: make it with `make run STUDY={evidence.name}`.") from None
    verdicts = evidence.verdicts
    track = registry.module_of("track", evidence.track)
    inspected = screens.of(evidence.inspection)
    return {
        "study": evidence.name,
        "title": (evidence.study.get("report") or {}).get("title"),
        "description": evidence.study.get("description"),
        "demo": bool(evidence.demo),
        "baseline": evidence.baseline,
        "primary": evidence.primary,
        **{key: verdicts[key] for key in ("label", "worth", "rule", "metrics", "kinds")},
        "own": (own := _own(evidence)),
        "changes": {name: changes.word(name, BOXES if own == "boxes" else verdicts["label"]) for name in changes.WORDS},
        "left_out": [one["sentence"] for one in verdicts["machine"]["left_out"]],
        "prompt": evidence.study.get("prompt"),
        "item": wording.capital(track.ITEM),
        "expected": contracts.of(track, "EXPECTED"),
        "models": evidence.models,
        "precisions": evidence.precisions,
        "conditions": evidence.conditions,
        "cells": [cells.of(evidence, cell) for cell in verdicts["cells"]],
        "audits": [_audit(model, precision, audit) for (model, precision), audit in evidence.audits.items()],
        "examples": browser.of(evidence.examples, evidence.folder, most, screened=inspected["redaction"] is not None),
        "inspection": inspected,
        "graph": {"words": [(rule, sorted(needs)) for rule, needs in parsed(dot).items()]},
        "about": about.of(evidence),
    }


def _own(evidence: Evidence) -> str:
    """What an example's value is: "share" is right, partly right or wrong, "boxes" right ones minus wrong ones, and
    "value" anything else in the primary metric's unit."""
    if contracts.of(registry.module_of("track", evidence.track), "ANSWER") == "detections":
        return "boxes"
    return "share" if evidence.verdicts["metrics"][0]["unit"] else "value"


def _audit(model: str, precision: str, audit: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": model,
        "precision": precision,
        "passed": audit["passed"],
        "simulated": audit["simulated"],
        "groups": modules.groups(audit),
        "tree": modules.tree(audit),
    }
