"""What is said of the recommended precision: why it is, what it wins and costs, and what would be the next best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.judging import costs, recommendation
from bitbudget.judging.costs import Row
from bitbudget.judging.recommendation import Choice, Front
from bitbudget.telling import costs as told
from bitbudget.telling import wording
from bitbudget.telling.costs import Column
from bitbudget.telling.wording import Words

NOTHING = "nothing is recommended"
ONE_PERCENT = f"{100 * recommendation.TIE:g} %"


def of(
    choice: Choice, prefer: str, rows: Sequence[Row], columns: Sequence[Column], at_worst: Mapping[str, str]
) -> dict[str, Any]:
    """A recommendation as data and sentences. `at_worst` says of each precision what it would cost to be wrong."""
    base = recommendation.baseline_of(rows)
    by_name = {row["precision"]: row for row in rows}
    column = next(one for one in columns if one.cost == choice.cost)
    stands_in = "; memory cannot be told apart here, so size on disk stands for it"
    for_memory = stands_in if prefer == "memory" and choice.cost is costs.SIZE else ""
    found: dict[str, Any] = {"prefer": prefer, "cost": choice.cost.metric, "precision": choice.precision}
    if choice.precision is None:
        why = "no accepted precision can be compared"
        if choice.why == recommendation.UNMEASURED:
            why = f"{choice.cost.name} cannot be compared for any accepted precision"
        sentence = f"{NOTHING}: {'; '.join([why, *_not_considered(choice)])}"
        clauses = [why, *_not_considered(choice)]
        return found | {
            "sentence": sentence, "clauses": clauses, "short": NOTHING, "reason": why, "trade": "", "won": [],
            "paid": [],
        }  # fmt: skip
    row = by_name[choice.precision]
    traded = told.trade(row, base, rows, choice.cost) if row is not base else {"won": [], "paid": [], "trade": ""}
    reason = _reason(choice, row, base, column, alone=len(rows) == 1)
    parts = [reason + for_memory, *([f"against {base['precision']}: {traded['trade']}"] if traded["trade"] else [])]
    parts += [at_worst[choice.precision]] if row is not base else []
    runner = _runner_up(choice, by_name, rows)
    parts += [runner] if runner else []
    parts += _not_considered(choice)
    name = f"{choice.precision}, the baseline" if row is base else choice.precision
    more = ", the baseline" if row is base else f", {traded['trade']}" if traded["trade"] else ""
    return (
        found
        | traded
        | {
            "sentence": f"{name}: {'; '.join(parts)}",
            "clauses": parts,
            "short": f"{choice.precision}{more}",
            "reason": reason,
            "runner_up": choice.runner_up,
            "runner_up_sentence": runner,
        }
    )


def _reason(choice: Choice, row: Row, base: Row, column: Column, *, alone: bool) -> str:
    """Why this precision is taken; `alone` where there is no other."""
    cost = choice.cost
    if choice.why == recommendation.ONLY:
        if row is base:
            return "the study has no other precision" if alone else "no other precision is both accepted and comparable"
        return f"the only accepted precision of which {cost.name} can be compared"
    value = column.written(row[cost.column])
    if row is base:
        apart = " with an interval apart" if choice.by_intervals else ""
        return f"in {cost.name}, no accepted precision is more than {ONE_PERCENT} below its {value}{apart}"
    among = len(choice.values) - (base["precision"] in choice.values)
    of = f"of {among} accepted {'precision' if among == 1 else 'precisions'}"
    of += " and the baseline" if base["precision"] in choice.values else ""
    before = "" if base[cost.column] is None else f", {value} instead of {column.written(base[cost.column])}"
    others = [name for name in choice.tied if name != choice.precision]
    if not others:
        return f"{of} it has {cost.best}{before}"
    near = "as far as intervals tell" if choice.by_intervals else f"to within {ONE_PERCENT}"
    tie = f"{of} it has {cost.best} {near}{before}, as {wording.listed(others)}"
    has = "has" if len(others) == 1 else "have"
    decided = choice.decided_by
    better = (
        f", and is {decided.less}" if decided is costs.LATENCY else f", and needs {decided.less}" if decided else ""
    )
    return f"{tie} {has}{better}"


def _runner_up(choice: Choice, by_name: Mapping[str, Row], rows: Sequence[Row]) -> str:
    """The next best, and what it would win and cost beside the recommended one."""
    if choice.runner_up is None:
        return ""
    traded = told.trade(by_name[choice.runner_up], by_name[choice.precision], rows, choice.cost)
    trade = traded["trade"] or "with no clear difference in any cost that can be compared"
    return f"runner-up: {choice.runner_up} ({trade}, against {choice.precision})"


def _not_considered(choice: Choice) -> list[str]:
    """Which accepted precisions are no candidates, and why."""
    reasons: dict[str, list[str]] = {}
    for precision, reason in choice.not_considered.items():
        reasons.setdefault(reason, []).append(precision)
    return [f"not considered: {', '.join(names)} ({reason})" for reason, names in reasons.items()]


def front(found: Front, words: Words) -> str:
    """Which precisions are on the Pareto front, over what."""
    if not found.on:
        return "there is no Pareto front: no precision has a quality and a cost to compare"
    names = [name for name, on in found.on.items() if on]
    missing = "".join(f"; without {name} ({reason})" for name, reason in found.left_out.items())
    dimensions = [words.label, *(cost.name for cost in found.costs)]
    return f"Pareto front over {wording.listed(dimensions)}: {', '.join(names)}{missing}"


def on_front(found: Front, precision: str) -> str:
    """Whether a precision is on the Pareto front."""
    if precision in found.absent:
        return f"left out of the Pareto front: {found.absent[precision]}"
    if found.on[precision]:
        return "on the Pareto front"
    return "not on the Pareto front: another is as good in everything and better in one"
