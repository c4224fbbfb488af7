"""What a precision costs: one table of costs, and one judgement of how two precisions stand to each other in one.

A cost is held against the baseline's only where the two can be compared: the checkpoint is what its name says, both
were measured on the same machine, nothing disturbed the timings, and the number tells the two models apart (the
largest resident set of a whole process does not: its libraries hide a small model).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

Row = Mapping[str, Any]  # of summary.csv; an empty cell is None

ALIKE = 0.05  # a relative difference of a cost below this is not worth a sentence
RESIDENT = "resident set"
SAME = ("device", "threads", "hardware")  # must be the baseline's for what was measured to be compared with its


@dataclass(frozen=True)
class Cost:
    """A cost or a rate: where it stands, its unit there, and its words."""

    metric: str  # in measurements.json
    column: str  # in summary.csv
    unit: str
    name: str  # "latency"
    less: str  # said of a precision that has less of it: "faster"
    more: str
    best: str  # "the lowest latency"
    timed: bool = True  # depends on how fast the machine ran, so a disturbed measurement says nothing of it
    higher_is_better: bool = False
    ends: str = ""  # the columns of its 95 % interval, with {} for low and high; empty where it has none

    def interval(self, row: Row) -> tuple[float, float] | None:
        """The 95 % interval of its value, in its unit, where the summary has one."""
        ends = [row.get(self.ends.format(end)) for end in ("low", "high")]
        return None if None in ends else (ends[0], ends[1])


SIZE = Cost(
    "size_on_disk",
    "size_on_disk_MB",
    "MB",
    "size on disk",
    "smaller",
    "larger",
    "the smallest size on disk",
    timed=False,
)
WEIGHTS = Cost(
    "weights_in_memory", "weights_in_memory_MB", "MB", "weights in memory", "less memory", "more memory",
    "the least memory for its weights", timed=False,
)  # fmt: skip
PEAK = Cost(
    "peak_memory",
    "peak_memory_MB",
    "MB",
    "peak memory",
    "less memory",
    "more memory",
    "the lowest peak memory",
    timed=False,
)
LATENCY = Cost(
    "latency", "latency_median_s", "s", "latency", "faster", "slower", "the lowest latency",
    ends="latency_median_ci_{}_s",
)  # fmt: skip
ENERGY = Cost(
    "energy_per_item",
    "energy_per_item_J",
    "J",
    "energy per item",
    "less energy",
    "more energy",
    "the least energy per item",
    ends="energy_per_item_ci_{}_J",
)
CARBON = Cost(
    "carbon_per_item", "carbon_per_1000_items_g", "g", "CO\N{SUBSCRIPT TWO}e per 1000 items", "less carbon",
    "more carbon", "the least CO\N{SUBSCRIPT TWO}e",
)  # fmt: skip
# Columns of what is measured at every batch size: the size, and "" or the end of an interval.
RATES = {"throughput": "throughput_batch_{}{}_items_per_s", "token_rate": "tokens_per_s_batch_{}{}"}
COSTS = (SIZE, WEIGHTS, PEAK, LATENCY, ENERGY, CARBON)
PHASE_RATES = (
    Cost("prefill_rate", "prefill_tokens_per_s", "tokens/s", "prefill tokens/s", "slower", "faster",
         "the most prefill tokens/s", higher_is_better=True),
    Cost("decode_rate", "decode_tokens_per_s", "tokens/s", "decode tokens/s", "slower", "faster",
         "the most decode tokens/s", higher_is_better=True),
)  # fmt: skip


def rate(track: ModuleType, batch_size: int) -> Cost:
    """The speed that the track is told by, at a batch size: its `RATE` is a metric's name without it, and a unit."""
    metric, unit = track.RATE
    column = RATES[metric]
    return Cost(
        f"{metric}_{batch_size}", column.format(batch_size, ""), unit, f"{unit} at batch size {batch_size}", "slower",
        "faster", f"the most {unit}", higher_is_better=True, ends=column.format(batch_size, "_ci_{}"),
    )  # fmt: skip


def unusable(row: Row, baseline: Row) -> str | None:
    """Why a precision cannot be held against the baseline as a whole; None where it can."""
    if reason := unproven(row):
        return reason
    if not all(row[name] == baseline[name] or None in (row[name], baseline[name]) for name in SAME):
        return "measured on another machine, device or number of threads than the baseline"
    return None


