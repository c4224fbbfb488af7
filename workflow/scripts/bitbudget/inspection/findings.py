"""What was looked for in a study's outputs, how, and what was found: the record inspection.json and its table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from bitbudget import contracts, files, records, registry
from bitbudget.errors import UserError
from bitbudget.inspection import chair, redaction, screen, truth
from bitbudget.inspection.objects import Vocabulary
from bitbudget.inspection.people import CLASSES
from bitbudget.inspection.profanity import THRESHOLD
from bitbudget.untrusted import csv_text

COLUMNS = ("study", "item", "model", "condition", "precisions", "kind", "what", "where", "excerpt")
NAMED = 10  # at most so many categories that are not looked for are named
BOXES = "the answers are boxes, not text."


def limits_of(items: Sequence[Mapping[str, Any]], answers: screen.Answers, known: truth.Truth | None) -> list[str]:
    """What was not looked for, or cannot be found, in sentences; none where nothing was looked for."""
    if not answers:
        return []
    screens = "All but the hallucinated objects are" if known else "These are"
    found = [
        f"{screens} screens for a person to look at: what they flag may be harmless, and what they do not flag may not "
        "be. Nothing is dropped for being flagged.",
        "Personal strings are found by their form alone. Names, postal addresses and dates of birth have none, and "
        "strings that a model misread may have lost theirs.",
        "Profanity and wording about people are looked for in English.",
    ]
    left_out = Vocabulary(known.categories).left_out if known else ()
    if left_out:
        found.append(
            f"{len(left_out)} of the {len(known.categories)} categories are not looked for, because their names hold "
            f"no word and no number: {', '.join(map(repr, left_out[:NAMED]))}{', …' * (len(left_out) > NAMED)}."
        )
    return [*found, "Pictures themselves are not inspected."] if any(item["images"] for item in items) else found


def inspect(
    spec: Mapping[str, Any], items: Sequence[Mapping[str, Any]], answers: screen.Answers, known: truth.Truth | None
) -> dict[str, Any]:
    """The body of the record.

    `spec` has the study's `seed`, `track`, `kind`, `models`, `precisions`, `conditions`, `baseline` and `inspection`;
    `answers` the text of every item by cell, empty for a track whose answers are no text; `known` is what the images
    show, None where that is not known. Raises `UserError` for a region without telephone numbers.
    """
    on, why = redaction.decided(spec["track"], spec["kind"], spec["inspection"])
    redactor = redaction.Redactor(on, spec["inspection"]["phone_region"])
    texts = {text for of_cell in answers.values() for text in of_cell.values()}
    looking = screen.Screen(texts, redactor)
    measured, comparisons, not_there = _chair(spec, items, answers, known)
    flagged, counts, answers_flagged = screen.of_answers(items, answers, looking, not_there)
    flagged += screen.of_given(items, looking)
    order = {item["id"]: number for number, item in enumerate(items)}
    flagged.sort(key=lambda row: order[row["item"]])
    cells = [
        {
            "model": model,
            "condition": condition,
            "precision": precision,
            "n": len(items),
            "metrics": measured[model, precision, condition],
            "flagged": counts.get((model, precision, condition), {}),
            "answers_flagged": answers_flagged.get((model, precision, condition)),
        }
        for model, precision, condition in cells_of(spec)
    ]
    return {
        "looked_for": looked_for(spec, known),
        "cells": cells,
        "correction": chair.CORRECTION if comparisons else None,
        "comparisons": comparisons,
        "flagged": flagged,
        "redaction": {"on": on, "why": why, "replaced": redactor.replaced},
        "limits": limits_of(items, answers, known),
    }


def cells_of(spec: Mapping[str, Any]) -> list[screen.Cell]:
    """Every (model, precision, condition), by model and condition with the precisions in the study's order."""
    return [(m, p, c) for m in spec["models"] for c in spec["conditions"] for p in spec["precisions"]]


def _chair(
    spec: Mapping[str, Any], items: Sequence[Mapping[str, Any]], answers: screen.Answers, known: truth.Truth | None
) -> tuple[dict[screen.Cell, dict[str, Any]], list[dict[str, Any]], dict[screen.Cell, dict[str, tuple[str, ...]]]]:
    """Of each cell both shares, the differences from the baseline, and of each cell and item what is not there."""
    metrics: dict[screen.Cell, dict[str, Any]] = {}
    comparisons: list[dict[str, Any]] = []
    not_there: dict[screen.Cell, dict[str, tuple[str, ...]]] = {}
    if reason := _why_no_objects(spec, known):
        absent = {name: records.absent(reason, unit, higher_is_better=False) for name, unit in chair.UNITS.items()}
        return dict.fromkeys(cells_of(spec), absent), [], {}
    vocabulary = Vocabulary(known.categories)
    there = chair.there_to_name(vocabulary, known, items)
    ids = [item["id"] for item in items]
    for model in spec["models"]:
        for condition in spec["conditions"]:
            order = [spec["baseline"], *(p for p in spec["precisions"] if p != spec["baseline"])]
            group_cells = [(model, precision, condition) for precision in order]
            rows = [chair.rows_of(vocabulary, there, items, answers[cell]) for cell in group_cells]
            group = chair.Group.of(rows, ids, spec["seed"])
            for number, cell in enumerate(group_cells):
                metrics[cell] = group.metrics(number)
                not_there[cell] = {i: row.hallucinated for i, row in zip(ids, rows[number], strict=True)}
                if number:
                    about = {"model": model, "condition": condition, "precision": cell[1]}
                    comparisons.append({**about, "metrics": group.differences(number)})
    chair.correct(comparisons)
    return metrics, comparisons, not_there


