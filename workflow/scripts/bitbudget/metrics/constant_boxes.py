"""The best constant box of a category: the one that, put into every image, finds the most of the category's objects."""

from __future__ import annotations

import numpy as np

THRESHOLDS = tuple(number / 100 for number in range(50, 100, 5))  # of the IoU, as COCO's
# So many boxes of a category are tried, spread over its sizes: the 11 000 persons of COCO's 5000 validation images
# would otherwise be compared with one another, 121 million pairs.
CANDIDATES = 2000
CELLS = 2**21  # pairs of boxes that are compared at once: 16 MiB a number of each


def best(boxes: np.ndarray, images: np.ndarray) -> int:
    """Of a category's objects the index of the one whose box finds most, summed over COCO's ten IoU thresholds.

    `boxes` are x, y, width and height as shares of the image, shape (objects, 4); `images` numbers the image of each,
    in rising order. A box finds at most one object in an image. Of equally good ones the first is taken. It need not
    have quite the highest AP, which also depends on the order of images, as the box has the same score in all of them.
    """
    candidates = np.arange(len(boxes))
    if len(boxes) > CANDIDATES:
        by_size = np.argsort(boxes[:, 2] * boxes[:, 3], kind="stable")
        candidates = np.sort(by_size[np.linspace(0, len(boxes) - 1, CANDIDATES).astype(int)])
    starts = np.flatnonzero(np.diff(images, prepend=-1))
    found = []
    for part in np.array_split(candidates, len(candidates) * len(boxes) // CELLS + 1):
        nearest = np.maximum.reduceat(_overlaps(boxes[part], boxes), starts, axis=1)
        found.append(np.searchsorted(THRESHOLDS, nearest, side="right").sum(axis=1))
    return int(candidates[np.concatenate(found).argmax()])


def _overlaps(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The IoU of every pair, shape (some, others); 0 of two boxes without an area."""
    x, y, width, height = (some[:, None, side] for side in range(4))
    across = np.minimum(x + width, others[:, 0] + others[:, 2]) - np.maximum(x, others[:, 0])
    down = np.minimum(y + height, others[:, 1] + others[:, 3]) - np.maximum(y, others[:, 1])
    shared = np.maximum(across, 0) * np.maximum(down, 0)
    either = width * height + others[:, 2] * others[:, 3] - shared
    return np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)
