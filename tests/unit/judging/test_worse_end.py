"""The worse end of an interval, which decides on acceptance: monotone at every count, and close to exact limits."""

import numpy as np
import pytest
from made_up_boxes import made_up
from made_up_cells import BASELINE, answered, captioned, cell, compare, spec
from scipy import optimize, stats

from bitbudget.judging import comparison, verdicts
from bitbudget.stats import paired
from bitbudget.tracks import detection

UNITS = 40


def worse_end(track, metric, before, after, resamples=1000):
    """The difference at the worse end, so that less is worse."""
    found = compare(track, metric, before, after, resamples=resamples)["comparisons"][0]["metrics"][metric]
    return found["ci"][0] if found["higher_is_better"] else -found["ci"][1]


# ---- monotone: a row made worse, at random, in each kind of metric


def _graded(rows, place, rng):
    rows[place]["vqa_accuracy"] -= rows[place]["vqa_accuracy"] * rng.random()


def _wrong(rows, place, rng):
    rows[place]["exact_match"] = 0.0


def _lost(rows, place, rng):
    rows[place]["CIDEr"] *= rng.random()
    rows[place]["bleu"]["correct"] = [int(one * rng.random()) for one in rows[place]["bleu"]["correct"]]


def _unlikely(rows, place, rng):
    rows[place]["loss"] += rng.exponential()


def _missed(rows, place, rng):
    for match in rows[place]["matches"]:
        match["right"] = [one if rng.random() < 0.3 else 0 for one in match["right"]]


def _boxes():
    objects, found = made_up(images=UNITS, seed=5)
    items = [{"id": key, "images": [{"id": key}], "extra": {"objects": one}} for key, one in objects.items()]
    return detection.score(items, found, 3)[1]


def _passages(rng):
    return [{"id": str(i), "top_1": 1.0, "loss": loss} for i, loss in enumerate(rng.gamma(2, 0.5, UNITS))]


KINDS = {
    "graded": ("vqa", "vqa_accuracy", lambda rng: answered(rng.random(UNITS)), _graded),
    "right or wrong": ("vqa", "exact_match", lambda rng: answered(rng.random(UNITS) < 0.8, "exact_match"), _wrong),
    "of images": ("vqa", "vqa_accuracy", lambda rng: answered(rng.random(UNITS), a_image=3), _graded),
    "CIDEr": ("captioning", "CIDEr", lambda rng: captioned(UNITS, 1), _lost),
    "BLEU": ("captioning", "BLEU-2", lambda rng: captioned(UNITS, 1), _lost),
    "perplexity": ("lambada", "perplexity", _passages, _unlikely),
    "AP": ("detection", "AP", lambda rng: _boxes(), _missed),
    "AP50": ("detection", "AP50", lambda rng: _boxes(), _missed),
}


def copied(rows):
    import copy

    return copy.deepcopy(rows)


