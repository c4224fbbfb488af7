"""Where an axis of quality is cut, lest one broken precision squeezes all others into a small part of it.

All charts ask here, so that they cut alike. A value beyond the cut is an arrow at the axis' end, and its number is
written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

# A value with the ends of its interval; None where there is no interval.
Span = Sequence[float | None]
Axis = tuple[float, float]

REACH = 2.5  # an axis that is cut reaches so many times as far from its centre as the middle one of its rows
SQUEEZED = 2.0  # and one is cut where the furthest row would make it so many times as long
NEAR = 0.1  # a precision whose quality differs by no more than this share of the baseline's is not a broken one
ROOM, INSET = 0.06, 0.02  # at the ends of an axis, and from an end to its arrows, in lengths of the axis


def ends(spans: Sequence[Span], centre: float = 0.0, *, holds: Sequence[float] = (), near: float = 0.0) -> Axis | None:
    """The ends of an axis that is cut, with room for the marks; None where it holds all.

    It has the `centre` (no difference, or the baseline's value) and `holds` on it, all values that lie within `near` of
    the centre or within reach, and their intervals, as far as these are within reach.
    """
    most = _reach(spans, centre, holds, near)
    if math.isinf(most):
        return None
    shown = [span for span in spans if abs(span[0] - centre) <= most]
    held = [centre, *holds, *(end for span in shown for end in span if end is not None)]
    low, high = max(min(held), centre - most), min(max(held), centre + most)
    if low == high:  # all but the broken ones are the same
        low, high = low - most, high + most
    room = ROOM * (high - low)
    return low - room, high + room


def _reach(spans: Sequence[Span], centre: float, holds: Sequence[float], near: float) -> float:
    """How far from its centre an axis goes; infinitely far where nothing is cut."""
    far = [max(abs(end - centre) for end in span if end is not None) for span in spans]
    most = max([near, *(REACH * abs(value - centre) for value in holds), *([REACH * median(far)] if far else [])])
    return most if 0 < SQUEEZED * most < max(far, default=0.0) else math.inf


def of_quality(spans: Sequence[Span], baseline: float | None) -> Axis | None:
    """The ends of an axis of quality about the baseline's value (None: about the middle one), or None, as of `ends`."""
    if not spans:
        return None
    centre = median(span[0] for span in spans) if baseline is None else baseline
    return ends(spans, centre, near=NEAR * abs(centre))


def beyond(value: float, axis: Axis | None) -> int:
    """-1 for a value below the axis, 1 for one above it, 0 for one that it holds."""
    return 0 if axis is None else (value > axis[1]) - (value < axis[0])


def placed(value: float, axis: Axis | None) -> float:
    """Where a value is drawn: itself, or just inside the end of the axis beyond which it lies."""
    side = beyond(value, axis)
    return value if not side else axis[max(side, 0)] - side * INSET * (axis[1] - axis[0])
