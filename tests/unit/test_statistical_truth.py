"""Simulated studies whose truth is known: how often an interval holds it, and how often chance is called a difference.

Each has a baseline and four precisions, or for detection one, and goes through the comparison as a real one does, but
with fewer resamples.
"""

import numpy as np
import pytest
from made_up_cells import answered, cell, spec

from bitbudget import comparison

STUDIES = 1000
NAMES = ["p1", "p2", "p3", "p4"]


def continuous(rng, effect):
    """Scores of 300 items, of which a precision changes six of ten, by skewed amounts."""
    before = rng.random(300)
    changes = (rng.random((4, 300)) < 0.6) * (rng.exponential(0.2, (4, 300)) - 0.2 + effect)
    return before, before + changes, 0.6 * effect, 1


def right_or_wrong(rng, effect):
    """300 answers, of which a precision turns one of ten."""
    before = (rng.random(300) < 0.5).astype(float)
    share = np.where(before > 0, 0.1 - effect, 0.1 + effect)
    return before, np.abs(before - (rng.random((4, 300)) < share)), effect, 1


def clustered(rng, effect):
    """Three questions about each of 120 images, on which a precision does better or worse as a whole."""
    before = rng.random(360)
    of_image = np.repeat(rng.normal(0, 0.2, (4, 120)), 3, axis=1)
    return before, before + of_image + rng.normal(0, 0.1, (4, 360)) + effect, effect, 3


def studies(kind, effect, count, seed):
    """Each simulated study's comparisons of its four precisions, and the true difference."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        before, after, truth, a_image = kind(rng, effect)
        cells = [
            cell("vqa", answered(values, a_image=a_image), name)
            for name, values in zip(["bfloat16", *NAMES], [before, *after], strict=True)
        ]
        asked = spec("vqa", "vqa_accuracy", NAMES) | {"seed": number}
        found = comparison.compare(asked, cells, resamples=499)["comparisons"]
        yield [one["metrics"]["vqa_accuracy"] for one in found], truth


@pytest.mark.parametrize("kind", [continuous, right_or_wrong, clustered])
def test_without_a_difference_chance_is_seldom_called_one(kind):
    """At most 67 of 1000: 50 are to be expected, and 67 or more occur by chance once in a hundred times."""
    single = any_of_four = held = 0
    for metrics, truth in studies(kind, 0.0, STUDIES, seed=11):
        assert truth == 0
        single += metrics[0]["p_value"] < 0.05
        any_of_four += min(metric["p_holm"] for metric in metrics) < 0.05
        held += sum(metric["ci"][0] <= 0 <= metric["ci"][1] for metric in metrics)
    assert 20 <= single <= 67  # far fewer would be a test that finds nothing
    assert any_of_four <= 67
    assert 0.93 <= held / (4 * STUDIES) <= 0.97


@pytest.mark.parametrize("kind", [continuous, right_or_wrong, clustered])
def test_intervals_hold_the_true_difference_as_often_as_they_say(kind):
    held = [
        metric["ci"][0] <= truth <= metric["ci"][1]
        for metrics, truth in studies(kind, -0.04, 250, seed=12)
        for metric in metrics
    ]
    assert 0.93 <= np.mean(held) <= 0.97


DETECTORS = 250


def seen(rng, score):
    """An image as a row of the detection track: of two categories three objects each, and four detections around."""
    matches = []
    for category in (1, 2):
        right = (rng.random(4) < 0.75).astype(int).tolist()  # at an IoU of .50, and of no more
        scores = np.sort(rng.normal(score, 0.1, 4))[::-1].tolist()
        matches.append({"category_id": category, "objects": 3, "scores": scores, "right": right, "ignored": [0] * 4})
    return {"objects": 6, "found": 0, "wrong": 0, "matches": matches}


def rounded(row):
    """The same row with scores that another number format would give."""
    return row | {"matches": [one | {"scores": [s * (1 - 1e-9) for s in one["scores"]]} for one in row["matches"]]}


@pytest.mark.parametrize("differing", [3, 20])
def test_detectors_that_differ_by_chance_in_few_images_are_seldom_called_different(differing):
    """In so many of 100 images both are drawn anew from one distribution, so that neither is the better one.

    At most 20 of 250: 12.5 are to be expected, and more than 20 occur by chance once in sixty times. The moved draws
    alone would call 35 of 250 different where three images differ.
    """
    rng = np.random.default_rng(differing)
    alarms = 0
    for number in range(DETECTORS):
        scores = rng.normal(0.5, 0.1, 100)
        before = [{"id": str(i), "image": str(i)} | seen(rng, score) for i, score in enumerate(scores)]
        anew = [one | seen(rng, score) for one, score in zip(before[:differing], scores, strict=False)]
        cells = [cell("detection", before), cell("detection", list(map(rounded, anew + before[differing:])), "p1")]
        asked = spec("detection", "AP", ["p1"]) | {"seed": number}
        (found,) = comparison.compare(asked, cells, resamples=199)["comparisons"]
        alarms += found["metrics"]["AP"]["p_value"] < 0.05
    assert alarms <= 20
