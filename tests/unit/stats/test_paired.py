"""The paired statistics against other implementations, published examples, and what must hold of any of them."""

import numpy as np
import pytest
from made_up_cells import answered, captioned, cell, spec
from scipy import stats

from bitbudget.judging import comparison
from bitbudget.stats import bootstrap, paired


@pytest.mark.parametrize(
    ("gained", "lost"), [(0, 0), (0, 1), (3, 0), (0, 6), (7, 1), (12, 12), (40, 61), (900, 1003), (0, 2400)]
)
def test_mcnemar_is_the_binomial_test(gained, lost):
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert paired.mcnemar(gained, lost) == pytest.approx(expected, abs=1e-12)


def test_holm_as_worked_by_hand():
    """.005 x 4, .01 x 3, .03 x 2, and .04 x 1, which may not be less than the one before."""
    assert paired.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert paired.holm([0.5, 0.9]) == [1.0, 1.0]
    assert paired.holm([0.02]) == [0.02] and paired.holm([]) == []


def compared(before, *after, resamples=None, **about):
    """The comparison of a precision with the baseline, of values in vqa_accuracy; of others beside it as well."""
    names = [f"p{number}" for number in range(len(after))]
    cells = [cell("vqa", answered(before, **about))]
    cells += [cell("vqa", answered(one, **about), name) for one, name in zip(after, names, strict=True)]
    found = comparison.compare(spec("vqa", "vqa_accuracy", names), cells, resamples=resamples)["comparisons"]
    return found[0]["metrics"]["vqa_accuracy"]


def _holds_scipys(metric, found, units):
    """The same standard error and better end, and a worse end that reckons with one unit more that loses its stake."""
    low, high = found.confidence_interval
    assert metric["standard_error"] == pytest.approx(found.standard_error, rel=0.03)
    assert metric["ci"][1] == pytest.approx(high + metric["standard_error"] / units**0.5, abs=0.03 * (high - low))
    unseen = metric["stake"] / units
    widened = 1.96 * (np.hypot(metric["standard_error"], unseen) - metric["standard_error"])
    assert metric["ci"][0] == pytest.approx(low - unseen - widened, abs=0.03 * (high - low))


def test_the_interval_of_a_mean_is_scipys():
    rng = np.random.default_rng(4)
    before = rng.gamma(2, 1, 400)
    after = before - 0.1 + rng.gamma(1, 0.8, 400) * rng.choice([-1, 1], 400)
    metric = compared(before, after)
    found = stats.bootstrap(
        (after, before), lambda a, b, axis: a.mean(axis) - b.mean(axis), paired=True, method="percentile",
        n_resamples=9999, rng=np.random.default_rng(1),
    )  # fmt: skip
    _holds_scipys(metric, found, 400)
    assert metric["value"] == pytest.approx((after - before).mean())
    # With 400 pairs the bootstrap is close to the paired t test.
    assert metric["p_value"] == pytest.approx(stats.ttest_rel(after, before).pvalue, abs=0.03)


def test_the_interval_of_clusters_is_scipys_of_their_ratio():
    rng = np.random.default_rng(5)
    sizes = rng.integers(1, 6, 120)
    image = np.repeat(np.arange(120), sizes)
    before = rng.random(len(image))
    after = before - 0.02 + rng.normal(0, 0.15, 120)[image] + rng.normal(0, 0.1, len(image))
    rows = [[{"id": f"{i}", "image": f"{image[i]}", "anls": v} for i, v in enumerate(side)] for side in (before, after)]
    cells = [cell("vqa", rows[0]), cell("vqa", rows[1], "int8")]
    (one,) = comparison.compare(spec("vqa", "anls", ["int8"]), cells)["comparisons"]
    sums = [np.bincount(image, side) for side in (before, after)]
    found = stats.bootstrap(
        (*sums, sizes), lambda b, a, n, axis: (a.sum(axis) - b.sum(axis)) / n.sum(axis), paired=True,
        method="percentile", n_resamples=9999, rng=np.random.default_rng(1),
    )  # fmt: skip
    _holds_scipys(one["metrics"]["anls"], found, 120)
    assert one["units"] == 120 and one["n"] == len(image)


