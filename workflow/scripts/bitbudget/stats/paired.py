"""Two precisions on the same items: their difference, its interval, its p value, and what could have been seen.

Both are resampled alike (`bootstrap.draws`), so an item that is hard for both widens nothing. A bootstrap knows of no
change that it has not met: of four losses and no gain it makes a loss, and of none that nothing can be lost. So each
end of the interval counts one unit more than there is, which was not seen, with the weight that a unit has by chance:
at the worse end it loses what a unit has to lose (`stake`), at the better end it gains as much as changes were on the
root mean square. The interval is from the 2.5 % quantile of the one to the 97.5 % quantile of the other.

This is the bound of Gaffke (2005, Mathematical Methods of Statistics 14, 451-467; Learned-Miller & Thomas 2019, arXiv
1905.06208; Phan, Thomas & Learned-Miller 2021, ICML) on each side. Of k losses of n right or wrong answers it is the
exact limit of Clopper & Pearson (1934), and the interval excludes 0 where McNemar's exact test is below 5 %. Weights
are never negative, so the worse end is monotone: it never becomes better by one more loss, or by a greater one, from
none of the units to all of them. Where units have different amounts to lose, the stake is the mean of these amounts
as a point of the metric drawn at random would meet them, sum of squares / sum: the scaled Poisson distribution that
is nearest to a sum of so different losses (Bohm & Zech 2014, Nuclear Instruments and Methods A 748, 1-6).

The p value is that of the same draws, or exact McNemar's where answers are right or wrong. A test cannot do without
changes: if nothing is lost or gained on the whole, each of m units that differ is better or worse by a coin's throw,
and all m fall to one side with the probability 2 x 0.5^m; no p value is less than this.

A verdict is on the p value after Holm's correction over all N comparisons of a study. Its first and strictest step asks
the smallest p value for 5 % / N, and what a subset could have shown is reckoned for this step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist

import numpy as np

from bitbudget.stats import bootstrap

LEVEL = bootstrap.LEVEL
POWER = 0.8
BOOTSTRAP, MCNEMAR = "paired bootstrap", "exact McNemar"
_ROUNDING = 1e-12  # of a sum of values about 1


@dataclass(frozen=True)
class Difference:
    """A difference compared - baseline, in the metric's unit, before any correction for how many are tested."""

    value: float
    ci: tuple[float, float]
    standard_error: float
    test: str
    p_value: float


@dataclass(frozen=True)
class Unseen:
    """The unit more that an interval counts: its weight in each resample, [resamples], and what it has to lose."""

    weight: np.ndarray  # `bootstrap.weight_of_one_more`
    stake: float  # in the metric's unit, not negative, as if all weight were its own


def stake(value: float, shares: Sequence[float]) -> float:
    """What one unit more has to lose of a metric with this value, of which the units have these shares (sum: 1)."""
    return abs(value) * len(shares) * float(np.square(shares).sum())


def difference(
    value: float,
    drawn: np.ndarray,
    unseen: Unseen,
    *,
    units: int,
    changed: int,
    higher_is_better: bool,
    flips: tuple[int, int] | None = None,
) -> Difference:
    """The difference of two precisions from its weighted bootstrap draws, [resamples].

    `changed` of the `units` differ between the two in what the metric is made of. `flips` counts the items that only
    the compared precision, and those that only the baseline has right, where each unit is one item that is right or
    wrong; then one more has all to lose or to gain, and McNemar's test takes the place of the bootstrap's.
    """
    test = MCNEMAR if flips else BOOTSTRAP
    if max(abs(value), np.abs(drawn).max()) <= _ROUNDING:
        value, drawn = 0.0, np.zeros_like(drawn)
    error = float(drawn.std(ddof=1))
    to_lose = 1.0 if flips else unseen.stake
    to_gain = units * error / math.sqrt(changed) if error and changed and not flips else to_lose
    below, above = (to_lose, to_gain) if higher_is_better else (to_gain, to_lose)
    seen = (1 - unseen.weight) * drawn
    lower, upper = seen - unseen.weight * below, seen + unseen.weight * above
    p_value = mcnemar(*flips) if flips else max(bootstrap_p(lower, upper), by_signs_alone(changed))
    low, high = min(value, bootstrap.interval(lower)[0]), max(value, bootstrap.interval(upper)[1])
    if p_value >= 1 - LEVEL:
        low, high = min(low, 0.0), max(high, 0.0)
    elif low <= 0 <= high:  # the draws' chance, beside the exact test
        low, high = (lower[lower > 0].min(), high) if value > 0 else (low, upper[upper < 0].max())
    return Difference(value, (float(low), float(high)), error, test, p_value)


