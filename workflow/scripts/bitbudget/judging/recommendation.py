"""Which precision to take: the Pareto front, and the best of the preferred cost among those good enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bitbudget.judging import costs, pareto
from bitbudget.judging.costs import ENERGY, LATENCY, SIZE, Cost, Row

TIE = 0.01  # costs this near each other are as good as the same


@dataclass(frozen=True)
class Front:
    """The Pareto front of one model and condition."""

    on: Mapping[str, bool]  # by precision; one that is not compared is not among them
    absent: Mapping[str, str]  # why not, by precision
    costs: Sequence[Cost]  # its dimensions beside quality
    left_out: Mapping[str, str]  # names of costs in which precisions were not compared, and why


def front(rows: Sequence[Row], primary: str, sign: int, label: str) -> Front:
    """The Pareto front over quality, latency, memory, size and energy, of one model and condition.

    A cost that cannot be compared for one of the precisions is left out. What was measured counts as it is: points are
    compared, not their intervals.
    """
    base = baseline_of(rows)
    absent = {row["precision"]: reason for row in rows if (reason := costs.unusable(row, base))}
    absent |= {
        row["precision"]: f"there is no {label} of it"
        for row in rows
        if row["precision"] not in absent and row[primary] is None
    }
    compared = [row for row in rows if row["precision"] not in absent]
    left_out = {}
    used = []
    for cost in (LATENCY, costs.memory(compared), SIZE, ENERGY):
        reason = costs.dependent(cost, compared) or _not_all(cost, compared, base)
        if reason:
            left_out[cost.name] = reason
        else:
            used.append(cost)
    if not used:  # quality alone makes no front
        absent |= {row["precision"]: "no cost can be compared for all precisions" for row in compared}
        return Front({}, absent, [], left_out)
    points = [(-sign * row[primary], *(row[cost.column] for cost in used)) for row in compared]
    on = dict(zip((row["precision"] for row in compared), pareto.front(points), strict=True))
    return Front(on, absent, used, left_out)


def fronts(rows: Sequence[Row], primary: str, sign: int, every: Sequence[Cost]) -> dict[str, list[str]]:
    """The precisions on the Pareto front of quality and one cost alone, by the cost's metric; those compared in it."""
    return {name: [row["precision"] for row in on] for name, on in on_fronts(rows, primary, sign, every).items()}


def on_fronts(rows: Sequence[Row], primary: str, sign: int, every: Sequence[Cost]) -> dict[str, list[Row]]:
    """The same as rows, which may be of several models: the first baseline is what costs must be comparable with."""
    base, found = baseline_of(rows), {}
    for cost in every:
        known = [row for row in rows if None not in (row[primary], row.get(cost.column))]
        known = [row for row in known if costs.incomparable(cost, row, base) is None]
        spent = [-row[cost.column] if cost.higher_is_better else row[cost.column] for row in known]
        on = pareto.pareto_front(spent, [row[primary] for row in known], higher_is_better=sign > 0)
        found[cost.metric] = [row for row, is_on in zip(known, on, strict=True) if is_on]
    return found


def _not_all(cost: Cost, rows: Sequence[Row], base: Row) -> str | None:
    """Why a cost is no dimension of these rows; None where all have one that can be compared. A reason that is not that
    of all rows names its precision."""
    missing = [row["precision"] for row in rows if row[cost.column] is None]
    if missing:
        return "not measured" if len(missing) == len(rows) else f"not measured for {', '.join(missing)}"
    reasons = {row["precision"]: costs.incomparable(cost, row, base) for row in rows}
    name, reason = next(((name, reason) for name, reason in reasons.items() if reason), ("", None))
    return f"{name}: {reason}" if len(set(reasons.values())) > 1 else reason


def baseline_of(rows: Sequence[Row]) -> Row:
    """The baseline's row."""
    return next(row for row in rows if row["baseline"])


NOBODY, UNMEASURED, ONLY, BEST = "nobody", "unmeasured", "only", "best"


