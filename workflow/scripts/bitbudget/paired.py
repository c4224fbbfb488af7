"""Two precisions on the same items: their difference, its interval, its p value, and what could have been seen.

Both are resampled alike (`statistics.draws`), so an item that is hard for both widens nothing. The interval is the
percentile bootstrap's, the p value that of the same draws, or exact McNemar's where answers are right or wrong.

A test cannot do without changes: if nothing is lost or gained on the whole, each of m units that differ is better or
worse by a coin's throw, and all m fall to one side with the probability 2 x 0.5^m. Below six units that is more than
5 %. The bootstrap, which has seen no change to the other side, does not know of one and would call four losses a loss;
so its p value is never less than this, and an interval holds 0 wherever its p value is 5 % or more. The two can
therefore not contradict each other.
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
# With fewer units, a bootstrap interval says little and pretends much.
FEWEST_UNITS = 10
FEWEST_CHANGES = 6  # 2 x 0.5^6 is .031: fewer changes cannot be called a loss or a gain
# If a precision turns just right answers into wrong ones, so many must be expected for six to occur with 80 %:
# of a Poisson distribution with mean 8, 81 % lies at six or more.
EXPECTED_CHANGES = 8
BOOTSTRAP, MCNEMAR = "paired bootstrap", "exact McNemar"
# How many standard errors a difference must be to be seen with 80 % probability at a two-sided 5 % level.
STANDARD_ERRORS = NormalDist().inv_cdf((1 + LEVEL) / 2) + NormalDist().inv_cdf(POWER)
_ROUNDING = 1e-12  # of a sum of values about 1


@dataclass(frozen=True)
class Difference:
    """A difference compared - baseline, in the metric's unit.

    `smallest` is the smallest difference that these items would have shown with 80 % probability at a two-sided 5 %
    level; None where this cannot be told, and `smallest_absent` then says why.
    """

    value: float
    ci: tuple[float, float]
    standard_error: float
    test: str
    p_value: float
    smallest: float | None
    smallest_absent: str | None = None


def difference(
    value: float,
    drawn: np.ndarray,
    *,
    units: int,
    changed: int,
    noun: str,
    flips: tuple[int, int] | None = None,
) -> Difference:
    """The difference of two precisions from its bootstrap draws, [resamples].

    `units` are drawn, of which `changed` differ between the two in what the metric is made of; `noun` is their plural.
    `flips` counts the items that only the compared precision, and those that only the baseline has right, where each
    unit is one item that is right or wrong; then McNemar's test takes the place of the bootstrap's.
    """
    test = MCNEMAR if flips else BOOTSTRAP
    if max(abs(value), np.abs(drawn).max()) <= _ROUNDING:
        return Difference(0.0, (0.0, 0.0), 0.0, test, 1.0, None, _nothing_changed(units, noun))
    p_value = mcnemar(*flips) if flips else max(bootstrap_p(drawn), by_signs_alone(changed))
    low, high = statistics.interval(drawn)
    if p_value >= 1 - LEVEL:
        low, high = min(low, 0.0), max(high, 0.0)
    error = float(drawn.std(ddof=1))
    smallest, reason = smallest_of(error, units, units, test), None
    if not flips and changed < FEWEST_CHANGES:
        verb = "differs" if changed == 1 else "differ"
        smallest, reason = None, f"only {changed} of {units} {noun} {verb}, too few to tell what could have been seen."
    return Difference(value, (low, high), error, test, p_value, smallest, reason)


def _nothing_changed(units: int, noun: str) -> str:
    """What can be said where no unit differs: of a share q of all, n units would show none with (1 - q)^n."""
    bound = 1 - (1 - LEVEL) ** (1 / units)
    return (
        f"none of the {units} {noun} differs in it, so there is no spread to reckon with; with 95 % confidence fewer "
        f"than {100 * bound:.2g} % of all would."
    )


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


def smallest_of(error: float, units: int, asked: float, test: str) -> float:
    """The smallest difference that `asked` units would show, where `units` have this standard error."""
    smallest = STANDARD_ERRORS * error * math.sqrt(units / asked)
    return max(smallest, EXPECTED_CHANGES / asked) if test == MCNEMAR else smallest


def units_for(drop: float, error: float, units: int, test: str) -> int:
    """How many units would show a difference of `drop`, where `units` have this standard error."""
    wanted = units * (STANDARD_ERRORS * error / drop) ** 2
    return math.ceil(max(wanted, EXPECTED_CHANGES / drop) if test == MCNEMAR else wanted)
