"""What the figure of detections shows: some images, their objects, and what each model found in each precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.items import available
from bitbudget.metrics.matching import Box, Found, box_of, compare

IMAGES, ROWS = 4, 8  # images of a model, and at most of all models together, where one of each does not make more


@dataclass(frozen=True)
class Picture:
    """An image, its objects, and what was found, by model and precision."""

    item: str
    file: Path
    width: int
    height: int
    objects: Sequence[Box]
    found: Mapping[tuple[str, str], Found]


@dataclass(frozen=True)
class Gallery:
    """The images, and what the figure needs to name things; `names` are those of the data set's categories."""

    pictures: Sequence[Picture]
    names: Sequence[str]
    models: Sequence[str]
    precisions: Sequence[str]
    baseline: str
    note: str


def load(subset: Path, items: Path, images: Path, predictions: Sequence[Path], spec: Mapping[str, Any]) -> Gallery:
    """The first images of the subset that show an object, and what is predicted of them.

    `spec` holds the study's `models`, `precisions`, `conditions`, `baseline` and `note`. Files of predictions stand in
    folders {model}/{precision}/{condition}. Raises `UserError` where predictions are missing, and where no image shows
    an object.
    """
    names = _names(subset)
    showing = [item for item in available.usable_items(items, images) if _countable(item["extra"]["objects"])]
    if not showing:
        raise UserError(f"no image of {items} has an object to show; choose another subset.")
    shown = showing[: min(IMAGES, max(1, ROWS // len(spec["models"])))]
    files_of = {path.parts[-4:-1]: path for path in predictions}
    found: dict[tuple[str, str], list[Found]] = {}
    for model in spec["models"]:
        for precision in spec["precisions"]:
            cell = (model, precision, spec["conditions"][0])
            if cell not in files_of:
                raise UserError(f"there are no predictions of {' / '.join(cell)}; name their file too.")
            rows = _predicted(files_of[cell], shown)
            found[model, precision] = [
                compare(item["extra"]["objects"], row, names) for item, row in zip(shown, rows, strict=True)
            ]
    pictures = [
        Picture(
            item["id"],
            Path(item["images"][0]),
            item["extra"]["width"],
            item["extra"]["height"],
            [box_of(one, names) for one in item["extra"]["objects"]],
            {cell: of_cell[number] for cell, of_cell in found.items()},
        )
        for number, item in enumerate(shown)
    ]
    about = {key: spec[key] for key in ("models", "precisions", "baseline", "note")}
    return Gallery(pictures=pictures, names=list(names.values()), **about)


def _names(subset: Path) -> dict[int, str]:
    """The names of the data set's categories, by their ids."""
    categories = files.read_json(subset).get("categories")
    if not categories:
        raise UserError(f"{subset} names no categories: delete it and make it again from a data set with boxes.")
    return {one["id"]: one["name"] for one in categories}


def _predicted(path: Path, items: Sequence[Mapping[str, Any]]) -> list[list[dict[str, Any]]]:
    """The detections of each of these items in a file of predictions."""
    rows = {row["id"]: row["detections"] for row in files.read_jsonl(path)}
    missing = next((item["id"] for item in items if item["id"] not in rows), None)
    if missing is not None:
        raise UserError(f"{path} has no prediction of item {missing}; predict this precision again.")
    return [rows[item["id"]] for item in items]


def _countable(objects: Sequence[Mapping[str, Any]]) -> bool:
    return any(not one["iscrowd"] for one in objects)
