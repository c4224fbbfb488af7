"""Whether timings have settled: the end of the warm-up, and the drift of what was counted."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

GROUP = 3  # calls whose median is compared with that of the group before
TOLERANCE = 0.10  # by how much, as a share, the two may differ
# Settling ends here in any case, but not before there are enough calls to tell whether timings have settled.
MOST_CALLS, MOST_SECONDS = 50, 60.0


@dataclass(frozen=True)
class WarmUp:
    """What the warm-up took: its calls, their seconds in order (`raw`), and whether they had settled at its end."""

    calls: int
    seconds: float
    settled: bool
    raw: list[float]

    def record(self) -> dict[str, Any]:
        """The same for a record."""
        return asdict(self)


def settled(latencies: list[float]) -> bool:
    """Whether the median of the last three calls is within 10 % of that of the three before."""
    if len(latencies) < 2 * GROUP:
        return False
    before = statistics.median(latencies[-2 * GROUP : -GROUP])
    return abs(statistics.median(latencies[-GROUP:]) - before) <= TOLERANCE * before


def exhausted(latencies: list[float], seconds: float) -> bool:
    """Whether these calls, which took so many seconds, are all that may be spent on settling."""
    if len(latencies) < 2 * GROUP:
        return False
    return len(latencies) >= MOST_CALLS or seconds >= MOST_SECONDS


def drift(latencies: list[float]) -> float:
    """By which share the median of the second half of these calls is above (or, if negative, below) the first half's.

    Raises `ValueError` for fewer than two calls.
    """
    half = len(latencies) // 2
    if not half:
        raise ValueError("a drift needs two calls at least")
    first = statistics.median(latencies[:half])
    return (statistics.median(latencies[half:]) - first) / first