def _why_no_objects(spec: Mapping[str, Any], known: truth.Truth | None) -> str | None:
    """Why no made-up objects can be told; None where they can."""
    if known is None:
        return truth.why_none(spec["kind"], spec["track"])
    return truth.NO_WORDS if len(Vocabulary(known.categories).left_out) == len(known.categories) else None


def looked_for(spec: Mapping[str, Any], known: truth.Truth | None) -> list[dict[str, Any]]:
    """What was looked for, with which library, and why something was not."""
    boxes = None if _in_words(spec["track"]) else BOXES
    region = spec["inspection"]["phone_region"]
    source = known.source if known else "the objects that a data set names"
    return [
        {
            "check": "hallucinated objects",
            "how": f"CHAIR-i and CHAIR-s (Rohrbach et al. 2018): words for {source}, by a list of synonyms of our own "
            "(so values are not comparable with published ones), that neither the image's objects nor its references "
            "name.",
            "absent": _why_no_objects(spec, known),
        },
        {
            "check": "privacy",
            "how": "E-mail addresses and number plates by patterns of our own, telephone numbers by phonenumbers "
            f"{version('phonenumbers')} (without a country's code as of {region}), card and account numbers by the "
            f"check digits of python-stdnum {version('python-stdnum')}, social security numbers, IP addresses.",
            "absent": boxes,
        },
        {
            "check": "profanity and slurs",
            "how": f"alt-profanity-check {version('alt-profanity-check')} word by word, from a probability of "
            f"{THRESHOLD} on, without words for who somebody is, and a few slurs added.",
            "absent": boxes,
        },
        {
            "check": "wording about people",
            "how": f"A list of our own of words that stereotypes hang on, said of a person: {', '.join(CLASSES)}.",
            "absent": boxes,
        },
    ]


def _in_words(track: str) -> bool:
    return contracts.of(registry.module_of("track", track), "ANSWER") == "text"


def read_answers(
    spec: Mapping[str, Any], items: Sequence[Mapping[str, Any]], predictions: Mapping[screen.Cell, Any]
) -> dict[screen.Cell, dict[str, str]]:
    """Every item's text by cell; nothing of a track whose answers are no text.

    `predictions` are the files by cell. Raises `UserError` where one is missing, or lacks an item.
    """
    if not _in_words(spec["track"]):
        return {}
    found = {}
    for cell in cells_of(spec):
        if cell not in predictions:
            raise UserError(f"there are no predictions of {' / '.join(cell)}; name their file too.")
        texts = {row["id"]: row.get("text") for row in files.read_jsonl(predictions[cell])}
        missing = next((item["id"] for item in items if not isinstance(texts.get(item["id"]), str)), None)
        if missing is not None:
            raise UserError(f"{predictions[cell]} has no answer to item {missing!r}; predict this precision again.")
        found[cell] = texts
    return found


def table(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of flagged.csv, every text in it harmless in a spreadsheet."""
    for row in record["flagged"]:
        yield csv_text.row({**row, "study": record["study"], "precisions": ", ".join(row["precisions"])})


def in_words(record: Mapping[str, Any]) -> Iterator[str]:
    """What was found, for the log."""
    for name, label in chair.LABELS.items():
        for cell in record["cells"]:
            metric = cell["metrics"][name]
            if "value" in metric:
                low, high = metric.get("ci", (None, None))
                interval = "" if low is None else f" [{low:.3f}, {high:.3f}]"
                where = ", ".join(cell[key] for key in ("model", "condition", "precision"))
                yield f"{where}: {label} {metric['value']:.3f}{interval}"
    kinds: dict[str, int] = {}
    for row in record["flagged"]:
        kinds[row["kind"]] = kinds.get(row["kind"], 0) + 1
    named = ", ".join(f"{count} of {kind}" for kind, count in kinds.items()) or "nothing"
    yield f"flagged for a person to look at: {named}. {record['redaction']['why']}"
