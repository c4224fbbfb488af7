"""Verdicts: what a comparison with the baseline says of a precision, in one sentence made only from its numbers.

Everything is read from comparison.json: differences are compared minus baseline, on the same items, with 95 %
intervals. The kinds of verdict:

`loss`, `gain`       the interval lies on that side of 0, Holm's p value is below .05, and the difference is larger than
                     that of the baseline repeated
`identical`          no item's answer or value differs
`no-loss-detected`   none of these, and the difference is 0 or for the worse
`gain-within-noise`  none of these, and the difference is for the better
`not-compared`       there is no difference, or no interval of it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitbudget import wording
from bitbudget.wording import Format, Words

Record = Mapping[str, Any]

ALPHA = 0.05
LOSS, GAIN, IDENTICAL = "loss", "gain", "identical"
NO_LOSS, WITHIN_NOISE, NOT_COMPARED = "no-loss-detected", "gain-within-noise", "not-compared"
KINDS = (LOSS, GAIN, NO_LOSS, WITHIN_NOISE, IDENTICAL, NOT_COMPARED)
NOISE_FLOOR = "noise_floor"  # the kind of a comparison of the baseline with itself


@dataclass(frozen=True)
class Family:
    """What a comparison is judged beside: the baseline repeated, and the precisions that Holm's correction ran over.

    `floor` is the noise floor's comparison of the same model and condition; None where the baseline was not repeated.
    """

    floor: Record | None
    tests: int


def family_of(comparison: Record, model: str, condition: str) -> Family:
    """The family of the comparisons of one model and condition."""
    primary = comparison["primary"]
    mine = [one for one in comparison["comparisons"] if (one["model"], one["condition"]) == (model, condition)]
    tested = [one for one in mine if one["kind"] != NOISE_FLOOR and _holm(one["metrics"].get(primary, {})) is not None]
    return Family(next((one for one in mine if one["kind"] == NOISE_FLOOR), None), len(tested))


def _holm(metric: Record) -> float | None:
    return metric.get("p_holm")


def metric_of(one: Record, primary: str) -> Record | None:
    """A comparison's primary metric; None where it has no difference or no interval."""
    metric = one["metrics"].get(primary, {})
    return metric if "value" in metric and metric.get("ci") else None


def kind_of(one: Record, primary: str, words: Words, family: Family) -> str:
    """The kind of a comparison's verdict."""
    metric = metric_of(one, primary)
    if metric is None:
        return NOT_COMPARED
    if _significant(metric) and not _as_small_as_noise(metric, primary, family):
        if _side(metric, words) == -1:
            return LOSS
        if _side(metric, words) == 1:
            return GAIN
    if _same(one, metric):
        return IDENTICAL
    return NO_LOSS if words.sign * metric["value"] <= 0 else WITHIN_NOISE


def _same(one: Record, metric: Record) -> bool:
    """Whether no item's answer or value differs."""
    return metric["value"] == 0 and not any(one["answers"][name] for name in ("changed", "better", "worse"))


def _significant(metric: Record) -> bool:
    p = _holm(metric)
    return p is not None and p < ALPHA


def _as_small_as_noise(metric: Record, primary: str, family: Family) -> bool:
    """Whether the baseline differs from itself by as much; not where it does not differ from itself at all."""
    floor = metric_of(family.floor, primary) if family.floor else None
    return floor is not None and floor["value"] != 0 and abs(metric["value"]) <= abs(floor["value"])


def _side(metric: Record, words: Words) -> int:
    """On which side of 0 the interval lies: -1 for the worse, 1 for the better, 0 where it contains 0."""
    low, high = sorted(words.sign * end for end in metric["ci"])
    return -1 if high < 0 else 1 if low > 0 else 0


