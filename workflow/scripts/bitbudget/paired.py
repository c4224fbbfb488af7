"""Two precisions on the same items: their difference, its interval, its p value, and what could have been seen.

Both are resampled alike (`statistics.draws`), so an item that is hard for both widens nothing. The interval is the
percentile bootstrap's, the p value that of the same draws, or exact McNemar's where answers are right or wrong.

A test cannot do without changes: if nothing is lost or gained on the whole, each of m units that differ is better or
worse by a coin's throw, and all m fall to one side with the probability 2 x 0.5^m. Below six units that is more than
5 %. The bootstrap, which has seen no change to the other side, does not know of one and would call four losses a loss;
so its p value is never less than this, and an interval holds 0 wherever its p value is 5 % or more. The two can
therefore not contradict each other.

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

from bitbudget import statistics

LEVEL = statistics.LEVEL
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


def difference(
    value: float, drawn: np.ndarray, *, changed: int, moved: bool = False, flips: tuple[int, int] | None = None
) -> Difference:
    """The difference of two precisions from its bootstrap draws, [resamples].

    `changed` units of those drawn differ between the two in what the metric is made of. `moved` moves the draws so that
    their mean is the value, for a metric whose resamples are all too high; its p value is the greater one of moved and
    unmoved draws, because moving makes a difference of draws that show none, such as all those without the one image
    that differs. `flips` counts the items that only the compared precision, and those that only the baseline has right,
    where each unit is one item that is right or wrong; then McNemar's test takes the place of the bootstrap's.
    """
    test = MCNEMAR if flips else BOOTSTRAP
    if max(abs(value), np.abs(drawn).max()) <= _ROUNDING:
        return Difference(0.0, (0.0, 0.0), 0.0, test, 1.0)
    p_value = mcnemar(*flips) if flips else max(bootstrap_p(drawn), by_signs_alone(changed))
    if moved:
        drawn = drawn + (value - drawn.mean())
        p_value = max(p_value, bootstrap_p(drawn))
    low, high = statistics.interval(drawn)
    if p_value >= 1 - LEVEL:
        low, high = min(low, 0.0), max(high, 0.0)
    return Difference(value, (low, high), float(drawn.std(ddof=1)), test, p_value)


def bootstrap_p(drawn: np.ndarray) -> float:
    """The two-sided p value of draws of a difference: 1 - the level at which the percentile interval just holds 0.

    Twice the smaller share of draws at or beyond 0 (Efron & Tibshirani 1993, section 15.4), with one more added to
    draws and to those beyond (Davison & Hinkley 1997, section 4.2), because draws never show that something cannot be.
    """
    beyond = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return min(1.0, 2 * (int(beyond) + 1) / (len(drawn) + 1))


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


def standard_errors(family: int) -> float:
    """How many standard errors a difference must be for a verdict with 80 % probability, among `family` comparisons."""
    return NormalDist().inv_cdf(1 - _strictest(family) / 2) + NormalDist().inv_cdf(POWER)


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
    return max(statistics.FEWEST_UNITS, fewest_changes(family))


def smallest_of(error: float, units: int, asked: float, test: str, family: int) -> float:
    """The smallest difference that `asked` units would show, where `units` have this standard error.

    Shown is what has a verdict with 80 % probability where it is tested among `family` comparisons.
    """
    smallest = standard_errors(family) * error * math.sqrt(units / asked)
    return max(smallest, expected_changes(family) / asked) if test == MCNEMAR else smallest


def units_for(drop: float, error: float, units: int, test: str, family: int) -> int:
    """How many units would show a difference of `drop`, where `units` have this standard error; as `smallest_of`."""
    wanted = units * (standard_errors(family) * error / drop) ** 2
    if test == MCNEMAR:
        wanted = max(wanted, expected_changes(family) / drop)
    return max(math.ceil(wanted), fewest_units(family))


def _strictest(family: int) -> float:
    """The level of Holm's first step among `family` comparisons."""
    return (1 - LEVEL) / family
