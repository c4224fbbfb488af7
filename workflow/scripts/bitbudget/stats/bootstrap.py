"""Intervals: the bootstrap over items, in plain numpy and bounded memory, and order statistics for a median.

The percentile bootstrap of Efron & Tibshirani (1993, chapter 13): items are drawn with replacement, as many as there
are, and the statistic is computed anew from each draw. Seed, item count and number of resamples alone decide the draws,
so two precisions scored on the same items with the same seed are resampled alike, which is what pairing needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
# With fewer units, a bootstrap interval says little and pretends much (that of 3 right of 3 has no width).
FEWEST_UNITS = 10
_CHUNK = 2_000_000  # draws held at once: 16 MB of indices

Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Resampled:
    """Metrics of scored items as they follow from how often each unit of them is drawn.

    A unit is what is drawn as one: an item or, where answers about one image are not independent, all items about it.
    """

    units: tuple[str, ...]  # of each item, by name
    made_of: Mapping[str, str]  # of each metric, the key of an item's row that it is computed from
    # The metrics, [resamples] each, from how often each unit was drawn, [resamples, units]; the units stand there in
    # the order in which `units` names them first.
    values: Callable[[np.ndarray], Values]
    resamples: int = RESAMPLES
    telling: int | None = None  # how many units say something of the metrics; None where all do
    raised: bool = False  # whether resamples are too high on the whole, as those of AP are
    # What share of the metrics each unit would take with it, [units], where the values of items do not tell.
    shares: np.ndarray | None = None
    # What of an item's row counts, in this metric, as a difference between two precisions; None where it is all that
    # the metric is computed from.
    outcome: Callable[[Mapping[str, Any], str], Any] | None = None

    @property
    def count(self) -> int:
        """How many units there are."""
        return len(set(self.units))

    def whole(self) -> dict[str, float]:
        """The metrics of every unit once: those of the record."""
        return {name: float(value[0]) for name, value in self.values(np.ones((1, self.count), dtype=int)).items()}


def of_sums(
    columns: np.ndarray,
    units: Sequence[str],
    made_of: Mapping[str, str],
    values: Callable[[np.ndarray, np.ndarray], Values],
) -> Resampled:
    """Metrics that are computed from column sums over the items drawn, as means and ratios of sums are.

    `columns` has the shape [items, k]; `values` computes the metrics from the sums, [resamples, k], and the number of
    items drawn, [resamples]. Units are drawn with replacement, as many as there are, so where they differ in size, the
    number of items varies and a mean is a ratio of sums (Davison & Hinkley 1997, section 3.8, the first of the two
    strategies for clustered data); were items of one unit drawn one by one, they would pass for independent ones, and
    the interval would be too narrow. Raises `ValueError` where there are no items or a value is not finite.
    """
    columns = _checked(columns)
    number = {name: i for i, name in enumerate(dict.fromkeys(units))}
    sums = np.zeros((len(number), columns.shape[1] + 1))
    np.add.at(sums, [number[name] for name in units], np.column_stack([columns, np.ones(len(columns))]))

    def drawn(times: np.ndarray) -> Values:
        found = times @ sums
        return values(found[:, :-1], found[:, -1])

    return Resampled(tuple(units), made_of, drawn)


def draws(
    sets: Sequence[Resampled], seed: int, resamples: int | None = None, *, weighted: bool = False
) -> list[Values]:
    """Each set's metrics in every resample, [resamples] each; all sets share their draws, so they can be compared.

    `resamples` is that of the sets where it is None. A resample has each unit some times (`times_drawn`) or, where
    `weighted`, with some weight (`weights_drawn`). Raises `ValueError` where the sets are not of the same units.
    """
    if len({one.units for one in sets}) != 1:
        raise ValueError("only sets of the same units can share their draws")
    by = weights_drawn if weighted else times_drawn
    times = by(sets[0].count, resamples or sets[0].resamples, seed)
    parts = [[one.values(part) for one in sets] for part in times]
    return [
        {name: np.concatenate([part[which][name] for part in parts]) for name in sets[which].made_of}
        for which in range(len(sets))
    ]


def times_drawn(units: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each unit is drawn into each resample, [resamples, units], some resamples at a time.

    Units are drawn with replacement, as many as there are. Their number and the seed alone decide: neither how many are
    held at once nor the number of resamples changes the first of them.
    """
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // units)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = generator.integers(0, units, size=(rows, units))
        flat = drawn + np.arange(rows)[:, None] * units
        yield np.bincount(flat.ravel(), minlength=rows * units).reshape(rows, units)


def weights_drawn(units: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[np.ndarray]:
    """The weight of each unit in each resample, [resamples, units], 1 on average; some resamples at a time.

    Those of the Bayesian bootstrap (Rubin 1981, Annals of Statistics 9, 130-134): the spacings of as many uniform
    numbers, which is a flat Dirichlet distribution. No unit is ever left out of a resample.
    """
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // units)
    for start in range(0, resamples, chunk):
        drawn = generator.standard_exponential((min(chunk, resamples - start), units))
        yield drawn * (units / drawn.sum(axis=1, keepdims=True))


def weight_of_one_more(units: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """The share of all weights that one unit more than these would have, [resamples]; apart from `weights_drawn`.

    Its distribution, 1 - (1 - u)^(1 / units) of a uniform u, at equal steps in random order, so that its quantiles are
    exact.
    """
    uniform = (np.random.default_rng([seed, 1]).permutation(resamples) + 0.5) / resamples
    return -np.expm1(np.log1p(-uniform) / units)


def bootstrap_sums(columns: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Column sums over items drawn with replacement.

    `columns` has the shape [items, k]; returned are the sums, [resamples, k]. All columns share their draws. Raises
    `ValueError` where there are no items or a value is not finite.
    """
    columns = _checked(columns)
    return np.concatenate([times @ columns for times in times_drawn(len(columns), resamples, seed)])


def _checked(columns: np.ndarray) -> np.ndarray:
    columns = np.asarray(columns, dtype=np.float64)
    if columns.ndim != 2 or len(columns) == 0:
        raise ValueError(f"the bootstrap needs an array [items, columns] with at least one item, not {columns.shape}")
    if not np.isfinite(columns).all():
        raise ValueError("the bootstrap needs finite values")
    return columns


def interval(draws: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The central interval of bootstrap draws, [resamples], by percentiles."""
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def median_ci(values: Sequence[float], level: float = LEVEL) -> tuple[float, float] | None:
    """An interval of a median from order statistics (Conover 1999, section 3.2), in the unit of `values`.

    Nothing is assumed of the distribution, and the level is at least the one asked for; None where there are too few
    values for that (fewer than six for 95 %).
    """
    ordered, count = sorted(values), len(values)
    # How many of the lowest (and of the highest) values may be left out: P(Binomial(n, 1/2) < dropped) <= tail.
    # In whole numbers, because 2**count is no float any more beyond 1023 values.
    tail = round((1 - level) / 2 * 1e9) * 2**count // 10**9
    below, ways, dropped = 0, 1, 0  # ways: count choose dropped
    while dropped < count // 2 and below + ways <= tail:
        below += ways
        ways = ways * (count - dropped) // (dropped + 1)
        dropped += 1
    return (ordered[dropped - 1], ordered[count - dropped]) if dropped else None