def sentence(one: Record, primary: str, words: Words, family: Family) -> str:
    """The verdict on a comparison, without a full stop."""
    metric, kind = metric_of(one, primary), kind_of(one, primary, words, family)
    if metric is None:
        return _not_compared(one["metrics"].get(primary, {}), words)
    form = wording.format_of(words, metric)
    if kind in (LOSS, GAIN):
        return _clear(metric, kind, form, family)
    if kind == IDENTICAL:
        return _identical(one, words)
    difference = f"{form.signed(metric['value'])} {words.noun} {form.interval(metric['ci'])}{words.direction}"
    doubts = "".join(f"; {doubt}" for doubt in _doubts(metric, primary, form, family))
    if kind == WITHIN_NOISE:
        return f"gain within noise: {difference}{doubts}"
    return f"no loss detected: {difference}, {_could_have_seen(metric, form)}{doubts}"


def _not_compared(metric: Record, words: Words) -> str:
    if "value" in metric:
        value = wording.format_of(words, metric).signed(metric["value"])
        return f"not compared: {value} {words.noun}, of which there is no interval"
    reason = metric.get("absent", f"there is no {words.label} of it")
    return f"not compared: {reason.rstrip('.')}"


def _clear(metric: Record, kind: str, form: Format, family: Family) -> str:
    words = form.words
    value = form.size(metric["value"])
    ends = ", ".join(form.size(end) for end in sorted(metric["ci"], key=abs))
    p = f"({wording.p_value(metric['p_holm'])}{_after_holm(family)})"
    if words.higher_is_better:
        return f"{'loses' if kind == LOSS else 'gains'} {value} {words.noun} [{ends}] {p}"
    verb = "raises" if kind == LOSS else "lowers"
    return f"{verb} {words.label} by {value} [{ends}]{words.direction} {p}"


def _after_holm(family: Family) -> str:
    return f" after Holm over {family.tests} precisions" if family.tests > 1 else ""


def _identical(one: Record, words: Words) -> str:
    n, units = one["n"], one["units"]
    about = "" if units == n else f" about {units} {words.clusters}"
    same = f"the same boxes in all {n} images" if words.detections else f"the same answers on all {n} items"
    return f"{same}{about}; {_unseen(one, words)}"


def _unseen(one: Record, words: Words) -> str:
    """How many answers may differ although none did.

    With no difference among n independent units, the exact upper bound of their share is 1 - .05^(1/n) (Clopper &
    Pearson 1934, one-sided).
    """
    fewer = f"with 95 % confidence fewer than {wording.percent(1 - ALPHA ** (1 / one['units']))}"
    alone = one["units"] == one["n"]
    return f"{fewer} would differ" if alone else f"{fewer} of {words.clusters} would have one that differs"


def _could_have_seen(metric: Record, form: Format) -> str:
    smallest = metric.get("smallest_detectable")
    if smallest is not None:
        return f"could have seen {form.size(smallest)}"
    reason = metric.get("smallest_detectable_absent", "the record does not say").rstrip(".")
    return f"what could have been seen is unknown ({reason})"


def _doubts(metric: Record, primary: str, form: Format, family: Family) -> list[str]:
    """What a reader of an undecided difference should know: where interval, test and noise floor do not agree."""
    doubts, p = [], _holm(metric)
    tested = None if p is None else f"{wording.p_value(p)}{_after_holm(family)}"
    excludes = _side(metric, form.words) != 0
    if excludes and not _significant(metric):
        doubts.append(f"the interval excludes 0, but {tested or 'there is no p value'}")
    elif _significant(metric) and not excludes:
        doubts.append(f"the interval contains 0, though {tested}")
    if (excludes or _significant(metric)) and _as_small_as_noise(metric, primary, family):
        own = form.signed(family.floor["metrics"][primary]["value"])
        doubts.append(f"{form.words.repeated} differs as much ({own})")
    return doubts


def answers(one: Record, words: Words) -> str:
    """How many answers changed, and how many items became better or worse by the primary metric."""
    counts = one["answers"]
    return f"{words.changed(counts, one['n'])}; {counts['better']} better, {counts['worse']} worse"


