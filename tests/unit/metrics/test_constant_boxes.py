"""The best constant box: worked by hand, equal to brute force by pairs of boxes, and bounded where boxes are many."""

import itertools

import numpy as np
import pytest

from bitbudget.metrics import constant_boxes


def overlap(one, other):
    (x, y, w, h), (u, v, s, t) = one, other
    across, down = min(x + w, u + s) - max(x, u), min(y + h, v + t) - max(y, v)
    shared = max(across, 0) * max(down, 0)
    return shared / (w * h + s * t - shared) if w * h + s * t > shared else 0.0


def found(box, boxes, images):
    """Image by image the thresholds at which the box finds an object, counted."""
    return sum(
        any(overlap(box, boxes[k]) >= threshold / 100 for k in group)
        for _, group in ((key, list(own)) for key, own in itertools.groupby(range(len(boxes)), images.__getitem__))
        for threshold in range(50, 100, 5)
    )


def random_boxes(seed, count=40):
    rng = np.random.default_rng(seed)
    boxes = rng.choice([0.1, 0.2, 0.3, 0.5, 0.6], (count, 4)) + rng.random((count, 4)) / 20
    return boxes, np.sort(rng.integers(0, 15, count))


@pytest.mark.parametrize("seed", range(6))
def test_equal_to_brute_force(seed, monkeypatch):
    boxes, images = random_boxes(seed)
    values = [found(box, boxes.tolist(), images.tolist()) for box in boxes.tolist()]
    assert constant_boxes.best(boxes, images) == int(np.argmax(values))
    monkeypatch.setattr(constant_boxes, "CELLS", 100)  # a few candidates at a time
    assert constant_boxes.best(boxes, images) == int(np.argmax(values))


def test_an_image_counts_once_however_many_objects_a_box_would_find_there():
    crowded, elsewhere = [0.1, 0.1, 0.2, 0.2], [0.6, 0.6, 0.2, 0.2]
    boxes = np.array([crowded] * 5 + [elsewhere] * 2)
    assert constant_boxes.best(boxes, np.array([0] * 5 + [1, 2])) == 5
    assert constant_boxes.best(boxes, np.array([0, 0, 1, 2, 3, 4, 5])) == 0


def test_boxes_without_an_area_find_nothing_and_are_no_fault():
    boxes = np.array([[0.1, 0.1, 0.0, 0.0], [0.1, 0.1, 0.0, 0.5], [0.2, 0.2, 0.3, 0.3]])
    assert constant_boxes.best(boxes, np.array([0, 1, 2])) == 2
    assert constant_boxes.best(boxes[:1], np.array([4])) == 0


def test_of_too_many_boxes_those_spread_over_all_sizes_are_tried(monkeypatch):
    monkeypatch.setattr(constant_boxes, "CANDIDATES", 3)
    sides = np.arange(1, 12) / 20  # the smallest, the median and the largest are tried
    boxes = np.stack([np.zeros(11), np.zeros(11), sides, sides], axis=1)
    assert constant_boxes.best(boxes, np.arange(11)) == 10
    assert constant_boxes.best(boxes[::-1], np.arange(11)) == 0
