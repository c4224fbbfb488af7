"""Verdicts: what a comparison with the baseline says of a precision, in one sentence made only from its numbers.

Everything is read from comparison.json: differences are compared minus baseline, on the same items, with 95 %
intervals. A difference is clear where its interval lies on one side of 0 and Holm's p value is below .05. The kinds of
verdict:

`loss`, `gain`       clear, and the baseline repeated does not differ from itself as clearly and as much
`loss-within-noise`  clear and for the worse, but the baseline repeated does
`gain-within-noise`  the same for the better, or a difference for the better that is not clear
`identical`          no item's answer or value differs
`no-loss-detected`   none of these: the difference is 0, or not clear and for the worse
`not-compared`       there is no difference, or no interval of it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitbudget.judging.comparison_kinds import NOISE_FLOOR
from bitbudget.stats import bounds
from bitbudget.telling import wording
from bitbudget.telling.wording import Format, Words

Record = Mapping[str, Any]

ALPHA = 0.05
LOSS, GAIN, IDENTICAL = "loss", "gain", "identical"
NO_LOSS, NOT_COMPARED = "no-loss-detected", "not-compared"
LOSS_WITHIN_NOISE, GAIN_WITHIN_NOISE = "loss-within-noise", "gain-within-noise"


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


def kind_of(one: Record, primary: str, words: Words, floor: Record | None) -> str:
    """The kind of a comparison's verdict, beside the noise floor of its model and condition."""
    metric = metric_of(one, primary)
    if metric is None:
        return NOT_COMPARED
    side = _side(metric, words) if _significant(metric) else 0
    if side and _as_much_noise(metric, primary, floor):
        return LOSS_WITHIN_NOISE if side < 0 else GAIN_WITHIN_NOISE
    if side:
        return LOSS if side < 0 else GAIN
    if _same(one, metric):
        return IDENTICAL
    return NO_LOSS if words.sign * metric["value"] <= 0 else GAIN_WITHIN_NOISE


def _same(one: Record, metric: Record) -> bool:
    """Whether no item's answer or value differs."""
    return metric["value"] == 0 and not any(one["answers"][name] for name in ("changed", "better", "worse"))


def _significant(metric: Record) -> bool:
    return metric["p_holm"] < ALPHA


def _side(metric: Record, words: Words) -> int:
    """On which side of 0 the interval lies: -1 for the worse, 1 for the better, 0 where it contains 0."""
    low, high = sorted(words.sign * end for end in metric["ci"])
    return -1 if high < 0 else 1 if low > 0 else 0


def _as_much_noise(metric: Record, primary: str, floor: Record | None) -> bool:
    """Whether the baseline differs from itself by as much, and by more than chance among the items explains."""
    own = metric_of(floor, primary) if floor else None
    return own is not None and own["p_value"] < ALPHA and abs(own["value"]) >= abs(metric["value"])


def sentence(one: Record, primary: str, words: Words, floor: Record | None) -> str:
    """The verdict on a comparison, without a full stop."""
    metric, kind = metric_of(one, primary), kind_of(one, primary, words, floor)
    if metric is None:
        return _not_compared(one["metrics"].get(primary, {}), words)
    form = wording.format_of(words, metric)
    if kind in (LOSS, GAIN):
        return _changed(metric, kind, form)
    if kind == IDENTICAL:
        return _identical(one, words)
    difference = f"{form.signed(metric['value'])} {words.noun} {form.interval(metric['ci'])}{words.direction}"
    doubt = _doubt(metric, words)
    if kind == NO_LOSS:
        return f"no loss detected: {difference}, {_could_have_seen(metric, form)}{doubt}"
    if floor and _significant(metric) and _side(metric, words):
        own = floor["metrics"][primary]
        much = f"{form.signed(own['value'])}, {wording.p_value(own['p_value'])}"
        doubt = f" ({tested(metric)}), but {words.repeated} differs by as much from itself ({much})"
    return f"{'loss' if kind == LOSS_WITHIN_NOISE else 'gain'} within noise: {difference}{doubt}"


def _not_compared(metric: Record, words: Words) -> str:
    if "value" in metric:
        value = wording.format_of(words, metric).signed(metric["value"])
        return f"not compared: {value} {words.noun}, of which there is no interval"
    reason = metric.get("absent", f"there is no {words.label} of it")
    return f"not compared: {reason.rstrip('.')}"


def _changed(metric: Record, kind: str, form: Format) -> str:
    words = form.words
    value, ends, p = form.size(metric["value"]), form.sizes(metric["ci"]), f"({tested(metric)})"
    if words.higher_is_better:
        return f"{'loses' if kind == LOSS else 'gains'} {value} {words.noun} {ends} {p}"
    return f"{'raises' if kind == LOSS else 'lowers'} {words.label} by {value} {ends}{words.direction} {p}"


def tested(metric: Record) -> str:
    """The p value that decides a verdict: "p = .03 after Holm over 7 comparisons"."""
    family = metric["family"]
    return wording.p_value(metric["p_holm"]) + (f" after Holm over {family} comparisons" if family > 1 else "")