def test_the_interval_and_the_test_never_contradict_each_other():
    rng = np.random.default_rng(6)
    seen = set()
    for number in range(200):
        lost, gained = rng.integers(0, 12, 2)
        after = np.ones(60)
        before = np.ones(60)
        after[:lost] = 0
        before[lost : lost + gained] = 0
        scale = 1.0 if number % 2 else 0.8  # of values other than 0 and 1 the test is the bootstrap's
        metric = compared(scale * before, scale * after, resamples=1000)
        assert metric["test"] == (paired.MCNEMAR if scale == 1 else paired.BOOTSTRAP) or lost + gained == 0
        low, high = metric["ci"]
        significant = metric["p_value"] < 0.05
        assert significant == (not low <= 0 <= high), (lost, gained)
        seen.add(significant)
    assert seen == {True, False}


def test_five_losses_are_too_few_to_be_called_a_loss_and_six_are_not():
    before = np.linspace(0.5, 1, 500)
    for lost, significant in ((5, False), (6, True)):
        after = before.copy()
        after[:lost] -= 0.3
        metric = compared(before, after)
        assert (metric["p_value"] < 0.05) is significant
        assert metric["p_value"] >= 2 * 0.5**lost
        assert (metric["ci"][1] >= 0) is not significant
        assert ("smallest_detectable" in metric) is significant
    assert (
        "only 5 of 500 images differ"
        in compared(before, np.where(before < before[5], 0, before))["smallest_detectable_absent"]
    )


def test_a_p_value_is_never_zero_and_at_most_one():
    drawn = np.linspace(1, 2, 999)
    assert paired.bootstrap_p(drawn, drawn) == 2 / 1000
    assert paired.bootstrap_p(np.zeros(99), np.zeros(99)) == 1
    assert paired.bootstrap_p(-drawn, -drawn) == paired.bootstrap_p(drawn, drawn)
    assert paired.bootstrap_p(drawn - 1.5, drawn) > 0.9  # of the lower draws every second is below 0


def test_nothing_changed():
    metric = compared(np.ones(300), np.ones(300))
    assert (metric["value"], metric["p_value"], metric["standard_error"]) == (0, 1, 0)
    limit = 1 - 0.025 ** (1 / 300)  # Clopper & Pearson at none of 300, to either side
    assert metric["ci"] == pytest.approx([-limit, limit], rel=0.04)
    assert "none of the 300 images differs" in metric["smallest_detectable_absent"]
    assert "fewer than 0.99 % of all would" in metric["smallest_detectable_absent"]  # 1 - 0.05^(1/300)


@pytest.mark.parametrize(("others", "quantile"), [(0, 1.959964), (3, 2.497705)])
def test_what_could_have_been_seen_has_its_verdict_four_times_of_five(others, quantile):
    """True drops of just the smallest detectable size, in new samples, alone and among four precisions."""
    rng = np.random.default_rng(8)

    def sample(drop, resamples=None):
        beside = [rng.normal(0, 1, 300) for _ in range(others)]
        return compared(rng.normal(0, 1, 300), rng.normal(-drop, 1, 300), *beside, resamples=resamples)

    metric = sample(0)
    drop = metric["smallest_detectable"]
    more = 1 / 300  # one unit more than the 300 that differ
    asked = more**0.5 + quantile * (1 + more) ** 0.5 + 0.841621
    assert drop == pytest.approx(asked * metric["standard_error"])
    assert metric["family"] == others + 1
    hits = sum(sample(drop, resamples=999)["p_holm"] < 0.05 for _ in range(300))
    assert hits / 300 == pytest.approx(0.8, abs=0.07)


@pytest.mark.parametrize("family", [1, 2, 6, 24])
def test_few_flips_do_not_promise_more_than_mcnemar_can_keep(family):
    """Where one of 500 answers changed, what can be seen is what four of five such studies would find."""
    after = np.ones(500)
    after[0] = 0
    metric = compared(np.ones(500), *[after] * family)
    expected = 500 * metric["smallest_detectable"]
    lost = np.random.default_rng(9).poisson(expected, 20_000)
    assert np.mean([family * paired.mcnemar(0, n) < 0.05 for n in lost]) == pytest.approx(0.8, abs=0.01)
    assert paired.smallest_of(metric["standard_error"], 500, 2000, paired.MCNEMAR, family, 1) == expected / 2000
    needed = paired.units_for(expected / 500, metric["standard_error"], 500, paired.MCNEMAR, family, 1)
    assert needed in (500, 501)


