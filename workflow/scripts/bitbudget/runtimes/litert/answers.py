"""What the detection track asks and what is answered: images of known size in, rows of boxes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.items import available
from bitbudget.runtimes.litert.decoding import Found


@dataclass(frozen=True)
class Answer:
    """The boxes of one image, by descending score: `category_id`, `bbox` (x, y, w, h in pixels of the original) and
    `score`."""

    detections: list[dict[str, Any]]


@dataclass(frozen=True)
class Picture:
    """A prepared image, and the width and height of its original in pixels."""

    path: Path
    width: int
    height: int


def pictures(items: Path, images: Path) -> dict[str, Picture]:
    """The picture of every usable item, by the item's id.

    Raises `UserError` where an annotation was made for an image of another size than the one at hand.
    """
    prepared = files.read_json(images)["images"]
    ids = {item["id"]: item["images"][0]["id"] for item in available.expected_items(items, images)}
    found = {}
    for item in available.usable_items(items, images):
        width, height = prepared[ids[item["id"]]]["source_size"]
        stated = item["extra"]["width"], item["extra"]["height"]
        if stated != (width, height):
            raise UserError(
                f"image {ids[item['id']]} of item {item['id']} is {width} x {height} pixels (upright), and its "
                f"annotation was made for {stated[0]} x {stated[1]}, so that its boxes would not fit: fetch the image "
                "again, or correct the annotation."
            )
        found[item["id"]] = Picture(Path(item["images"][0]), width, height)
    return found


def answer(found: Found, categories: dict[int, int]) -> Answer:
    """A row of predictions from what a detector found, boxes to 0.01 pixels and scores to 0.00001.

    `categories` gives the category id of each label. Corners are rounded, not sizes, so that no box grows beyond the
    image.
    """
    boxes, scores, labels = found
    corners = [[round(x, 2), round(y, 2), round(x + w, 2), round(y + h, 2)] for x, y, w, h in boxes.tolist()]
    return Answer(
        [
            {"category_id": categories[label], "bbox": [x, y, round(right - x, 2), round(bottom - y, 2)],
             "score": round(score, 5)}
            for (x, y, right, bottom), score, label in zip(corners, scores.tolist(), labels.tolist(), strict=True)
        ]
    )  # fmt: skip


def categories_of(subset: Path) -> list[dict[str, Any]]:
    """The data set's categories, each with `id` and `name`. Raises `UserError` where the subset names none."""
    found = files.read_json(subset).get("categories")
    if not found:
        raise UserError(f"{subset} names no categories: delete it and make it again from a data set with boxes.")
    return found