def bootstrap_p(lower: np.ndarray, upper: np.ndarray) -> float:
    """The two-sided p value of draws of a difference: 1 - the level at which the interval just holds 0.

    Twice the smaller share of draws at or beyond 0 (Efron & Tibshirani 1993, section 15.4), of `lower` at or below it
    and of `upper` at or above it, with one more added to draws and to those beyond (Davison & Hinkley 1997, section
    4.2), because draws never show that something cannot be.
    """
    beyond = min((lower <= 0).sum(), (upper >= 0).sum())
    return min(1.0, 2 * (int(beyond) + 1) / (len(lower) + 1))


def by_signs_alone(changed: int) -> float:
    """The least p value that so many changes can have: that all are to the same side by chance."""
    return min(1.0, 2 * 0.5**changed)


def mcnemar(gained: int, lost: int) -> float:
    """The two-sided p value of McNemar's exact test (1947): a fair coin showed `gained` heads and `lost` tails."""
    total = gained + lost
    tail, ways = 0, 1  # ways: total choose k
    for k in range(min(gained, lost) + 1):
        tail += ways
        ways = ways * (total - k) // (k + 1)
    return float(min(Fraction(1), Fraction(2 * tail, 2**total)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number, in their order (Holm 1979, Scandinavian Journal of Statistics 6, 65-70)."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for place, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[i]))
        corrected[i] = largest
    return corrected


def least_p(resamples: int) -> float:
    """The least p value that so many bootstrap draws can give (`bootstrap_p`)."""
    return 2 / (resamples + 1)


def standard_errors(family: int, changed: float = math.inf) -> float:
    """How many standard errors a difference must be for a verdict with 80 % probability, among `family` comparisons.

    Of `changed` units that differ, one more that is not seen moves the interval by 1 / sqrt(changed) standard errors,
    and widens it as much.
    """
    more = 1 / changed
    strictest = NormalDist().inv_cdf(1 - _strictest(family) / 2)
    return math.sqrt(more) + strictest * math.sqrt(1 + more) + NormalDist().inv_cdf(POWER)


def fewest_changes(family: int) -> int:
    """How many units must differ for a verdict at all, among `family` comparisons: 2 x 0.5^m may be 5 % / family."""
    return math.ceil(math.log2(2 / _strictest(family)))


def expected_changes(family: int) -> float:
    """How many changes to one side must be expected for `fewest_changes` to occur with 80 % probability.

    The mean of the Poisson distribution that has so much at this number or above, found by halving.
    """
    fewest = fewest_changes(family)
    low, high = 0.0, 4.0 * fewest
    for _ in range(60):
        mean = (low + high) / 2
        fewer = math.fsum(math.exp(i * math.log(mean) - mean - math.lgamma(i + 1)) for i in range(fewest))
        low, high = (mean, high) if 1 - fewer < POWER else (low, mean)
    return high


def fewest_units(family: int) -> int:
    """How many units a comparison among `family` must have to say anything."""
    return max(bootstrap.FEWEST_UNITS, fewest_changes(family))


def smallest_of(error: float, units: int, asked: float, test: str, family: int, changed: int) -> float:
    """The smallest difference that `asked` units would show, where `units` have this standard error.

    Shown is what has a verdict with 80 % probability where it is tested among `family` comparisons. `changed` of the
    `units` differ, and of those asked for as great a share.
    """
    scaled = error * math.sqrt(units / asked)
    if test == MCNEMAR:
        return max(standard_errors(family) * scaled, expected_changes(family) / asked)
    return standard_errors(family, changed * asked / units) * scaled


def units_for(drop: float, error: float, units: int, test: str, family: int, changed: int) -> int:
    """How many units would show a difference of `drop`, where `units` have this standard error; as `smallest_of`."""
    fewest = most = fewest_units(family)
    while smallest_of(error, units, most, test, family, changed) > drop:
        fewest, most = most, 2 * most
    while fewest < most:
        middle = (fewest + most) // 2
        enough = smallest_of(error, units, middle, test, family, changed) <= drop
        fewest, most = (fewest, middle) if enough else (middle + 1, most)
    return most


def _strictest(family: int) -> float:
    """The level of Holm's first step among `family` comparisons."""
    return (1 - LEVEL) / family