@pytest.mark.parametrize("start", ["unchanged", "shuffled"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_more_loss_or_a_greater_one_never_makes_it_better(kind, start):
    """From none of the units changed to all of them, and on; also of answers some of which became better before."""
    track, metric, made, make_worse = KINDS[kind]
    rng = np.random.default_rng(list(KINDS).index(kind))
    before = made(rng)
    after = copied(before)
    if start == "shuffled":
        order = rng.permutation(len(before))
        after = [
            row | {"id": own["id"], "image": own.get("image")}
            for own, row in zip(before, map(after.__getitem__, order), strict=True)
        ]
    ends = [worse_end(track, metric, before, after, resamples=200)]
    for place in [*rng.permutation(len(before)), *rng.integers(0, len(before), 10)]:
        after = copied(after)
        make_worse(after, place, rng)
        ends.append(worse_end(track, metric, before, after, resamples=200))
    assert np.diff(ends).max() <= 1e-12
    assert ends[-1] < ends[0]
    if start == "unchanged":
        assert ends[0] < 0  # what was not seen to change may change elsewhere


def test_the_verdict_on_acceptance_is_as_monotone():
    """At 0.99 of 500 right answers 3 losses were too many where 6 were not."""
    accepted = []
    for lost in range(13):
        after = np.ones(500)
        after[:lost] = 0
        body = compare("vqa", "exact_match", answered(np.ones(500), "exact_match"), answered(after, "exact_match"))
        accepted.append(
            [
                verdicts.acceptance(body["comparisons"][0], "exact_match", 1, share).accepted
                for share in (0.995, 0.99, 0.98, 0.97)
            ]
        )
    assert (np.diff(np.array(accepted, dtype=int), axis=0) <= 0).all()
    # of none lost 0.74 % may be, of four 2.04 %, of eight 3.13 %
    assert np.sum(accepted, axis=0).tolist() == [0, 1, 4, 8]


# ---- invariant


def test_scale_and_names_do_not_matter():
    rng = np.random.default_rng(7)
    before = rng.random(100)
    after = np.where(rng.random(100) < 0.2, before * rng.random(100), before)

    def interval(scale=1.0, order=None):
        order = np.arange(100) if order is None else order
        rows = answered(scale * before[order]), answered(scale * after[order])
        return np.array(compare("vqa", "vqa_accuracy", *rows)["comparisons"][0]["metrics"]["vqa_accuracy"]["ci"])

    plain = interval()
    assert interval(scale=25.0) == pytest.approx(25 * plain)
    assert interval(order=rng.permutation(100)) == pytest.approx(plain, abs=0.03 * (plain[1] - plain[0]))


def test_to_be_right_or_wrong_the_other_way_round_turns_the_interval_over():
    before, after = np.ones(200), np.ones(200)
    before[:9], after[5:20] = 0, 0
    cells = [cell("vqa", answered(one, "exact_match"), name) for one, name in ((before, BASELINE), (after, "p1"))]
    (one,) = comparison.compare(spec("vqa", "exact_match", ["p1"]), cells)["comparisons"]
    turned = [cell("vqa", answered(1 - one, "exact_match"), name) for one, name in ((before, BASELINE), (after, "p1"))]
    (other,) = comparison.compare(spec("vqa", "exact_match", ["p1"]), turned)["comparisons"]
    assert one["metrics"]["exact_match"]["ci"] == pytest.approx(
        [-end for end in other["metrics"]["exact_match"]["ci"]][::-1], rel=0.04
    )


# ---- exact limits


def flips(lost, gained, units):
    before, after = np.ones(units), np.ones(units)
    after[:lost] = 0
    before[lost : lost + gained] = 0
    body = compare("vqa", "exact_match", answered(before, "exact_match"), answered(after, "exact_match"))
    return body["comparisons"][0]["metrics"]["exact_match"]


@pytest.mark.parametrize(("lost", "units"), [(0, 50), (0, 500), (1, 500), (3, 500), (6, 500), (30, 500), (30, 50)])
def test_of_losses_alone_it_is_the_exact_limit(lost, units):
    """Clopper & Pearson's, which is the quantile of a beta distribution."""
    expected = stats.beta.ppf(0.975, lost + 1, units - lost) if lost < units else 1.0
    assert flips(lost, 0, units)["ci"][0] == pytest.approx(-expected, rel=0.04)


@pytest.mark.parametrize(
    ("lost", "gained"), [(5, 0), (6, 0), (7, 1), (8, 1), (9, 1), (9, 2), (10, 2), (30, 15), (31, 15), (0, 6), (2, 10)]
)
def test_of_flips_it_holds_0_where_mcnemars_test_does_not_reject(lost, gained):
    metric = flips(lost, gained, 500)
    assert metric["p_value"] == paired.mcnemar(gained, lost)
    assert (metric["ci"][0] <= 0 <= metric["ci"][1]) is (metric["p_value"] >= 0.05)


def tango(lost, gained, units):
    """The lower end of Tango's score interval of a paired difference (1998, Statistics in Medicine 17, 891-908)."""

    def score(delta):
        a, c = 2 * units, -lost * delta * (1 - delta)
        b = -gained - lost + (2 * units - gained + lost) * delta
        share = (np.sqrt(b * b - 4 * a * c) - b) / (2 * a)
        return (gained - lost - units * delta) / np.sqrt(units * (2 * share + delta * (1 - delta)))

    return optimize.brentq(lambda delta: score(delta) - 1.959964, -0.999, (gained - lost) / units - 1e-9)


@pytest.mark.parametrize(
    ("lost", "gained"), [(0, 0), (1, 0), (3, 0), (6, 0), (5, 5), (12, 6), (30, 0), (30, 25), (90, 70)]
)
def test_it_is_no_wider_than_tangos_score_interval_by_more_than_one_answer(lost, gained):
    end = flips(lost, gained, 500)["ci"][0]
    assert tango(lost, gained, 500) - 1.2 / 500 < end < tango(lost, gained, 500) + 0.4 / 500
