"""How far a share can be trusted, and how far two judges agree beyond chance."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

import numpy as np

from bitbudget.stats import bootstrap

UNDEFINED_AT_MOST = 0.05  # share of resamples without a kappa above which there is no interval


def wilson(share: float, n: int, level: float = bootstrap.LEVEL) -> tuple[float, float]:
    """The score interval of a proportion `share` of `n` (Wilson 1927, JASA 22, 209-212).

    Unlike share +- 1.96 standard errors it is right for few items and near 0 and 1. It also holds for the mean of
    values between 0 and 1, such as half points, and is then rather too wide: of all such values with mean p, zeros and
    ones have the largest variance, p(1 - p). Raises `ValueError` where share or n cannot be.
    """
    if n < 1 or not 0 <= share <= 1:
        raise ValueError(f"no proportion: {share} of {n}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def kappa(tables: np.ndarray) -> np.ndarray:
    """Cohen's kappa (Cohen 1960, Educational and Psychological Measurement 20, 37-46).

    `tables` are counts, [..., classes, classes]: the first judge's class by the second's. (observed - expected) /
    (1 - expected), where `observed` is the share of equal judgements and `expected` that of two judges who keep to
    their shares of the classes but draw at random. NaN where that is undefined: nothing was judged, or both judges
    gave one and the same class to everything, so that chance agrees wholly.
    """
    tables = np.asarray(tables, dtype=np.float64)
    total = tables.sum(axis=(-2, -1))
    equal = np.trace(tables, axis1=-2, axis2=-1)
    # n^2 times the expected share: whole numbers, so that comparing with n^2 is exact
    by_chance = (tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1)
    rest = total**2 - by_chance
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(rest > 0, (total * equal - by_chance) / rest, np.nan)


def kappa_interval(tables: np.ndarray, seed: int) -> tuple[float, float] | None:
    """The 95 % bootstrap interval of the kappa of all items together.

    `tables` are counts by item, [items, classes, classes]; items are resampled whole, because answers to the same item
    are not independent. None where the resamples cannot show the spread: many of them have no kappa, or all have the
    same.
    """
    tables = np.asarray(tables, dtype=np.float64)
    sums = bootstrap.bootstrap_sums(tables.reshape(len(tables), -1), seed=seed)
    draws = kappa(sums.reshape(-1, *tables.shape[1:]))
    defined = draws[~np.isnan(draws)]
    if len(defined) < (1 - UNDEFINED_AT_MOST) * len(draws) or np.ptp(defined) == 0:
        return None
    return bootstrap.interval(defined)