def noise_floor(primary: str, words: Words, family: Family) -> str:
    """What the baseline does when it is asked again."""
    floor = family.floor
    if floor is None:
        return "the baseline was not repeated, so how much it differs from itself is unknown"
    metric = metric_of(floor, primary)
    if metric is None:
        return f"{words.repeated}: {_not_compared(floor['metrics'].get(primary, {}), words)}"
    form = wording.format_of(words, metric)
    difference = f"{form.signed(metric['value'])} {words.noun} {form.interval(metric['ci'])}"
    return f"{words.repeated}: {difference}, {words.changed(floor['answers'], floor['n'])}"


@dataclass(frozen=True)
class Acceptance:
    """Whether a precision is good enough, and the sentence that says by which numbers."""

    accepted: bool
    why: str


def acceptance(one: Record, primary: str, words: Words, share: float) -> Acceptance:
    """Whether at least this share of the baseline's quality is left, at the lower 95 % bound.

    The bound is the baseline's value plus the interval's worse end, both on the same items; where lower is better it
    must be at most the baseline's value divided by the share.
    """
    metric = metric_of(one, primary)
    if metric is None:
        return Acceptance(False, "not accepted: not compared, so nothing vouches for its quality")
    baseline, form = metric["baseline"], wording.format_of(words, metric)
    if baseline <= 0:
        return Acceptance(False, f"not accepted: the baseline's own {words.label} is {form.level(baseline)}")
    bound = worst(metric, words)
    limit = baseline * share if words.higher_is_better else baseline / share
    accepted = words.sign * (bound - limit) >= 0
    end, relation = ("lower", ("below", "at least")) if words.higher_is_better else ("upper", ("above", "at most"))
    shown, limit_shown = form.apart(bound, limit)
    own = form.level(baseline)
    part = f"{100 * share:g} % of the baseline's {own}"
    if not words.higher_is_better:
        part = f"the baseline's {own} divided by {share:g}"
    return Acceptance(
        accepted,
        f"{'' if accepted else 'not '}accepted: the {end} 95 % bound of its {words.label}, {shown}, is "
        f"{relation[accepted]} {limit_shown}, {part}{_no_spread(one, metric, words)}",
    )


def _no_spread(one: Record, metric: Record, words: Words) -> str:
    """Said of an interval without width, which is as wide for ten items as for ten thousand."""
    flat = metric["ci"][0] == metric["ci"][1]
    return f" (no value differs on these {words.items}; {_unseen(one, words)})" if flat else ""


def worst(metric: Record, words: Words) -> float:
    """The value that a precision has at the worse end of its interval."""
    return metric["baseline"] + metric["ci"][0 if words.higher_is_better else 1]


def at_worst(one: Record, primary: str, words: Words) -> str:
    """What it would cost to be wrong about a precision: what it loses at the worse end of its interval."""
    metric = metric_of(one, primary)
    if metric is None:
        return "how much it loses is not known"
    form = wording.format_of(words, metric)
    lost = words.sign * (metric["baseline"] - worst(metric, words))
    if lost <= 0:
        return f"at its 95 % bound it loses nothing{_no_spread(one, metric, words)}"
    share = f", {wording.percent(lost / metric['baseline'])} of the baseline's {form.level(metric['baseline'])}"
    more = f"{form.size(lost)} {words.noun}"
    verb = "loses" if words.higher_is_better else "is worse by"
    return f"at its 95 % bound it {verb} {more}{share if metric['baseline'] > 0 else ''}"


def of_cell(comparison: Record, model: str, condition: str) -> Sequence[Record]:
    """The comparisons of a model's precisions with its baseline under a condition, in the study's order."""
    return [
        one
        for one in comparison["comparisons"]
        if (one["model"], one["condition"]) == (model, condition) and one["kind"] != NOISE_FLOOR
    ]
