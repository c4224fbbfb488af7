"""Which precision to take: what was measured of each, the Pareto front, and the least cost among those good enough.

Rows are those of summary.csv as dicts, an empty cell being None. A cost is compared only where it was measured, and on
the baseline's machine: a simulated precision claims no size and no speed, and one whose audit failed is not what its
name says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitbudget.judging import pareto, summary
from bitbudget.telling import wording
from bitbudget.telling.wording import Words

Row = Mapping[str, Any]

RESIDENT = "resident set"
TIE = 0.01  # costs this near each other are as good as the same
SAME = ("device", "threads", "hardware")  # what must be the baseline's for a cost to be compared with its


@dataclass(frozen=True)
class Cost:
    """A cost: its column in summary.csv, its unit there, and how sentences speak of it."""

    column: str
    unit: str
    name: str
    least: str

    def interval(self, row: Row) -> tuple[float, float] | None:
        """The 95 % interval of its value, where the summary has one."""
        stem, _, unit = self.column.rpartition("_")
        ends = [row.get(f"{stem}_ci_{end}_{unit}") for end in ("low", "high")]
        return None if None in ends else (ends[0], ends[1])

    def written(self, value: float, beside: float) -> str:
        """A value with its unit, in the unit in which the larger of the two is easy to read."""
        factor, unit = wording.unit_for(self.unit, max(value, beside))
        return f"{wording.number(value * factor)} {unit}"


SIZE = Cost("size_on_disk_MB", "MB", "size on disk", "the smallest size on disk")
WEIGHTS = Cost("weights_in_memory_MB", "MB", "weights in memory", "the smallest weights in memory")
PEAK = Cost("peak_memory_MB", "MB", "peak memory", "the lowest peak memory")
LATENCY = Cost("latency_median_s", "s", "latency", "the lowest latency")
ENERGY = Cost("energy_per_item_J", "J", "energy per item", "the least energy per item")
COSTS = (SIZE, WEIGHTS, PEAK, LATENCY, ENERGY)


def memory(rows: Sequence[Row]) -> Cost:
    """The memory that tells these precisions apart, as in the figure of memory.

    The peak; but where it is the largest resident set of a whole process, in which the libraries hide the model, or
    was not measured: the weights in memory, if these are known.
    """
    peaks = [row for row in rows if row["peak_memory_MB"] is not None]
    hidden = not peaks or any(row["peak_memory_kind"] == RESIDENT for row in peaks)
    return WEIGHTS if hidden and any(row["weights_in_memory_MB"] is not None for row in rows) else PEAK


def preferred(prefer: str, rows: Sequence[Row]) -> Cost:
    """The cost that a study's `accept.prefer` means."""
    return {"size": SIZE, "latency": LATENCY, "energy": ENERGY}.get(prefer) or memory(rows)


def unusable(row: Row, baseline: Row) -> str | None:
    """Why a precision's costs cannot be held against the baseline's; None where they can."""
    if row["simulated"] is not None:
        return "only simulated by rounding, so no cost was measured"
    if row["audit_passed"] is None:
        return "not audited, so the checkpoint may not be what the precision asks for"
    if not row["audit_passed"]:
        return "audit failed: the checkpoint is not what the precision asks for"
    if not all(row[name] == baseline[name] or None in (row[name], baseline[name]) for name in SAME):
        return "measured on another machine, device or number of threads than the baseline"
    return None


@dataclass(frozen=True)
class Front:
    """The Pareto front of one model and condition."""

    on: Mapping[str, bool]  # by precision; one that is not compared is not among them
    absent: Mapping[str, str]  # why not, by precision
    dimensions: Sequence[str]
    left_out: Mapping[str, str]  # dimensions in which precisions were not compared, and why

    def sentence(self) -> str:
        """Which precisions are on it, over what."""
        if not self.on:
            return "there is no Pareto front: no precision has a quality and a cost to compare"
        names = [name for name, on in self.on.items() if on]
        missing = "".join(f"; without {name} ({reason})" for name, reason in self.left_out.items())
        return f"Pareto front over {wording.listed(self.dimensions)}: {', '.join(names)}{missing}"


