"""What is said of a precision's costs: values in readable units, and how they stand to the baseline's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bitbudget.judging import costs
from bitbudget.judging.costs import Cost, Relation, Row
from bitbudget.measuring.phase_names import NO_REASON
from bitbudget.telling import wording

Record = Mapping[str, Any]

TIMES = "\N{MULTIPLICATION SIGN}"
MIB = 2**20 / 1e6  # in MB
# Those of which a trade speaks; an estimated energy is left to the latency that it is made of.
TRADED = (costs.SIZE, costs.WEIGHTS, costs.PEAK, costs.LATENCY, costs.ENERGY)


@dataclass(frozen=True)
class Column:
    """A cost as it is written for one model and condition: all its values in one unit."""

    cost: Cost
    factor: float  # from the cost's unit to the written one
    unit: str
    note: str  # what qualifies all values: "estimated", "resident set"; empty where they differ or nothing does

    @property
    def name(self) -> str:
        """As within a sentence."""
        return self.cost.name

    def number(self, value: float) -> str:
        """A value without its unit."""
        return wording.number(value * self.factor)

    def written(self, value: float) -> str:
        """A value with its unit; the memory of a GPU in MiB as well, in which its maker states it."""
        shown = f"{self.number(value)} {self.unit}"
        in_mib = self.cost is costs.PEAK and self.note not in ("", costs.RESIDENT)
        return f"{shown} ({wording.number(value / MIB)} MiB)" if in_mib else shown


def columns(track: ModuleType, rows: Sequence[Row], study: Sequence[Row] = ()) -> list[Column]:
    """The costs of one model and condition, in the order in which tables have them.

    `study` holds the rows of all of the study's, which have the same units.
    """
    rates = [costs.rate(track, size) for size in _batch_sizes(track, rows[0] if rows else {})]
    every = [*costs.COSTS[:4], *rates, *costs.COSTS[4:]]
    return [_column(cost, rows, study) for cost in every]


def further(rows: Sequence[Row], study: Sequence[Row] = ()) -> list[Column]:
    """The rates of the phases of a generated text, for which tables have no room; none of what has no such phases."""
    return [_column(cost, rows, study) for cost in costs.PHASE_RATES if rows and cost.column in rows[0]]


def speed(track: ModuleType, names: Iterable[str]) -> tuple[str, str]:
    """The column of the summary that tells how fast a model is, and its heading: "images/s (batch 8)".

    It is the track's rate of the largest batches, or the latency where `names`, the columns, have no rate.
    """
    sizes = _batch_sizes(track, names)
    if not sizes:
        return costs.LATENCY.column, f"{costs.LATENCY.name} ({costs.LATENCY.unit})"
    rate = costs.rate(track, sizes[-1])
    return rate.column, f"{rate.unit} (batch {sizes[-1]})"


def _batch_sizes(track: ModuleType, names: Iterable[str]) -> list[int]:
    """Those at which the track's rate was measured, by the columns of the summary."""
    pattern = re.escape(costs.rate(track, 0).column).replace("0", r"(\d+)")
    return sorted(int(found[1]) for name in names if (found := re.fullmatch(pattern, name)))


def _column(cost: Cost, rows: Sequence[Row], study: Sequence[Row]) -> Column:
    values = [row[cost.column] for row in (*rows, *study) if row.get(cost.column) is not None]
    factor, unit = wording.unit_for(cost.unit, max(values, default=0.0))
    notes = {_note(cost, row) for row in rows if row.get(cost.column) is not None}
    return Column(cost, factor, unit, notes.pop() if len(notes) == 1 else "")


def _note(cost: Cost, row: Row) -> str:
    """How the value was had, or what kind it is."""
    if cost is costs.PEAK:
        return row["peak_memory_kind"] or ""
    return (row["energy_how"] or "") if cost in (costs.ENERGY, costs.CARBON) else ""


def told(column: Column, row: Row, base: Row, measured: Record) -> dict[str, Any]:
    """A cost of a precision as data and words: its value or why there is none, and how it stands to the baseline's."""
    cost = column.cost
    value = row.get(cost.column)
    if value is None:
        return {"absent": _absent(measured, cost)}
    interval = cost.interval(row)
    found = {
        "value": value,
        "ci": list(interval) if interval else None,
        "text": column.number(value),
        "with_unit": column.written(value),
        "interval": f"[{', '.join(column.number(end) for end in interval)}]" if interval else "",
        "note": _note(cost, row),
    }
    if not interval and cost is costs.LATENCY:
        found["no_interval"] = no_interval(measured)
    disturbed = row.get("disturbed") if cost.timed else None
    if disturbed:
        found["remark"] = f"the timings were disturbed: {disturbed}"
    if row["baseline"]:
        return found
    stands = costs.relation(cost, row, base)
    return (
        found
        | {
            "relation": stands.kind,
            "factor": stands.factor,
            "times": times(stands),
            "word": word(cost, stands),
            "better": stands.better(cost),
            "sentence": compared(column, stands),
        }
        | ({"incomparable": stands.reason} if stands.reason else {})
    )


