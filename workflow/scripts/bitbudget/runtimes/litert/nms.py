"""Non-maximum suppression within each class, in plain numpy."""

from __future__ import annotations

import numpy as np


def iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of one box, [4], with others, [n, 4], all x1, y1, x2, y2; 0 for boxes without area."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    area = np.clip(box[2:] - box[:2], 0, None).prod()
    areas = np.clip(others[:, 2:] - others[:, :2], 0, None).prod(axis=1)
    union = area + areas - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)


def suppress(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, threshold: float, most: int) -> np.ndarray:
    """Which boxes stay, by descending score: greedily the best, without those of its class that it covers.

    A box is covered where its intersection over union with a better one of its class is above `threshold`; of equal
    scores the first comes first. At most `most` stay, which is why this need not look at all of them.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, labels = boxes[order].astype(np.float64), labels[order]
    waiting = np.ones(len(order), dtype=bool)
    kept: list[int] = []
    position = 0
    while len(kept) < most:
        ahead = waiting[position:]
        step = int(ahead.argmax()) if len(ahead) else 0
        if not len(ahead) or not ahead[step]:
            break
        position += step
        kept.append(position)
        position += 1
        rivals = position + np.flatnonzero(waiting[position:] & (labels[position:] == labels[position - 1]))
        waiting[rivals[iou(boxes[position - 1], boxes[rivals]) > threshold]] = False
    return order[kept]
