"""Which points nobody beats: the Pareto front over any number of dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence


def front(points: Sequence[Sequence[float]]) -> list[bool]:
    """For each point, whether it is on the Pareto front of small values.

    A point is dominated where another is at least as small in every dimension and smaller in one; points that are equal
    in all do not dominate each other. A point with a NaN is not on the front and dominates nothing. Raises `ValueError`
    where points differ in their number of dimensions.
    """
    tuples = [tuple(point) for point in points]
    known = [point for point in tuples if not any(map(math.isnan, point))]

    def dominated(point: tuple[float, ...]) -> bool:
        return any(
            other != point and all(theirs <= own for theirs, own in zip(other, point, strict=True)) for other in known
        )

    return [point in known and not dominated(point) for point in tuples]


def pareto_front(costs: Sequence[float], qualities: Sequence[float], *, higher_is_better: bool = True) -> list[bool]:
    """For each point, whether it is on the Pareto front of low cost and good quality.

    Raises `ValueError` where there are not as many costs as qualities.
    """
    sign = -1 if higher_is_better else 1
    return front([(cost, sign * quality) for cost, quality in zip(costs, qualities, strict=True)])
