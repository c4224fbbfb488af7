"""Simulated studies whose truth is known: how often an interval holds it, and how often chance is called a difference.

Each has a baseline and four precisions, or for detection one, and goes through the comparison as a real one does, but
with fewer resamples.
"""

import functools

import numpy as np
import pytest
from made_up_cells import answered, cell, spec

from bitbudget.judging import comparison
from bitbudget.stats import bootstrap, paired

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
    # the worse end counts one unit more, so that somewhat more than 95 % are held
    assert 0.94 <= held / (4 * STUDIES) <= 0.98


@pytest.mark.parametrize("kind", [continuous, right_or_wrong, clustered])
def test_intervals_hold_the_true_difference_as_often_as_they_say(kind):
    held = [
        metric["ci"][0] <= truth <= metric["ci"][1]
        for metrics, truth in studies(kind, -0.04, 250, seed=12)
        for metric in metrics
    ]
    assert 0.94 <= np.mean(held) <= 0.98


# ---- few changes: how many of so many units are expected to change, from hardly any to many

EXPECTED = (0.5, 1, 2, 3, 4, 5, 6, 8, 11, 15, 20, 30)
EACH = 250  # studies


def lost(rng, before, hit):
    """Right answers become wrong, scores 0."""
    return -before * hit


def gained(rng, before, hit):
    return (before.max() - before) * hit


def either(rng, before, hit):
    return np.where(rng.random(len(before)) < 0.5, lost(rng, before, hit), gained(rng, before, hit))


def partly(rng, before, hit):
    return -before * hit * rng.random(len(before))


def lost_amid_noise(rng, before, hit):
    """Nearly all scores change a little, and some are lost."""
    return np.where(hit, -before, 0.1 * before * rng.normal(size=len(before)))


def binary(rng, size):
    return (rng.random(size) < 0.7).astype(float)


def graded(rng, size):
    """As VQA accuracy."""
    return rng.choice([0, 0.3, 0.6, 0.9, 1], p=[0.3, 0.05, 0.05, 0.1, 0.5], size=size)


def unbounded(rng, size):
    """As the CIDEr of single captions: skewed, and as wide as its mean."""
    return rng.gamma(1.5, 1 / 1.5, size)


@functools.cache
def drawn_weights(units):
    weights = np.concatenate(list(bootstrap.weights_drawn(units, 999, seed=5)))
    return weights, bootstrap.weight_of_one_more(units, 999, seed=5)


@pytest.mark.parametrize(
    ("scores", "change", "units", "clustered"),
    [
        *((binary, change, units, False) for change in (lost, gained, either) for units in (50, 500, 5000)),
        (binary, lost, 200, True),
        (graded, either, 200, False),
        (unbounded, lost, 50, False),
        (unbounded, lost, 500, False),
        (unbounded, partly, 200, False),
        (unbounded, lost_amid_noise, 500, False),
    ],
)
def test_the_interval_holds_the_true_difference_at_every_number_of_changes(scores, change, units, clustered):
    """In 95 % of the studies or more; so does each number of expected changes but for chance among 250 studies."""
    rng = np.random.default_rng(units)
    weights, one_more = drawn_weights(units)
    population = scores(rng, 200_000)
    held = []
    for expected in (one for one in EXPECTED if one < units / 2):
        rate = expected / units
        truth = change(rng, population, rng.random(len(population)) < rate).mean()
        if change is lost:
            truth = -rate * population.mean()
        found = []
        for _ in range(EACH):
            sizes = rng.integers(1, 6, units) if clustered else np.ones(units, dtype=int)
            place = np.repeat(np.arange(units), sizes)
            before = scores(rng, len(place))
            changes = change(rng, before, rng.random(len(place)) < rate)
            sums = np.bincount(place, changes, minlength=units)
            at = np.flatnonzero(sums)
            drawn = weights[:, at] @ sums[at] / (weights @ sizes if clustered else units)
            stake = paired.stake(before.mean(), np.bincount(place, before, minlength=units) / before.sum())
            flips = None
            if scores is binary and not clustered:
                flips = int((changes > 0).sum()), int((changes < 0).sum())
            low, high = paired.difference(
                changes.mean(), drawn, paired.Unseen(one_more, stake),
                units=units, changed=len(at), higher_is_better=True, flips=flips,
            ).ci  # fmt: skip
            found.append(low <= truth <= high)
        assert np.mean(found) >= 0.915, expected  # 0.95 less 2.5 of its standard errors
        held += found
    assert 0.95 <= np.mean(held) <= 0.999


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


@pytest.mark.parametrize("expected", [1, 5])
def test_intervals_of_ap_hold_what_images_cost_in_which_nothing_is_found_any_more(expected):
    """So many of 100 images; the truth is what such studies lose on average."""
    rng = np.random.default_rng(expected)
    values, intervals = [], []
    for number in range(80):
        before = [
            {"id": str(i), "image": str(i)} | seen(rng, score) for i, score in enumerate(rng.normal(0.5, 0.1, 100))
        ]
        after = [nothing_found(row) if rng.random() < expected / 100 else row for row in before]
        cells = [cell("detection", before), cell("detection", after, "p1")]
        asked = spec("detection", "AP", ["p1"]) | {"seed": number}
        metric = comparison.compare(asked, cells, resamples=199)["comparisons"][0]["metrics"]["AP"]
        values.append(metric["value"])
        intervals.append(metric["ci"])
    truth = np.mean(values)
    assert np.mean([low <= truth <= high for low, high in intervals]) >= 0.92


def nothing_found(row):
    none = {"scores": [], "right": [], "ignored": []}
    return row | {"matches": [one | none for one in row["matches"]]}