def times(stands: Relation) -> str:
    """A factor as it is written: "0.52\N{MULTIPLICATION SIGN}"; empty where nothing is compared."""
    return "" if stands.factor is None else f"{stands.factor:.2f}{TIMES}"


def word(cost: Cost, stands: Relation) -> str:
    """The factor's meaning: "faster"; "not clearly faster" where the intervals overlap."""
    said = cost.less if (stands.factor or 0) < 1 else cost.more
    others = {
        costs.SAME_COST: "about the same",
        costs.UNCLEAR: f"not clearly {said}",
        costs.INCOMPARABLE: "not compared",
    }
    return others.get(stands.kind, said)


def compared(column: Column, stands: Relation) -> str:
    """A cost against the baseline's: "latency 1.53\N{MULTIPLICATION SIGN}: slower"."""
    if stands.kind == costs.INCOMPARABLE:
        return f"{column.name} not compared: {stands.reason}"
    doubt = " (without an interval)" if stands.without_interval and stands.kind != costs.SAME_COST else ""
    return f"{column.name} {times(stands)}: {word(column.cost, stands)}{doubt}"


def best(column: Column, rows: Sequence[Row], base: Row) -> str:
    """Which precision is clearly best in a cost, without a full stop: "int8 has the lowest latency: 12 ms instead of
    18 ms (0.67\N{MULTIPLICATION SIGN})"."""
    cost, own = column.cost, base.get(column.cost.column)
    if own is None:
        return f"{column.name}: not measured for {base['precision']}"
    of_base = f"{base['precision']} ({column.number(own)} {column.unit})"
    stands = {row["precision"]: costs.relation(cost, row, base) for row in rows if row is not base}
    better = [row for row in rows if row is not base and stands[row["precision"]].better(cost)]
    if better:
        row = (max if cost.higher_is_better else min)(better, key=lambda one: one[cost.column])
        write, most = (
            (column.number, f"the most {column.name}") if cost.higher_is_better else (column.written, cost.best)
        )
        told = f"{write(row[cost.column])} instead of {write(own)}"
        return f"{row['precision']} has {most}: {told} ({times(stands[row['precision']])})"
    if all(one.kind == costs.INCOMPARABLE for one in stands.values()):
        if not stands:
            return f"{column.name} of {of_base}"
        return f"no precision's {column.name} can be compared with {base['precision']}'s"
    said = cost.more if cost.higher_is_better else cost.less
    return f"no precision {'needs' if ' ' in said else 'is'} clearly {said} than {of_base}"


def trade(row: Row, base: Row, rows: Sequence[Row], first: Cost | None = None) -> dict[str, Any]:
    """What a precision clearly wins and pays against another: `won` and `paid`, and both in a phrase.

    `first` is the cost that is spoken of first. Only what can be compared counts, and what differs by at least 5 % with
    intervals apart.
    """
    won, paid = [], []
    memory = costs.memory(rows)
    for cost in sorted(TRADED, key=lambda one: one is not first):
        if (cost in (costs.WEIGHTS, costs.PEAK) and cost is not memory) or costs.dependent(cost, rows):
            continue
        stands = costs.relation(cost, row, base)
        if stands.better(cost) is None:
            continue
        (won if stands.better(cost) else paid).append(_of_trade(cost, stands))
    text = ", but ".join(part for part in (wording.listed(won), wording.listed(paid)) if part)
    return {"won": won, "paid": paid, "trade": text}


def _of_trade(cost: Cost, stands: Relation) -> str:
    """ "0.54x the size on disk", "1.6x slower"."""
    if cost is costs.LATENCY:
        factor = stands.factor if stands.factor >= 1 else 1 / stands.factor
        doubt = " (without an interval)" if stands.without_interval else ""
        return f"{_round(factor)}{TIMES} {word(cost, stands)}{doubt}"
    return f"{stands.factor:.2f}{TIMES} the {cost.name}"


def _round(factor: float) -> str:
    return f"{factor:.1f}" if factor < 10 else f"{factor:.0f}"


def no_interval(measured: Record) -> str:
    """Why a median has no interval: "a single run of 5 calls gives no interval"."""
    calls = measured["metrics"].get("latency", {}).get("n") or 0
    runs = len(measured.get("repeats", []))
    counted = f"{calls} call{'s' * (calls != 1)}"
    return f"a single run of {counted} gives no interval" if runs <= 1 else f"{runs} runs of {counted} give no interval"


def _absent(measured: Record, cost: Cost) -> str:
    """Why a cost was not measured."""
    metrics = measured["metrics"]
    found = metrics.get(cost.metric) or metrics.get("energy_per_item" if "carbon" in cost.metric else "latency") or {}
    return found.get("absent") or NO_REASON
