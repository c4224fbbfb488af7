"""Middle and spread of repeated timings, in plain Python."""

from __future__ import annotations

import math
import statistics

# Two-sided 97.5 % points of Student's t distribution for 2 to 30 degrees of freedom (any table; 1.96 beyond).
T_POINTS = (
    4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def mean_interval(values: list[float]) -> tuple[float, float] | None:
    """95 % interval of a mean by Student's t; None for fewer than three values.

    For two, Student's factor is 12.7: an interval that says nothing, whatever the values.
    """
    n = len(values)
    if n < 3:
        return None
    point = T_POINTS[n - 3] if n - 3 < len(T_POINTS) else 1.96
    half = point * statistics.stdev(values) / math.sqrt(n)
    middle = statistics.fmean(values)
    return middle - half, middle + half


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies, by linear interpolation between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
