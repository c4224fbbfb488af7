"""A wrong entry of a detector is noticed by what comes out, and a right one is not accused."""

import numpy as np
import pytest

from bitbudget.runtimes.litert import plausible
from bitbudget.runtimes.litert.spec import complete

generator = np.random.default_rng


def spec_of(**outputs):
    return complete({"input": {"size": [96, 96]}, "outputs": outputs})


YOLO, DETR = spec_of(kind="yolo", objectness=False, activation="sigmoid"), spec_of(kind="detr", activation="sigmoid")


def images(scores, boxes=None, count=4, moved=0.1):
    """The same scores in each of some images, and boxes well inside, elsewhere in each."""
    scores = np.sort(np.asarray(scores, dtype=float))[::-1]
    boxes = np.tile([0.2, 0.2, 0.5, 0.6], (len(scores), 1)) if boxes is None else boxes
    return [(boxes + number * moved, scores, np.zeros(len(scores), dtype=int)) for number in range(count)]


def usual(seed=0):
    """Few finds, and many boxes that are nearly none."""
    rng = generator(seed)
    return np.concatenate([rng.uniform(0.3, 0.99, 3), rng.beta(0.4, 8, 60)])


def test_a_right_entry_is_not_accused():
    for spec in (YOLO, DETR):
        assert plausible.of_found(images(usual()), spec) == []
        assert plausible.of_found(images([0.999, 0.001]), spec) == [], "too few to say anything"
    assert plausible.of_found([], YOLO) == []


@pytest.mark.parametrize("objectness", [False, True])
def test_a_second_sigmoid_names_the_activation(objectness):
    twice = 1 / (1 + np.exp(-usual()))
    spec = spec_of(kind="yolo", objectness=objectness, activation="sigmoid")
    (said,) = plausible.of_found(images(twice * twice if objectness else twice), spec)
    assert "as where a sigmoid is taken twice: look at `outputs.activation` of the model's" in said


def test_scores_that_are_all_0_or_1_name_the_input():
    (said,) = plausible.of_found(images([1.0] * 5 + [0.002] * 40), YOLO)
    assert "are nearly 0 or 1: look at `input` (mean, std, colour) and `outputs.activation`" in said
    (said,) = plausible.of_found(images([0.01] * 40), DETR)
    assert said.startswith("no score in the first 4 images is above 0.01: look at `input` (mean, std, colour, layout)")
    assert plausible.of_found(images([]), DETR)


def test_boxes_beside_the_picture_name_how_boxes_are_read():
    beside = np.tile([1.2, 0.2, 1.6, 0.6], (63, 1))
    (said,) = plausible.of_found(images(usual(), beside), YOLO)
    assert "100% of the boxes" in said
    assert "`outputs` (units, boxes, grid, strides) and `input.size`" in said


def test_the_same_find_in_every_picture_names_the_input():
    (said,) = plausible.of_found(images(usual(), moved=0.001), YOLO)
    assert said.startswith("the same is found in the first 4 images, at the same places")
    assert "look at `input` (mean, std, colour, layout)" in said
    assert plausible.of_found(images(usual(), moved=0.001, count=2), YOLO) == [], "two pictures may be alike"