@pytest.mark.parametrize("family", [1, 2, 3, 6, 26, 100])
def test_the_fewest_changes_are_those_that_holms_first_step_lets_pass(family):
    fewest = paired.fewest_changes(family)
    assert family * paired.mcnemar(0, fewest) < 0.05 < family * paired.mcnemar(0, fewest - 1)


@pytest.mark.parametrize("family", [1, 7])
def test_the_planner_is_the_inverse_of_what_could_be_seen(family):
    for test in (paired.BOOTSTRAP, paired.MCNEMAR):
        seen = paired.smallest_of(0.02, 500, 4000, test, family, 20)
        assert paired.units_for(seen, 0.02, 500, test, family, 20) in (4000, 4001)
    quarter = paired.smallest_of(0.02, 500, 2000, paired.BOOTSTRAP, family, 20)
    assert quarter == pytest.approx(0.01 * paired.standard_errors(family, changed=80))


def test_what_could_have_been_seen_of_few_changes_is_seen_as_often_as_promised():
    """Losses and gains of one size, some sixty in all: the one more that was not seen counts."""
    rng = np.random.default_rng(3)
    weights = next(bootstrap.weights_drawn(500, 999))
    unseen = paired.Unseen(bootstrap.weight_of_one_more(500, 999), 1.0)

    def tested(lost, gained):
        changes = 0.3 * np.repeat([-1.0, 1.0], [lost, gained])
        drawn, value = weights[:, : len(changes)] @ changes / 500, changes.sum() / 500
        return paired.difference(value, drawn, unseen, units=500, changed=len(changes), higher_is_better=True)

    error = tested(30, 30).standard_error
    half = paired.smallest_of(error, 500, 500, paired.BOOTSTRAP, 1, 60) * 500 / 0.3 / 2
    hits = [tested(*rng.poisson((30 + half, 30 - half))).p_value < 0.05 for _ in range(400)]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.06)


def test_no_plan_is_of_fewer_units_than_are_compared():
    assert paired.units_for(0.5, 1e-6, 500, paired.BOOTSTRAP, 1, 50) == bootstrap.FEWEST_UNITS == 10
    # Twelve are the fewest that can all fall to one side with less than 5 % / 100.
    assert paired.units_for(0.5, 1e-6, 500, paired.BOOTSTRAP, 100, 50) == paired.fewest_changes(100) == 12


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_loss_is_found_with_its_size_and_none_where_none_was_planted(seed):
    rng = np.random.default_rng(seed)
    before = (rng.random(2000) < 0.8).astype(float)
    after = before * (rng.random(2000) >= 0.03)
    metric = compared(before, after)
    low, high = metric["ci"]
    assert metric["test"] == paired.MCNEMAR
    assert metric["p_value"] < 1e-6 and low < -0.03 * 0.8 < high < 0
    assert metric["value"] == pytest.approx((after - before).mean())
    assert compared(before, before)["p_value"] == 1


def test_right_and_wrong_answers_about_the_same_image_keep_the_bootstrap():
    before, after = np.ones(300), np.ones(300)
    after[:30] = 0  # all about ten images
    metric = compared(before, after, a_image=3)
    assert metric["test"] == paired.BOOTSTRAP
    assert "McNemar's test is for independent items" in metric["note"]
    assert metric["standard_error"] == pytest.approx(np.sqrt(0.1 * 0.9 / 100), rel=0.03)  # not of 300 answers


def test_ten_thousand_resamples_of_five_thousand_captions_are_drawn_once_for_all():
    """Seven sets of scores: a baseline, five precisions and the noise floor. Measured by what drawing alone takes."""
    import time

    from bitbudget.tracks import captioning

    sets = [captioning.resampled(captioned(5000, seed)) for seed in range(7)]
    start = time.process_time()
    for _ in bootstrap.times_drawn(5000, 10_000, seed=1):
        pass
    drawing = time.process_time() - start
    drawn = bootstrap.draws(sets, seed=1)
    assert time.process_time() - start - drawing < 15 * drawing
    assert len(drawn) == 7 and drawn[0]["METEOR"].shape == (10_000,)
