"""Why a precision is good enough or not, and what a recommended one trades, in a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.judging import recommendation, verdicts
from bitbudget.judging.recommendation import Cost
from bitbudget.publishing.slides.cells import Panel
from bitbudget.publishing.slides.texts import ABSENT, some
from bitbudget.telling import wording

Record = Mapping[str, Any]

EQUAL = 0.01  # costs this near each other are called the same
# how a cost is called where it is less, and where it is more than the baseline's
WORDS = {
    recommendation.SIZE: ("smaller", "larger"),
    recommendation.WEIGHTS: ("less memory", "more memory"),
    recommendation.PEAK: ("less memory", "more memory"),
    recommendation.LATENCY: ("faster", "slower"),
    recommendation.ENERGY: ("less energy", "more energy"),
}
TIMES = "\N{MULTIPLICATION SIGN}"


def reason(panel: Panel, name: str) -> str:
    """Why a precision is accepted or not: "50 images are too few to rule out a loss of 5 %"."""
    given, metric = panel.verdict(name), panel.difference(name)
    if given is None or metric is None or not metric.get("ci"):
        return "not compared"
    share = panel.evidence.study["accept"]["quality"]
    asked, lost = f"{100 * share:g} %", f"{100 * (1 - share):.3g} %"
    end = "lower bound" if panel.words.higher_is_better else "upper bound"
    losing = given["kind"] == verdicts.LOSS
    if given["accepted"]:
        return f"{'loses, but its' if losing else 'its'} {end} keeps at least {asked}"
    if losing:
        return f"loses, and keeps less than {asked} at the bound"
    one = panel.comparison(name)
    if verdicts.too_few(one, metric, panel.words, share):
        return f"{one['units']} {panel.words.clusters} are too few to rule out a loss of {lost}"
    return f"its interval is too wide to rule out a loss of {lost}"


def grouped(panel: Panel, names: Sequence[str], start: str) -> list[str]:
    """One line for each reason with the precisions that it is of."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(reason(panel, name), []).append(name)
    return [f"{start}{some(of, 3)}: {_plural(why) if len(of) > 1 else why}." for why, of in found.items()]


def _plural(why: str) -> str:
    """A reason as it is said of several precisions."""
    for one, many in (
        ("loses,", "lose,"), (", and keeps", ", and keep"), ("its lower bound keeps", "their lower bounds keep"),
        ("its upper bound keeps", "their upper bounds keep"), ("its interval is", "their intervals are"),
    ):  # fmt: skip
        why = why.replace(one, many)
    return why


def refused(panel: Panel) -> list[str]:
    """Why precisions are not accepted, in one line for each reason."""
    return grouped(panel, _judged(panel, accepted=False), "Not accepted: ")


def losing_but_accepted(panel: Panel) -> list[str]:
    """Precisions that lose and are good enough nevertheless, in one line."""
    names = [name for name in _judged(panel, accepted=True) if panel.verdict(name)["kind"] == verdicts.LOSS]
    return grouped(panel, names, "Accepted: ")


def _judged(panel: Panel, *, accepted: bool) -> list[str]:
    names = [name for name in panel.evidence.precisions if name != panel.evidence.baseline]
    return [name for name in names if (given := panel.verdict(name)) and bool(given["accepted"]) == accepted]


def at_worst(panel: Panel, name: str) -> str | None:
    """What a precision loses at the worse 95 % bound; None where it was not compared."""
    metric = panel.difference(name)
    if metric is None or not metric.get("ci"):
        return None
    form = panel.form(metric)
    lost = panel.words.sign * (metric["baseline"] - verdicts.worst(metric, panel.words))
    start = "In the worst case within its 95 % interval it"
    if lost <= 0:
        return f"{start} loses nothing."
    verb = "loses" if panel.words.higher_is_better else "is worse by"
    unit = "points" if panel.words.share else panel.words.label
    base = metric["baseline"]
    part = f" ({wording.percent(lost / base)} of {form.level(base)})" if base > 0 else ""
    return f"{start} {verb} {form.size(lost)} {unit}{part}."


def factor(row: Record, base: Record, cost: Cost) -> float | None:
    """A cost of a precision in the baseline's; None where one of the two is not there."""
    new, old = row[cost.column], base[cost.column]
    return new / old if new and old else None


def overlapping(row: Record, base: Record, cost: Cost) -> bool:
    """Whether the intervals of a cost overlap."""
    one, other = cost.interval(row), cost.interval(base)
    return one is not None and other is not None and one[0] <= other[1] and other[0] <= one[1]


def compared_cost(row: Record, base: Record, cost: Cost) -> dict[str, str]:
    """A cost against the baseline's, with its sign and word: {"mark": "worse", "text": "latency 1.53x: slower"}."""
    ratio = factor(row, base, cost)
    if ratio is None:
        return {"mark": "", "text": f"{cost.name} {ABSENT}"}
    told = f"{cost.name} {ratio:.2f}{TIMES}"
    if abs(ratio - 1) <= EQUAL:
        return {"mark": "", "text": f"{told}: the same"}
    if overlapping(row, base, cost):
        return {"mark": "", "text": f"{told}: not clearly {WORDS[cost][ratio > 1]}"}
    return {"mark": "worse" if ratio > 1 else "better", "text": f"{told}: {WORDS[cost][ratio > 1]}"}


def trade(panel: Panel, name: str) -> str:
    """What is won and what is paid with a precision: "smaller, but 1.5x slower"; empty where neither is seen."""
    row = panel.evidence.row(panel.model, name, panel.condition)
    won, paid = [], []
    for cost in (recommendation.SIZE, recommendation.LATENCY, recommendation.ENERGY):
        ratio = factor(row, panel.base, cost)
        if ratio is None or abs(ratio - 1) <= EQUAL or overlapping(row, panel.base, cost):
            continue
        if ratio < 1:
            won.append(WORDS[cost][0])
        else:
            paid.append(f"{ratio:.1f}{TIMES} {'the energy' if cost is recommendation.ENERGY else WORDS[cost][1]}")
    said = wording.listed(won)
    return f"{said}, but {wording.listed(paid)}" if won and paid else said or wording.listed(paid)