def unproven(row: Row) -> str | None:
    """Why a precision has no cost at all; None where its checkpoint is what its name says."""
    if row["simulated"] is not None:
        return "only simulated by rounding, so no cost was measured"
    if row["audit_passed"] is None:
        return "not audited, so the checkpoint may not be what the precision asks for"
    if not row["audit_passed"]:
        return "audit failed: the checkpoint is not what the precision asks for"
    return None


def incomparable(cost: Cost, row: Row, baseline: Row) -> str | None:
    """Why a precision's value of a cost cannot be held against the baseline's; None where it can."""
    if reason := unproven(row) if cost is SIZE else unusable(row, baseline):  # a file is as large on every machine
        return reason
    if cost is PEAK and RESIDENT in (row["peak_memory_kind"], baseline["peak_memory_kind"]):
        return "it is the largest resident set of the whole process, whose libraries hide the model"
    if cost.timed:
        for one, whose in ((row, "its"), (baseline, "the baseline's")):
            if reason := one.get("disturbed"):
                return f"{whose} timings were disturbed: {reason}"
    return None


def dependent(cost: Cost, rows: Sequence[Row]) -> str | None:
    """Why a cost is no dimension of its own: an estimated energy is a time multiplied by watts."""
    if cost is ENERGY and any(row["energy_how"] == "estimated" for row in rows):
        return "it is estimated as time times watts, so it tells what latency tells"
    return None


def memory(rows: Sequence[Row]) -> Cost:
    """The memory that tells these precisions apart: the peak, or the weights where the peak cannot be compared."""
    peaks = [row for row in rows if row["peak_memory_MB"] is not None]
    hidden = not peaks or any(row["peak_memory_kind"] == RESIDENT for row in peaks)
    return WEIGHTS if hidden and any(row["weights_in_memory_MB"] is not None for row in rows) else PEAK


def preferred(prefer: str, rows: Sequence[Row]) -> Cost:
    """The cost that `accept.prefer` means: where no memory tells the precisions apart, their size stands for it."""
    if prefer != "memory":
        return {"size": SIZE, "latency": LATENCY, "energy": ENERGY}[prefer]
    known = memory(rows)
    peaks = [row for row in rows if row["peak_memory_MB"] is not None]
    hidden = not peaks or any(row["peak_memory_kind"] == RESIDENT for row in peaks)
    return SIZE if known is PEAK and hidden else known


LESS, MORE, SAME_COST, UNCLEAR, INCOMPARABLE = "less", "more", "same", "unclear", "not compared"


@dataclass(frozen=True)
class Relation:
    """How a precision's cost stands to the baseline's."""

    kind: str  # less, more, same, unclear (the intervals overlap) or not compared
    factor: float | None = None  # of the baseline's value
    reason: str = ""  # why it is not compared
    without_interval: bool = False  # a timed cost of which a single short run gave no interval

    def better(self, cost: Cost) -> bool | None:
        """Whether it is clearly better than the baseline (True) or clearly worse (False); None where neither."""
        if self.kind not in (LESS, MORE):
            return None
        return (self.kind == MORE) == cost.higher_is_better


def relation(cost: Cost, row: Row, baseline: Row) -> Relation:
    """How a precision stands to the baseline in a cost, by one threshold (`ALIKE`) and by their intervals."""
    new, old = row.get(cost.column), baseline.get(cost.column)
    if reason := incomparable(cost, row, baseline):
        return Relation(INCOMPARABLE, reason=reason)
    if new is None or not old:
        whose = "the baseline" if new is not None else "this precision"
        return Relation(INCOMPARABLE, reason=f"it was not measured for {whose}")
    factor = new / old
    ends = cost.interval(row), cost.interval(baseline)
    without = bool(cost.ends) and None in ends
    if abs(factor - 1) < ALIKE:
        return Relation(SAME_COST, factor, without_interval=without)
    if overlapping(*ends):
        return Relation(UNCLEAR, factor)
    return Relation(LESS if factor < 1 else MORE, factor, without_interval=without)


def overlapping(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    """Whether two intervals overlap; those that are not there do not."""
    return one is not None and other is not None and one[0] <= other[1] and other[0] <= one[1]
