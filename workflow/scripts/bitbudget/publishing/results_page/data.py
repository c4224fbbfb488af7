"""All that the page's program shows, as one JSON-like value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.provenance.rulegraph import parsed
from bitbudget.publishing.results_page import about, browser, cells, modules, screens
from bitbudget.telling import wording
from bitbudget.telling.evidence import Evidence


def of(evidence: Evidence, rulegraph: Path, most: int) -> dict[str, Any]:
    """The page's data: at most `most` items stand in its browser of examples.

    Raises `UserError` where the graph of rules or a picture is not there.
    """
    try:
        dot = rulegraph.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{rulegraph} is not there: make it with `make run STUDY={evidence.name}`.") from None
    verdicts = evidence.verdicts
    accept = verdicts["accept"]
    inspected = screens.of(evidence.inspection)
    return {
        "study": evidence.name,
        "title": (evidence.study.get("report") or {}).get("title"),
        "description": evidence.study.get("description"),
        "track": evidence.track,
        "demo": bool(evidence.demo),
        "baseline": evidence.baseline,
        "primary": evidence.primary,
        "label": verdicts["label"],
        "worth": verdicts["worth"],
        "own": _own(evidence),
        "prompt": evidence.study.get("prompt"),
        "accept": f"Accepted is a precision that keeps {100 * accept['quality']:g} % of the baseline's quality even at "
        f"the worst end of its 95 % interval. Of those, the one with the least {accept['prefer']} is recommended.",
        "floor": _floor(evidence),
        "models": evidence.models,
        "precisions": evidence.precisions,
        "conditions": evidence.conditions,
        "metrics": cells.shown_metrics(evidence),
        "cells": [
            cells.of(evidence, model, condition) for model in evidence.models for condition in evidence.conditions
        ],
        "audits": [_audit(model, precision, audit) for (model, precision), audit in evidence.audits.items()],
        "examples": browser.of(evidence.examples, evidence.folder, most, screened=inspected["redaction"] is not None),
        "inspection": inspected,
        "graph": {"words": [(rule, sorted(needs)) for rule, needs in parsed(dot).items()]},
        "about": about.of(evidence),
    }


def _own(evidence: Evidence) -> str:
    """What an example's value is: "share" is right, partly right or wrong, "boxes" right ones minus wrong ones, and
    "value" anything else in the primary metric's unit."""
    words = wording.words_of({"track": evidence.track, "primary": evidence.primary})
    if words.detections:
        return "boxes"
    return "share" if words.share else "value"


def _floor(evidence: Evidence) -> str | None:
    """What answers without looking score, in words."""
    metric = evidence.blind["metrics"].get(evidence.primary, {})
    if "value" not in metric:
        return None
    words = wording.words_of({"track": evidence.track, "primary": evidence.primary})
    form = wording.format_of(words, {"ci": metric.get("ci"), "baseline": metric["value"]})
    floor = registry.module_of("track", evidence.track).FLOOR
    return f"For scale: {floor} scores {form.level(metric['value'])}."


def _audit(model: str, precision: str, audit: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": model,
        "precision": precision,
        "passed": audit["passed"],
        "simulated": audit["simulated"],
        "groups": modules.groups(audit),
        "tree": modules.tree(audit),
    }
