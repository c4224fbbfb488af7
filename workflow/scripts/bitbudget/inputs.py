"""The items a model is given: those whose images are there, with the images' paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.errors import UserError


def usable_items(items: Path, images: Path) -> list[dict[str, Any]]:
    """The lines of items.jsonl, `images` replaced by paths; items with an image that was skipped are left out.

    Raises `UserError` for an image that was neither prepared nor skipped, and where no item is left.
    """
    prepared = files.read_json(images)
    skipped = {entry["id"] for entry in prepared["skipped"]}
    usable = []
    for item in files.read_jsonl(items):
        ids = [image["id"] for image in item["images"]]
        if skipped & set(ids):
            continue
        missing = next((i for i in ids if i not in prepared["images"]), None)
        if missing is not None:
            raise UserError(f"{images} has no image {missing} of item {item['id']}: delete it and make it again.")
        paths = [images.parent / prepared["images"][i]["file"] for i in ids]
        usable.append({**item, "images": [str(path) for path in paths]})
    if not usable:
        raise UserError(f"{items} has no item whose images can be used; choose another subset.")
    return usable
