"""Whether what a detector finds in a study's first images can be true, or its entry in config/models.yaml is wrong.

An entry that fits the file's shapes may still misread its numbers. What then comes out has a look of its own: scores
that are all 0 or 1, or that lie where a second sigmoid puts them; boxes beside the picture; the same finds in every
picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from bitbudget.runtimes.litert.classes import WHERE
from bitbudget.runtimes.litert.decoding import Found
from bitbudget.runtimes.litert.interpreter import Detector
from bitbudget.runtimes.litert.nms import iou

FIRST = 8  # images that are looked at
ENOUGH = 40  # scores, of which nothing is said where there are fewer
SURE = 0.05  # below it a box is no find
EDGE = 0.02  # nearer to 0 or 1 than this is saturated
TWICE = 1 / (1 + np.exp(-1))  # the sigmoid of 1: a sigmoid of scores from 0 to 1 ends here, and begins at 0.5
STRAY = 0.2  # share of boxes beside the input that no model has
SUREST = 4  # finds of a picture that are looked for in the others
ALIKE = 0.6  # share of them that is there as well, where no two pictures are alike
PLACES = {
    "ssd": "`outputs` (boxes, classes, scores, count)",
    "detr": "`outputs` (logits, boxes)",
    "yolo": "`outputs` (units, boxes, grid, strides)",
    "anchors": "`outputs` (min_level, max_level, num_scales, aspect_ratios, anchor_scale, box_scales)",
}


def remarks(detector: Detector, images: Iterable[Path]) -> list[str]:
    """What looks wrong in what a detector finds in the first of these pictures, with the keys to look at."""
    found = [detector.unplaced(image) for _, image in zip(range(FIRST), images, strict=False)]
    return of_found(found, detector.spec)


def of_found(found: list[Found], spec: dict[str, Any]) -> list[str]:
    """The same of boxes as shares of the input, scores and labels, by descending score, of each picture."""
    if not found:
        return []
    outputs, n = spec["outputs"], len(found)
    scores = np.concatenate([scores for _, scores, _ in found])
    activation = "`outputs.activation`" if "activation" in outputs else "`outputs`"
    seen = f"in the first {n} images" if n > 1 else "in the first image"
    said = []
    if scores.max(initial=0.0) < SURE:
        said.append(
            f"no score {seen} is above {scores.max(initial=0.0):.2g}: look at `input` (mean, std, colour, layout) and "
            f"{activation} {WHERE}"
        )
    elif len(scores) >= ENOUGH:
        ends = _twice(outputs)
        if ends and ends[0] - 1e-3 <= scores.min() and scores.max() <= ends[1] + 1e-3:
            said.append(
                f"all {len(scores)} scores {seen} lie from {scores.min():.2f} to {scores.max():.2f}, as where a "
                f"sigmoid is taken twice: look at {activation} {WHERE}"
            )
        elif not ((scores > EDGE) & (scores < 1 - EDGE)).any():
            said.append(
                f"all {len(scores)} scores {seen} are nearly 0 or 1: look at `input` (mean, std, colour) and "
                f"{activation} {WHERE}"
            )
    boxes = np.concatenate([boxes[scores >= SURE] for boxes, scores, _ in found])
    beside = _beside(boxes)
    if len(boxes) and beside.mean() > STRAY:
        said.append(
            f"{beside.mean():.0%} of the boxes {seen} lie beside the picture: look at {PLACES[outputs['kind']]} and "
            f"`input.size` {WHERE}"
        )
    if n >= FIRST // 2 and _alike(found) >= ALIKE:
        said.append(
            f"the same is found {seen}, at the same places, as where a model does not see the picture: look at `input` "
            f"(mean, std, colour, layout) {WHERE}"
        )
    return said


def _alike(found: list[Found]) -> float:
    """Which share of a picture's surest finds is in another one as well, at the same place with the same label."""
    finds = []
    for boxes, scores, labels in found:
        sure = scores >= SURE
        finds.append((boxes[sure][:SUREST], labels[sure][:SUREST]))
    shares = []
    for (here, of_here), (there, of_there) in permutations(finds, 2):
        if len(here) and len(there):
            same = [
                ((iou(box, there) > 0.85) & (of_there == label)).any() for box, label in zip(here, of_here, strict=True)
            ]
            shares.append(np.mean(same))
    return float(np.mean(shares)) if shares else 0.0


def _twice(outputs: dict[str, Any]) -> tuple[float, float] | None:
    """Between which scores a second sigmoid lies; None where none is taken."""
    if outputs.get("activation") != "sigmoid":
        return None
    power = 2 if outputs.get("objectness") else 1  # the score is a product of two
    return 0.5**power, float(TWICE) ** power


def _beside(boxes: np.ndarray) -> np.ndarray:
    """Which boxes x1, y1, x2, y2, as shares of the input, have their centre beside it, or reach far beyond."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return ((centres < 0) | (centres > 1) | (boxes[:, :2] < -1) | (boxes[:, 2:] > 2)).any(axis=1)