def front(rows: Sequence[Row], primary: str, words: Words) -> Front:
    """The Pareto front over quality, latency, memory, size and energy, of one model and condition.

    A dimension that is absent for one of the precisions that can be compared is left out. What was measured counts as
    it is: points are compared, not their intervals.
    """
    base = _baseline(rows)
    absent = {row["precision"]: reason for row in rows if (reason := unusable(row, base))}
    absent |= {
        row["precision"]: f"there is no {words.label} of it"
        for row in rows
        if row["precision"] not in absent and row[primary] is None
    }
    compared = [row for row in rows if row["precision"] not in absent]
    costs = [LATENCY, memory(compared), SIZE, ENERGY]
    missing = {cost: [row["precision"] for row in compared if row[cost.column] is None] for cost in costs}
    left_out = {
        cost.name: "not measured" if len(names) == len(compared) else f"not measured for {', '.join(names)}"
        for cost, names in missing.items()
        if names
    }
    used = [cost for cost in costs if not missing[cost]]
    if not used:  # quality alone makes no front
        absent |= {row["precision"]: "no cost was measured of all precisions" for row in compared}
        return Front({}, absent, [], left_out)
    points = [(-words.sign * row[primary], *(row[cost.column] for cost in used)) for row in compared]
    on = dict(zip((row["precision"] for row in compared), pareto.front(points), strict=True))
    return Front(on, absent, [words.label, *(cost.name for cost in used)], left_out)


def _baseline(rows: Sequence[Row]) -> Row:
    return next(row for row in rows if row["baseline"])


@dataclass(frozen=True)
class Choice:
    """The recommended precision, None where nothing can be, and the sentence that says why."""

    precision: str | None
    sentence: str


def recommend(
    rows: Sequence[Row], accepted: Sequence[str], prefer: str, primary: str, words: Words, at_worst: Mapping[str, str]
) -> Choice:
    """The precision with the least of the preferred cost, among the accepted ones of a model and condition.

    The baseline is accepted as it is, and a candidate as every other. `at_worst` says of each precision what it would
    cost to be wrong. Of several within `TIE` of the least cost the baseline is taken, else the one of the best quality,
    else the cheaper: a few bytes are no reason to take what may lose more.
    """
    base = _baseline(rows)
    cost = preferred(prefer, rows)
    left = {row["precision"]: unusable(row, base) for row in rows if row is base or row["precision"] in accepted}
    candidates = [row for row in rows if row["precision"] in left and left[row["precision"]] is None]
    valued = [row for row in candidates if row[cost.column] is not None]
    if not valued:
        reason = "no accepted precision can be compared"
        if candidates:
            reason = f"{cost.name} was measured for no accepted precision{_why(base, cost)}"
        return Choice(None, f"nothing is recommended: {reason}{_not_considered(left, [], cost)}")
    cheapest = min(valued, key=lambda row: row[cost.column])
    tied = [row for row in valued if row[cost.column] <= (1 + TIE) * cheapest[cost.column]]
    best = min(tied, key=lambda row: _order(row, cost, primary, words))
    doubts = _doubts(best, valued, cost) + _not_considered(left, candidates, cost)
    if best is base:
        reason = _nothing_better(valued, base, cost) if len(rows) > 1 else "it is the only precision"
        return Choice(base["precision"], f"{base['precision']}, the baseline: {reason}{doubts}")
    among = f"only its {cost.name} is known"
    if len(valued) > 1:
        among = f"{_of_those(valued, base)} it has {cost.least}"
        if best[cost.column] > cheapest[cost.column]:
            near = f"it is within {100 * TIE:g} % of {cost.least}, and of those that are it has the best {words.label}"
            among = f"{_of_those(valued, base)} {near}"
    won = f"against {base['precision']}: {_won(best, base, cost)}"
    return Choice(best["precision"], f"{best['precision']}: {among}; {won}; {at_worst[best['precision']]}{doubts}")


