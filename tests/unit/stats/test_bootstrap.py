"""Bootstrap intervals against what theory says of them."""

import numpy as np
import pytest

from bitbudget.stats import bootstrap


def test_interval_of_a_mean_agrees_with_the_analytic_standard_error():
    values = np.random.default_rng(1).normal(3.0, 2.0, size=800)
    means = bootstrap.bootstrap_sums(values[:, None], seed=5)[:, 0] / len(values)
    low, high = bootstrap.interval(means)
    standard_error = values.std(ddof=1) / np.sqrt(len(values))
    assert (high + low) / 2 == pytest.approx(values.mean(), abs=0.03 * standard_error * 2)
    assert high - low == pytest.approx(2 * 1.96 * standard_error, rel=0.03)


def test_the_seed_decides_the_draws():
    values = np.random.default_rng(2).random(50)
    draws = [bootstrap.bootstrap_sums(values[:, None], 100, seed) for seed in (1, 1, 2)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


def test_columns_share_their_draws():
    values = np.random.default_rng(3).random(40)
    sums = bootstrap.bootstrap_sums(np.column_stack([values, 2 * values, np.ones(40)]), 100, seed=1)
    assert sums.shape == (100, 3)
    np.testing.assert_allclose(sums[:, 1], 2 * sums[:, 0])
    np.testing.assert_allclose(sums[:, 2], 40)


def test_chunks_cover_all_resamples(monkeypatch):
    monkeypatch.setattr(bootstrap, "_CHUNK", 70)  # seven resamples of ten items at once, and two at the end
    sums = bootstrap.bootstrap_sums(np.ones((10, 1)), 23, seed=1)
    np.testing.assert_array_equal(sums, np.full((23, 1), 10.0))


def test_one_item_and_constant_values_have_an_interval_without_width():
    assert bootstrap.interval(bootstrap.bootstrap_sums(np.array([[0.25]]), 100)[:, 0]) == (0.25, 0.25)
    assert bootstrap.interval(bootstrap.bootstrap_sums(np.full((9, 1), 2.0), 100)[:, 0]) == (18.0, 18.0)


def test_interval_of_a_ratio_of_sums():
    rng = np.random.default_rng(4)
    guesses = rng.integers(5, 15, size=600)
    hits = rng.binomial(guesses, 0.4)
    sums = bootstrap.bootstrap_sums(np.column_stack([hits, guesses]), seed=1)
    low, high = bootstrap.interval(sums[:, 0] / sums[:, 1])
    assert low < hits.sum() / guesses.sum() < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.4 * 0.6 / guesses.sum()), rel=0.15)


def test_times_are_drawn_with_replacement_by_the_seed_however_many_are_held_at_once(monkeypatch):
    whole = np.concatenate(list(bootstrap.times_drawn(30, 200, seed=1)))
    assert whole.shape == (200, 30) and (whole.sum(axis=1) == 30).all()
    assert whole.mean(axis=0) == pytest.approx(np.ones(30), abs=0.3)
    assert (whole != np.concatenate(list(bootstrap.times_drawn(30, 200, seed=2)))).any()
    monkeypatch.setattr(bootstrap, "_CHUNK", 7 * 30)
    parts = list(bootstrap.times_drawn(30, 200, seed=1))
    assert len(parts) == 29 and (np.concatenate(parts) == whole).all()


def means_of(columns, units, resamples, seed):
    """Draws of the columns' means, [resamples, k]."""
    names = [str(i) for i in range(columns.shape[1])]

    def means(sums, items):
        return dict(zip(names, sums.T / items, strict=True))

    made = bootstrap.of_sums(columns, units, {name: name for name in names}, means)
    (drawn,) = bootstrap.draws([made], seed, resamples)
    return np.column_stack(list(drawn.values()))


def test_units_of_one_are_drawn_as_single_items():
    values = np.random.default_rng(5).random((30, 2))
    means = means_of(values, [f"image {i}" for i in range(30)], 200, seed=7)
    np.testing.assert_allclose(means, bootstrap.bootstrap_sums(values, 200, seed=7) / 30, rtol=1e-14)


def test_items_of_one_unit_are_drawn_together():
    """Ten units of four equal values: as uncertain as ten values, not as forty."""
    of_units = np.random.default_rng(6).normal(size=10)
    means = means_of(np.tile(of_units, 4)[:, None], [str(i % 10) for i in range(40)], 10_000, seed=8)[:, 0]
    assert means.std() == pytest.approx(of_units.std() / np.sqrt(10), rel=0.03)


def test_the_mean_of_unequal_units_is_the_ratio_of_their_sums():
    """Of the units (1, 1, 1) and (0), two are drawn: both the first, both the second, or one of each."""
    means = means_of(np.array([[1.0], [1], [1], [0]]), ["a", "a", "a", "b"], 400, seed=9)
    assert set(means[:, 0]) == {1.0, 0.75, 0.0}
    assert (means == 0.75).mean() == pytest.approx(0.5, abs=0.08)


def test_sets_of_different_units_share_no_draws():
    made = [
        bootstrap.of_sums(np.ones((2, 1)), units, {"x": "x"}, lambda sums, items: {"x": sums[:, 0] / items})
        for units in (["a", "b"], ["a", "c"])
    ]
    assert made[0].whole() == {"x": 1.0}
    with pytest.raises(ValueError, match="same units"):
        bootstrap.draws(made, seed=1)


def test_interval_of_a_median_is_that_of_the_tables():
    # Conover 1999: for n = 6 the extremes (level 0.969); for n = 20 the 6th and the 15th value (0.959).
    assert bootstrap.median_ci([3, 1, 2, 6, 5, 4]) == (1, 6)
    assert bootstrap.median_ci(list(range(1, 21))) == (6, 15)
    assert bootstrap.median_ci([1, 2, 3, 4, 5]) is None
    assert bootstrap.median_ci([]) is None
    low, high = bootstrap.median_ci(list(range(5000)))
    assert high - low == pytest.approx(1.96 * 5000**0.5, rel=0.03)


@pytest.mark.parametrize("columns", [np.empty((0, 1)), np.array([[1.0], [np.nan]]), np.ones(3)])
def test_what_has_no_interval_is_refused(columns):
    with pytest.raises(ValueError, match="bootstrap"):
        bootstrap.bootstrap_sums(columns, 10)
    with pytest.raises(ValueError, match="bootstrap"):
        bootstrap.of_sums(columns, ["a"] * len(columns), {}, lambda sums, items: {})
