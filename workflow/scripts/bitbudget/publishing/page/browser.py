"""The items that the page lets people step through: which of them, in which order, and their pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbudget.errors import UserError
from bitbudget.spot_check.pictures import data_uris

Record = Mapping[str, Any]

SIDE = 400  # pixels of a thumbnail's longest side
UNCHANGED = (None, "same")


def changes(item: Record) -> tuple[int, int]:
    """In how many models, conditions and precisions the answer is not the baseline's, and is worth more or less."""
    answers = [
        answer
        for by_condition in item["answers"].values()
        for by_precision in by_condition.values()
        for answer in by_precision.values()
    ]
    found = [answer["change"] for answer in answers if answer["change"] not in UNCHANGED]
    return len(found), sum(change != "changed" for change in found)


def chosen(items: Sequence[Record], most: int) -> list[Record]:
    """At most so many of the items: those that changed first, by how often they did, then the rest, evenly spread.

    Of those that changed as often, the ones that rose or fell in worth more often come first; where that is alike too,
    they keep the subset's order. Of the unchanged ones as many are taken as there is room for,
    at equal distances over the subset.
    """
    counted = [(changes(item), item) for item in items]
    changed = [item for found, item in sorted(counted, key=lambda one: one[0], reverse=True) if found[0]][:most]
    rest = [item for found, item in counted if not found[0]]
    room = min(most - len(changed), len(rest))
    return changed + [rest[i * len(rest) // room] for i in range(room)]


def of(examples: Record, folder: Path, most: int, *, screened: bool = True) -> dict[str, Any]:
    """The browser's data: items, each picture once as a data URI, and how many items there are in all.

    What became of personal strings is said where they were looked for (`screened`).

    Raises `UserError` where a picture is not in the study's folder.
    """
    items = chosen(examples["items"], most)
    paths = list(dict.fromkeys(item["image"] for item in items if item["image"]))
    missing = next((path for path in paths if not (folder / path).exists()), None)
    if missing is not None:
        raise UserError(f"{folder / missing} is not there: run the study's resize_images again.")
    places = {path: number for number, path in enumerate(paths)}
    return {
        "total": len(examples["items"]),
        "items": [dict(item) | {"image": places.get(item["image"])} for item in items],
        "images": data_uris([folder / path for path in paths], sides=(SIDE,)),
        "redaction": examples["redacted_why"] if screened else None,
    }
