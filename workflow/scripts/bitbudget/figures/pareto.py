"""Which precisions nobody beats in both cost and quality."""

from __future__ import annotations

import math
from collections.abc import Sequence


def pareto_front(costs: Sequence[float], qualities: Sequence[float], *, higher_is_better: bool = True) -> list[bool]:
    """For each point, whether it is on the Pareto front of low cost and good quality.

    A point is dominated where another costs no more and is no worse, and is better in one of the two; points that are
    equal in both do not dominate each other. A point with a NaN is not on the front and dominates nothing. Raises
    `ValueError` where there are not as many costs as qualities.
    """
    sign = 1 if higher_is_better else -1
    points = [(cost, sign * quality) for cost, quality in zip(costs, qualities, strict=True)]
    known = [point for point in points if not any(map(math.isnan, point))]

    def dominated(point: tuple[float, float]) -> bool:
        cost, quality = point
        return any(c <= cost and q >= quality and (c, q) != point for c, q in known)

    return [point in known and not dominated(point) for point in points]
