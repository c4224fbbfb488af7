"""Verdicts: what a comparison with the baseline shows of a precision, and whether it is good enough.

Everything is read from comparison.json: differences are compared minus baseline, on the same items, with 95 %
intervals. The kinds of verdict are those of `kinds`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitbudget.judging import kinds
from bitbudget.judging.comparison_kinds import NOISE_FLOOR
from bitbudget.stats import bounds

Record = Mapping[str, Any]

ALPHA = 0.05


def of_cell(comparison: Record, model: str, condition: str) -> Sequence[Record]:
    """The comparisons of a model's precisions with its baseline under a condition, in the study's order."""
    return [one for one in _all_of(comparison, model, condition) if one["kind"] != NOISE_FLOOR]


def floor_of(comparison: Record, model: str, condition: str) -> Record | None:
    """The comparison of a model's baseline with itself under a condition; None where it was not repeated."""
    return next((one for one in _all_of(comparison, model, condition) if one["kind"] == NOISE_FLOOR), None)


def _all_of(comparison: Record, model: str, condition: str) -> list[Record]:
    return [one for one in comparison["comparisons"] if (one["model"], one["condition"]) == (model, condition)]


def metric_of(one: Record, primary: str) -> Record | None:
    """A comparison's primary metric; None where it has no difference or no interval."""
    metric = one["metrics"].get(primary, {})
    return metric if "value" in metric and metric.get("ci") else None


def kind_of(one: Record, primary: str, sign: int, floor: Record | None) -> str:
    """The kind of a comparison's verdict, beside the noise floor of its model and condition.

    `sign` is 1 where more of the primary metric is better, else -1.
    """
    metric = metric_of(one, primary)
    if metric is None:
        return kinds.NOT_COMPARED
    side = side_of(metric, sign) if significant(metric) else 0
    if side and _as_much_noise(metric, primary, floor):
        return kinds.WITHIN_NOISE
    if side:
        return kinds.LOSS if side < 0 else kinds.GAIN
    return kinds.IDENTICAL if same(one, metric) else kinds.NO_CLEAR_DIFFERENCE


def same(one: Record, metric: Record) -> bool:
    """Whether no item's answer or value differs."""
    return metric["value"] == 0 and not any(one["answers"].get(name) for name in ("changed", "better", "worse"))


def significant(metric: Record) -> bool:
    """Whether p, corrected after Holm, is below .05."""
    return metric["p_holm"] < ALPHA


def side_of(metric: Record, sign: int) -> int:
    """On which side of 0 the interval lies: -1 for the worse, 1 for the better, 0 where it contains 0."""
    low, high = sorted(sign * end for end in metric["ci"])
    return -1 if high < 0 else 1 if low > 0 else 0


def undecided(metric: Record, sign: int) -> bool:
    """Whether interval and test do not agree on a difference."""
    return bool(side_of(metric, sign)) != significant(metric)


def _as_much_noise(metric: Record, primary: str, floor: Record | None) -> bool:
    """Whether the baseline differs from itself by as much, and by more than chance among the items explains."""
    own = metric_of(floor, primary) if floor else None
    return own is not None and own["p_value"] < ALPHA and abs(own["value"]) >= abs(metric["value"])


UNCOMPARED, NO_BASELINE, KEPT, LOSES_MORE, TOO_FEW, NOT_RULED_OUT = (
    "not compared", "baseline not above 0", "kept", "loses more", "too few", "not ruled out",
)  # fmt: skip


@dataclass(frozen=True)
class Acceptance:
    """Whether a precision is good enough, and by which numbers, in the metric's unit."""

    accepted: bool
    why: str  # one of the words above
    bound: float | None = None  # the worse 95 % bound of its value
    limit: float | None = None  # which the bound must reach
    lost_unseen: float | None = None  # what one that differs in no unit could lose unseen, of the baseline's value


def acceptance(one: Record, primary: str, sign: int, share: float) -> Acceptance:
    """Whether at least this share of the baseline's quality is left, at the bound (see `worst`).

    Where lower is better, the bound must be at most the baseline's value divided by the share.
    """
    metric = metric_of(one, primary)
    if metric is None:
        return Acceptance(False, UNCOMPARED)
    baseline = metric["baseline"]
    if baseline <= 0:
        return Acceptance(False, NO_BASELINE)
    bound, limit = worst(metric, sign), least(baseline, sign, share)
    unseen = metric.get("stake", 0.0) * bounds.clopper_pearson_upper(0, one["units"])
    if sign * (bound - limit) >= 0:
        return Acceptance(True, KEPT, bound, limit)
    if sign * (metric["compared"] - limit) < 0:
        return Acceptance(False, LOSES_MORE, bound, limit)
    few = unseen > abs(baseline - limit)
    return Acceptance(False, TOO_FEW if few else NOT_RULED_OUT, bound, limit, unseen / baseline)


def least(baseline: float, sign: int, share: float) -> float:
    """The value that a precision's bound must reach to be accepted; `baseline` is the baseline's."""
    return baseline * share if sign > 0 else baseline / share


def worst(metric: Record, sign: int) -> float:
    """The worse 95 % bound of a precision's value: the baseline's plus the interval's worse end, on the same items.

    It counts one unit more than was seen, which loses all it has (`paired`). What is better the higher it is ends at 0.
    """
    value = metric["baseline"] + metric["ci"][0 if sign > 0 else 1]
    return max(value, 0.0) if sign > 0 else value


def lost_at_worst(metric: Record, sign: int) -> float:
    """What a precision loses at the worse end of its interval, in the metric's unit; 0 where that is nothing."""
    return max(sign * (metric["baseline"] - worst(metric, sign)), 0.0)
