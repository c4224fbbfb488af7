"""Which of a detector's boxes are right, by COCO's rule at an IoU of 0.5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# From this score on, a detection counts as one in the numbers of an image: transformers' usual threshold
# (`post_process_object_detection` of DETR, YOLOS and RT-DETR). AP has no threshold.
CONFIDENT = 0.5
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


def box_of(one: Mapping[str, Any], names: Mapping[int, str], crowd: bool = False) -> Box:
    """A box of a record, with its category's name."""
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
            right.append(box_of(one, names))
        elif any(
            crowd["category_id"] == one["category_id"] and overlap(one["bbox"], crowd["bbox"], crowd=True) >= IOU
            for crowd in crowds
        ):
            in_crowd.append(box_of(one, names, crowd=True))
        else:
            wrong.append(box_of(one, names))
    return Found(right, wrong, in_crowd, [box_of(one, names) for one in left])


def overlap(box: Sequence[float], other: Sequence[float], *, crowd: bool = False) -> float:
    """Intersection over union of two boxes; over the first box where the other is a `crowd`, as COCO has it."""
    across = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    down = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    shared = max(across, 0.0) * max(down, 0.0)
    own = box[2] * box[3]
    whole = own if crowd else own + other[2] * other[3] - shared
    return shared / whole if whole > 0 else 0.0