def _of_those(valued: Sequence[Row], base: Row) -> str:
    others = [row for row in valued if row is not base]
    accepted = f"of {len(others)} accepted {'precision' if len(others) == 1 else 'precisions'}"
    return f"{accepted} and the baseline" if len(others) < len(valued) else accepted


def _order(row: Row, cost: Cost, primary: str, words: Words) -> tuple[bool, float, float]:
    quality = words.sign * row[primary] if row[primary] is not None else float("-inf")
    return (not row["baseline"], -quality, row[cost.column])


def _why(row: Row, cost: Cost) -> str:
    """The reason that the summary's notes give for an absent cost, in brackets."""
    metric = summary.COSTS[cost.column][0]
    for note in (row["notes"] or "").split(" | "):
        names, _, reason = note.partition(": ")
        if metric in names.split(", "):
            return f" ({reason.rstrip('.')})"
    return ""


def _nothing_better(valued: Sequence[Row], base: Row, cost: Cost) -> str:
    if len(valued) == 1:
        return "no other precision is both accepted and measured"
    numbers = (f"{row['precision']} {cost.written(row[cost.column], row[cost.column])}" for row in valued)
    if any(row[cost.column] < base[cost.column] for row in valued):
        return f"no candidate has less {cost.name} by more than {100 * TIE:g} % ({', '.join(numbers)})"
    return f"it has {cost.least} of all candidates ({', '.join(numbers)})"


def _won(best: Row, base: Row, first: Cost) -> str:
    """Every cost of the two, the preferred one first."""
    parts, gone = [], []
    for cost in (first, *(one for one in COSTS if one is not first)):
        new, old = best[cost.column], base[cost.column]
        if new is None or old is None:
            whose = "" if new is old else f" for {best['precision'] if new is None else base['precision']}"
            gone.append(f"{cost.name} not measured{whose}")
            continue
        factor = f"{new / old:.2f}\N{MULTIPLICATION SIGN}" if old else ""
        overlap = ", intervals overlap" if _overlap(best, base, cost) else ""
        parts.append(f"{cost.name} {cost.written(new, old)} instead of {cost.written(old, new)} ({factor}{overlap})")
    return ", ".join(parts + gone)


def _overlap(one: Row, other: Row, cost: Cost) -> bool:
    a, b = cost.interval(one), cost.interval(other)
    return a is not None and b is not None and a[0] <= b[1] and b[0] <= a[1]


def _doubts(best: Row, valued: Sequence[Row], cost: Cost) -> str:
    """Which others' cost is the same, or so near that their order may be chance."""
    others = [row for row in valued if row is not best]
    same = [row["precision"] for row in others if row[cost.column] == best[cost.column]]
    near = [row["precision"] for row in others if row["precision"] not in same and _overlap(best, row, cost)]
    said = f"; {wording.listed(same)} {'has' if len(same) == 1 else 'have'} the very same {cost.name}" if same else ""
    if near:
        said += f"; its {cost.name} interval overlaps that of {wording.listed(near)}, so their order may be chance"
    return said


def _not_considered(left: Mapping[str, str | None], candidates: Sequence[Row], cost: Cost) -> str:
    """Which accepted precisions are no candidates, and why."""
    reasons: dict[str, list[str]] = {}
    for precision, reason in left.items():
        if reason is not None:
            reasons.setdefault(reason, []).append(precision)
    unmeasured = [row["precision"] for row in candidates if row[cost.column] is None]
    if unmeasured:
        reasons[f"{cost.name} not measured"] = unmeasured
    return "".join(f"; not considered: {', '.join(names)} ({reason})" for reason, names in reasons.items())
