"""The items of a study that can be asked about: those whose images are there, where they have any."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.errors import UserError


def expected_items(items: Path, images: Path | None = None) -> list[dict[str, Any]]:
    """The lines of items.jsonl but for items with an image that was skipped: each of these is to be answered.

    `images` is None for a track without images. Raises `UserError` where no item is left.
    """
    skipped = {entry["id"] for entry in files.read_json(images)["skipped"]} if images else set()
    expected = [item for item in files.read_jsonl(items) if not any(one["id"] in skipped for one in item["images"])]
    if not expected:
        what = "item whose images can be used" if images else "item"
        raise UserError(f"{items} has no {what}; choose another subset.")
    return expected


def usable_items(items: Path, images: Path | None = None) -> list[dict[str, Any]]:
    """The expected items, `images` replaced by the paths of the prepared files; none of a track without images.

    Raises `UserError` for an image that was neither prepared nor skipped, and where no item is left.
    """
    prepared = files.read_json(images)["images"] if images else {}
    usable = []
    for item in expected_items(items, images):
        ids = [image["id"] for image in item["images"]]
        missing = next((i for i in ids if i not in prepared), None)
        if missing is not None:
            raise UserError(f"{images} has no image {missing} of item {item['id']}: delete it and make it again.")
        usable.append({**item, "images": [str(images.parent / prepared[i]["file"]) for i in ids]})
    return usable


def add_shots_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a script that prompts a model: where a few-shot condition's examples are."""
    parser.add_argument("--shots", type=Path, help="shots.jsonl, for a few-shot condition")
    parser.add_argument("--shot-images", type=Path, help="images.json of the examples")


def usable_shots(items: Path | None, images: Path | None, number: int) -> list[dict[str, Any]]:
    """The examples of a few-shot condition in the form of `usable_items`; none for `number` 0.

    Raises `UserError` where the files do not hold `number` examples.
    """
    found = usable_items(items, images) if items and images else []
    if len(found) != number:
        raise UserError(
            f"{number} examples are to stand before each item, and {items or 'no file'} has {len(found)}; "
            "make it again with select_shots."
        )
    return found
