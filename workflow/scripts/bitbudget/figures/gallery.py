"""What the figure of detections shows: some images, their objects, and what each model found in each precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitbudget import files, inputs
from bitbudget.errors import UserError
from bitbudget.tracks.detection import CONFIDENT

IMAGES, ROWS = 4, 8  # images of a model, and at most of all models together, where one of each does not make more
IOU = 0.5  # from here on a box lies on an object

BBox = tuple[float, float, float, float]  # x, y, w, h in pixels of the original image


@dataclass(frozen=True)
class Box:
    """An object, or (with a score) a detection."""

    name: str
    bbox: BBox
    score: float | None = None
    crowd: bool = False  # an object that stands for many, or a detection in one such


@dataclass(frozen=True)
class Found:
    """What one model in one precision made of an image: detections, and the objects that it missed."""

    right: Sequence[Box]
    wrong: Sequence[Box]
    in_crowd: Sequence[Box]  # neither
    missed: Sequence[Box]


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
    showing = [item for item in inputs.usable_items(items, images) if _countable(item["extra"]["objects"])]
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
            [_box(one, names) for one in item["extra"]["objects"]],
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


def _box(one: Mapping[str, Any], names: Mapping[int, str], crowd: bool = False) -> Box:
    return Box(names[one["category_id"]], tuple(one["bbox"]), one.get("score"), bool(one.get("iscrowd", crowd)))


def compare(
    objects: Sequence[Mapping[str, Any]], detections: Sequence[Mapping[str, Any]], names: Mapping[int, str]
) -> Found:
    """Which of the confident detections are right, as COCO's evaluation tells at an IoU of 0.5.

    By falling score, each takes the object of its category that it overlaps most and that is not taken yet. One that
    finds none, but lies with at least half of it in a crowd of its category, is neither right nor wrong.
    """
    left = [one for one in objects if not one["iscrowd"]]
    crowds = [one for one in objects if one["iscrowd"]]
    right, wrong, in_crowd = [], [], []
    confident = [one for one in detections if one["score"] >= CONFIDENT]
    for one in sorted(confident, key=lambda one: -one["score"]):
        same = [other for other in left if other["category_id"] == one["category_id"]]
        best = max(same, key=lambda other: overlap(one["bbox"], other["bbox"]), default=None)
        if best is not None and overlap(one["bbox"], best["bbox"]) >= IOU:
            left.remove(best)
            right.append(_box(one, names))
        elif any(
            crowd["category_id"] == one["category_id"] and overlap(one["bbox"], crowd["bbox"], crowd=True) >= IOU
            for crowd in crowds
        ):
            in_crowd.append(_box(one, names, crowd=True))
        else:
            wrong.append(_box(one, names))
    return Found(right, wrong, in_crowd, [_box(one, names) for one in left])


def overlap(box: Sequence[float], other: Sequence[float], *, crowd: bool = False) -> float:
    """Intersection over union of two boxes; over the first box where the other is a `crowd`, as COCO has it."""
    across = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    down = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    shared = max(across, 0.0) * max(down, 0.0)
    own = box[2] * box[3]
    whole = own if crowd else own + other[2] * other[3] - shared
    return shared / whole if whole > 0 else 0.0