@dataclass(frozen=True)
class Choice:
    """The recommended precision of one model and condition under one preference, and how it came to be."""

    precision: str | None  # None where nothing can be recommended
    why: str  # nobody (can be compared), unmeasured (the preferred cost), only (one candidate), best
    cost: Cost  # the preferred one
    values: Mapping[str, float] = field(default_factory=dict)  # of it, by candidate
    tied: Sequence[str] = ()  # candidates as good as the best (see `recommend`), the chosen one among them
    by_intervals: bool = False  # whether some of these are tied because their intervals overlap
    decided_by: Cost | None = None  # the cost that broke the tie
    runner_up: str | None = None
    not_considered: Mapping[str, str] = field(default_factory=dict)  # accepted precisions, and why not


def recommend(rows: Sequence[Row], accepted: Sequence[str], prefer: str) -> Choice:
    """The precision with the best of the preferred cost, among the accepted ones of a model and condition.

    The baseline is accepted as it is, and a candidate as every other. Those within `TIE` of the best cost, or whose
    interval overlaps the best one's, are tied. Of several tied ones those are kept that no other is clearly faster
    than, then those that no other needs clearly less energy than, where that was metered; of what is left the baseline
    is taken, else the one of the least cost. The runner-up is what would be recommended without the recommended one.
    """
    base, cost = baseline_of(rows), costs.preferred(prefer, rows)
    asked = [row for row in rows if row is base or row["precision"] in accepted]
    left = {row["precision"]: _why_not(cost, row, base) for row in asked}
    candidates = [row for row in asked if left[row["precision"]] is None]
    not_considered = {name: reason for name, reason in left.items() if reason is not None}
    if not candidates:
        measured = any(costs.unusable(row, base) is None for row in asked)
        return Choice(None, UNMEASURED if measured else NOBODY, cost, not_considered=not_considered)
    best, tied, decided = _best(candidates, cost, rows)
    others = [row for row in candidates if row is not best]
    return Choice(
        best["precision"],
        BEST if others else ONLY,
        cost,
        {row["precision"]: row[cost.column] for row in candidates},
        [row["precision"] for row in tied],
        any(not _within(row, tied, cost) for row in tied),
        decided,
        _best(others, cost, rows)[0]["precision"] if others else None,
        not_considered,
    )


def _why_not(cost: Cost, row: Row, base: Row) -> str | None:
    if reason := costs.incomparable(cost, row, base):
        return reason
    return f"{cost.name} not measured" if row[cost.column] is None else None


def _best(candidates: Sequence[Row], cost: Cost, rows: Sequence[Row]) -> tuple[Row, list[Row], Cost | None]:
    """The best of these, those that are tied with it in the preferred cost, and what broke the tie."""
    least = min(candidates, key=lambda row: row[cost.column])
    tied = [
        row
        for row in candidates
        if _within(row, candidates, cost) or costs.overlapping(cost.interval(row), cost.interval(least))
    ]
    kept, decided = tied, None
    for other in (LATENCY, ENERGY):
        if len(kept) > 1 and other is not cost and not costs.dependent(other, rows):
            fewer = _unbeaten(kept, other)
            decided = other if len(fewer) < len(kept) else decided
            kept = fewer
    return min(kept, key=lambda row: (not row["baseline"], row[cost.column])), tied, decided


def _within(row: Row, rows: Sequence[Row], cost: Cost) -> bool:
    """Whether a precision's cost is within `TIE` of the least of these."""
    return row[cost.column] <= (1 + TIE) * min(other[cost.column] for other in rows)


def _unbeaten(rows: Sequence[Row], cost: Cost) -> list[Row]:
    """Those than which no other has clearly less of a cost; all where it cannot be compared for one of them."""
    if any(costs.incomparable(cost, row, row) or row[cost.column] is None for row in rows):
        return list(rows)
    least = min(rows, key=lambda row: row[cost.column])
    return [row for row in rows if costs.relation(cost, row, least).kind != costs.MORE]
