"""Slides of costs: what the weights and an answer take, and quality against the cost that the study prefers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.figures.small import Panel, Point, Span
from bitbudget.publishing.slides import charts
from bitbudget.publishing.slides.cells import DISTURBED, Cell, written
from bitbudget.publishing.slides.texts import reasons
from bitbudget.publishing.typesetting.texts import capital
from bitbudget.telling import why, wording

Slide = dict[str, Any]
Record = Mapping[str, Any]

COLUMNS = 3  # of bars on a slide


def slides(cell: Cell) -> list[Slide]:
    """What the weights and an answer take, in the costs that a reader compares first, at most three on a slide.

    None where there are other precisions than the baseline, and all are simulated: there is no cost to compare.
    """
    if cell.others and all(entry["simulated"] for entry in cell.others):
        return []
    main = cell.told["main_costs"]
    known = [name for name in main if any(_shown(one["costs"][name]) for one in cell.entries)]
    left = [name for name in main if name not in known]
    # the absence of a cost is told as the record of the baseline's measurement does
    absent = {cell.cost(name)["heading"]: cell.base["costs"][name].get("absent") for name in left}
    notes = reasons({heading: reason for heading, reason in absent.items() if reason})
    first = -(-len(known) // 2) if len(known) > COLUMNS else len(known)
    parts = [part for part in (known[:first], known[first:]) if part]
    return [_bars(cell, part, left if part is parts[-1] else [], notes if part is parts[-1] else []) for part in parts]


def _shown(cost: Record) -> bool:
    """Whether a cost is a bar: one of disturbed timings is none."""
    return "value" in cost and "remark" not in cost


def _bars(cell: Cell, metrics: Sequence[str], left: Sequence[str], more: Sequence[str]) -> Slide:
    """The bars of these costs; `left` are costs without any bar, and `more` is said of them."""
    columns = [
        Panel(_title(cell.cost(metric)), [_span(cell, metric, entry) for entry in cell.entries]) for metric in metrics
    ]
    said = [_said(cell, metric) for metric in metrics]
    named = [(cell.cost(metric)["heading"], cell.cost(metric)["note"]) for metric in metrics]
    notes = [
        *told_of(cell, [*metrics, *left]),
        *more,
        *said[1:],
        *(f"{heading}: {note}." for heading, note in named if note),
    ]
    notes += reasons({one["precision"]: one["incomparable"] for one in cell.entries if one["incomparable"]})
    names = [entry["precision"] for entry in cell.entries]
    return charts.bars(said[0].rstrip("."), cell.heading, notes, names, columns) | {"about": "costs"}


def _said(cell: Cell, metric: str) -> str:
    """Which precision is best in a cost, or why it is not compared at all."""
    whole = {one["incomparable"] for one in cell.entries if one["incomparable"]}
    told = [entry["costs"][metric] for entry in cell.others if not entry["simulated"]]
    why = {cost.get("incomparable") for cost in told} - whole
    if len(why) == 1 and None not in why and not any("remark" in cost for cost in told):
        return f"{cell.cost(metric)['heading']} is not compared: {why.pop()}."
    return f"{capital(cell.cost(metric)['best'])}."


def told_of(cell: Cell, metrics: Sequence[str]) -> list[str]:
    """What a reader has to know of these costs: that timings were disturbed, and remarks."""
    timed = any("remark" in entry["costs"][metric] for metric in metrics for entry in cell.entries)
    disturbed = [f"{capital(cell.told['disturbed'])}."] if timed and cell.told["disturbed"] else []
    return [*disturbed, *(f"{remark}." for remark in cell.told["remarks"])]


def _title(cost: Record) -> str:
    known = cost["name"].startswith(cost["unit"])  # a rate is named by its unit
    return cost["heading"] if known else f"{cost['heading']} ({cost['unit']})"


def _span(cell: Cell, metric: str, entry: Record) -> Span:
    cost, name = entry["costs"][metric], entry["precision"]
    if not _shown(cost) or entry["simulated"]:
        return Span(name, None, text=written(entry, metric))
    text = f"{cost['text']} ({cost['times']})" if cost.get("times") else cost["text"]
    return Span(name, cost["value"] * cell.cost(metric)["factor"], text=text, colour=cell.colours[name])


def speeds(cell: Cell) -> Slide | None:
    """Why precisions are faster or slower than the baseline; None where nothing explains it."""
    said = why.speeds(cell.told)
    if not said:
        return None
    lines = [{"head": "", "text": one} for one in said]
    return {"kind": "points", "title": "Why it is faster or slower", "heading": cell.heading, "lines": lines}


def trade_off(cell: Cell) -> Slide | None:
    """Quality against the cost that the study prefers; None where fewer than two precisions have both."""
    metric = cell.told["recommendation"]["cost"]
    left = {entry["precision"]: reason for entry in cell.entries if (reason := _left_out(cell, entry, metric))}
    shown = [entry for entry in cell.entries if entry["precision"] not in left]
    if len(shown) < 2:
        return None
    cost, front, points = cell.cost(metric), cell.told["fronts"][metric], []
    for entry in shown:
        name, level = entry["precision"], cell.level(entry)
        points.append(
            Point(
                name, level["value"], *(level["ci"] or (None, None)), level["text"], cell.colours[name],
                baseline=entry["baseline"], filled=name in front, x=entry["costs"][metric]["value"] * cost["factor"],
            )
        )  # fmt: skip
    label, unit = cell.primary["label"], f" ({cell.primary['unit']})" if cell.primary["unit"] else ""
    notes = ["Filled: no other is better in both. Diamond: the baseline. Bars: 95 % intervals."]
    return charts.scatter(
        _front(front, len(shown), cell.evidence.verdicts["label"], cost["name"]),
        cell.heading,
        [*notes, *reasons(left, "Not shown: "), *told_of(cell, [metric])],
        points, f"{cost['name']} ({cost['unit']}), less is better", f"{label}{unit}",
    ) | {"about": "trade-off"}  # fmt: skip


def _front(names: Sequence[str], of: int, quality: str, cost: str) -> str:
    """Which precisions are on a front, or how many."""
    if len(names) == of > 1:
        return f"Each of the {of} precisions trades {quality} for {cost}: none is better in both"
    told = wording.listed(names) if len(names) <= 3 else f"{len(names)} of {of} precisions"
    return f"{told}: no other is better in both {quality} and {cost}"


def _left_out(cell: Cell, entry: Record, metric: str) -> str | None:
    """Why a precision has no point; None where it has one."""
    cost = entry["costs"][metric]
    if "value" not in cost or "value" not in cell.level(entry):
        return entry["incomparable"] or cost.get("absent") or cell.level(entry)["absent"]
    return cost.get("incomparable") or (DISTURBED if "remark" in cost else None)