def _identical(one: Record, words: Words) -> str:
    n, units = one["n"], one["units"]
    share = wording.percent(bounds.none_of(units))
    if units == n:
        about, unseen = "", f"fewer than {share} would differ"
    else:
        about = f" about {units} {words.clusters}"
        unseen = f"fewer than {share} of {words.clusters} would have one that differs"
    same = f"the same boxes in all {n} images" if words.detections else f"the same answers on all {n} items"
    return f"{same}{about}; with 95 % confidence {unseen}"


def _could_have_seen(metric: Record, form: Format) -> str:
    smallest = metric.get("smallest_detectable")
    if smallest is not None:
        return f"could have seen {form.size(smallest)}"
    reason = metric.get("smallest_detectable_absent", "the record does not say").rstrip(".")
    return f"what could have been seen is unknown ({reason})"


def undecided(metric: Record, words: Words) -> bool:
    """Whether interval and test do not agree on a difference."""
    return bool(_side(metric, words)) != _significant(metric)


def _doubt(metric: Record, words: Words) -> str:
    """What a reader of an undecided difference should know."""
    if not undecided(metric, words):
        return ""
    if _side(metric, words):
        return f"; the interval excludes 0, but {tested(metric)}"
    return f"; the interval contains 0, though {tested(metric)}"


def answers(one: Record, words: Words) -> str:
    """How many answers changed, and how many items became better or worse by what the comparison names in `worth`."""
    counts = one["answers"]
    items = " images" if words.detections else ""
    return f"{words.changed(counts, one['n'])}; {counts['better']}{items} better, {counts['worse']} worse"


def noise_floor(primary: str, words: Words, floor: Record | None) -> str:
    """What the baseline does when it is asked again."""
    if floor is None:
        return "the baseline was not repeated, so how much it differs from itself is unknown"
    metric = metric_of(floor, primary)
    if metric is None:
        return f"{words.repeated}: {_not_compared(floor['metrics'].get(primary, {}), words)}"
    changed = words.changed(floor["answers"], floor["n"])
    if _same(floor, metric):
        return f"{words.repeated}: {changed}; another machine may change some"
    form = wording.format_of(words, metric)
    return f"{words.repeated}: {form.signed(metric['value'])} {words.noun} {form.interval(metric['ci'])}, {changed}"


@dataclass(frozen=True)
class Acceptance:
    """Whether a precision is good enough, and the sentence that says by which numbers."""

    accepted: bool
    why: str


def acceptance(one: Record, primary: str, words: Words, share: float) -> Acceptance:
    """Whether at least this share of the baseline's quality is left, at the bound (see `worst`).

    Where lower is better, the bound must be at most the baseline's value divided by the share.
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
        f"{relation[accepted]} {limit_shown}, {part}{_too_few_said(one, metric, words, share)}",
    )


def _too_few_said(one: Record, metric: Record, words: Words, share: float) -> str:
    """In brackets that no precision could be accepted on so few units; nothing where one could."""
    if not too_few(one, metric, words, share):
        return ""
    lost = wording.percent(_unchanged_at_worst(one, metric) / metric["baseline"])
    less = "less" if words.higher_is_better else "more"
    return (
        f" ({one['units']} {words.clusters} are too few: of as many without any difference it would be {lost} {less})"
    )


def worst(metric: Record, words: Words) -> float:
    """The worse 95 % bound of a precision's value: the baseline's plus the interval's worse end, on the same items.

    It counts one unit more than was seen, which loses all it has (`paired`). What is better the higher it is ends at 0.
    """
    value = metric["baseline"] + metric["ci"][0 if words.higher_is_better else 1]
    return max(value, 0.0) if words.higher_is_better else value


def too_few(one: Record, metric: Record, words: Words, share: float) -> bool:
    """Whether a precision keeps this share and is not accepted only because the units are too few.

    They are where not even one that differs nowhere would be accepted.
    """
    limit = metric["baseline"] * (1 - share if words.higher_is_better else 1 / share - 1)
    return _unchanged_at_worst(one, metric) > limit >= -words.sign * metric["value"]


def _unchanged_at_worst(one: Record, metric: Record) -> float:
    """What the interval of a precision would end at that differs in no unit: the most that can be lost unseen."""
    return metric.get("stake", 0.0) * bounds.clopper_pearson_upper(0, one["units"])


def at_worst(one: Record, primary: str, words: Words) -> str:
    """What it would cost to be wrong about a precision: what it loses at the worse end of its interval."""
    metric = metric_of(one, primary)
    if metric is None:
        return "how much it loses is not known"
    form = wording.format_of(words, metric)
    lost = words.sign * (metric["baseline"] - worst(metric, words))
    if lost <= 0:
        return "at the worst end of its 95 % interval it loses nothing"
    share = f", {wording.percent(lost / metric['baseline'])} of the baseline's {form.level(metric['baseline'])}"
    more = f"{form.size(lost)} {words.noun}"
    verb = "loses" if words.higher_is_better else "is worse by"
    return f"at the worst end of its 95 % interval it {verb} {more}{share if metric['baseline'] > 0 else ''}"
