"""Intervals: the bootstrap over items, in plain numpy and bounded memory, and order statistics for a median.

The percentile bootstrap of Efron & Tibshirani (1993, chapter 13): items are drawn with replacement, as many as there
are, and the statistic is computed anew from each draw. Seed, item count and number of resamples alone decide the draws,
so two precisions scored on the same items with the same seed are resampled alike, which is what pairing needs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
_CHUNK = 2_000_000  # draws held at once: 16 MB of indices


def bootstrap_sums(columns: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Column sums over items drawn with replacement.

    `columns` has the shape [items, k]; returned are the sums, [resamples, k]. All columns share their draws. Raises
    `ValueError` where there are no items or a value is not finite.
    """
    columns = np.asarray(columns, dtype=np.float64)
    if columns.ndim != 2 or len(columns) == 0:
        raise ValueError(f"the bootstrap needs an array [items, columns] with at least one item, not {columns.shape}")
    if not np.isfinite(columns).all():
        raise ValueError("the bootstrap needs finite values")
    items = len(columns)
    generator = np.random.default_rng(seed)
    sums = np.empty((resamples, columns.shape[1]))
    chunk = max(1, _CHUNK // items)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = generator.integers(0, items, size=(rows, items))
        # How often each item was drawn, [rows, items]: the sums of all columns are then one matrix product.
        flat = drawn + np.arange(rows)[:, None] * items
        times = np.bincount(flat.ravel(), minlength=rows * items).reshape(rows, items)
        sums[start : start + rows] = times @ columns
    return sums


def bootstrap_means(
    columns: np.ndarray, clusters: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """Column means over items of which those of one cluster are drawn together, as several questions about one image.

    Clusters are drawn with replacement, as many as there are, and each mean is the ratio of the summed values to the
    number of items drawn (Davison & Hinkley 1997, section 3.8, the first of the two strategies for clustered data);
    were items drawn one by one, answers about the same image would pass for independent ones, and the interval would
    be too narrow. `columns` has the shape [items, k], `clusters` names each item's; returned are the means,
    [resamples, k]. Where every item is its own cluster, these are the means of `bootstrap_sums`' draws.
    """
    columns = np.asarray(columns, dtype=np.float64)
    number = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    sums = np.zeros((len(number), columns.shape[1] + 1))
    np.add.at(sums, [number[name] for name in clusters], np.column_stack([columns, np.ones(len(columns))]))
    drawn = bootstrap_sums(sums, resamples, seed)
    return drawn[:, :-1] / drawn[:, -1:]


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
