"""What is said of a precision's quality: the verdict, in a sentence and in a few words, and why it is accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.judging import kinds, verdicts
from bitbudget.judging.verdicts import Acceptance
from bitbudget.stats import bounds
from bitbudget.telling import wording
from bitbudget.telling.wording import Format, Words

Record = Mapping[str, Any]

# How a clear loss stands to the loss that a study allows.
LIMITS = {
    verdicts.KEPT: "within",
    verdicts.LOSES_MORE: "beyond",
    verdicts.NOT_RULED_OUT: "perhaps beyond",
    verdicts.TOO_FEW: "perhaps beyond",
}


def sentence(one: Record, primary: str, words: Words, floor: Record | None, given: Acceptance, share: float) -> str:
    """The verdict on a comparison, without a full stop."""
    metric, kind = verdicts.metric_of(one, primary), verdicts.kind_of(one, primary, words.sign, floor)
    if metric is None:
        return not_compared(one["metrics"].get(primary, {}), words)
    form = wording.format_of(words, metric)
    if kind in (kinds.LOSS, kinds.GAIN):
        limit = f", {LIMITS[given.why]} your {margin(share)}" if kind == kinds.LOSS and given.why in LIMITS else ""
        return f"{change(metric, kind, form)} ({tested(metric)}){limit}"
    if kind == kinds.IDENTICAL:
        return _identical(one, words)
    difference = f"{form.signed(metric['value'])} {words.noun} {form.interval(metric['ci'])}{words.direction}"
    if kind == kinds.NO_CLEAR_DIFFERENCE:
        return f"no clear difference: {difference}; {smallest_detectable(metric, form)}{_doubt(metric, words)}"
    own = floor["metrics"][primary]
    much = f"{form.signed(own['value'])}, {wording.p_value(own['p_value'])}"
    return (
        f"within noise: {difference} ({tested(metric)}), but {words.repeated} differs by as much from itself ({much})"
    )


def short(one: Record, primary: str, words: Words, kind: str) -> str:
    """The verdict in a few words: "clear loss: -2.2 points [-4.4, -1.9]"."""
    metric = verdicts.metric_of(one, primary)
    if metric is None or kind == kinds.IDENTICAL:
        return kinds.KINDS[kind].word
    return f"{kinds.KINDS[kind].word}: {signed(metric, words)}"


def signed(metric: Record, words: Words) -> str:
    """A difference with its unit and interval: "-2.2 points [-4.4, -1.9]"."""
    form = wording.format_of(words, metric)
    unit = " points" if words.share else ""
    interval = f" {form.interval(metric['ci'])}" if metric.get("ci") else ""
    return f"{form.signed(metric['value'])}{unit}{interval}"


def change(metric: Record, kind: str, form: Format) -> str:
    """A clear difference: "a clear loss of 2.2 points of VQA accuracy [1.9, 4.4]"."""
    words = form.words
    value, ends = form.size(metric["value"]), form.sizes(metric["ci"])
    what = "loss" if kind == kinds.LOSS else "gain"
    if words.higher_is_better:
        return f"a clear {what} of {value} {words.noun} {ends}"
    verb = "higher" if kind == kinds.LOSS else "lower"
    return f"a clear {what}: {words.label} {verb} by {value} {ends}"


def tested(metric: Record) -> str:
    """The p value that decides a verdict: "p = .03 after Holm over 7 comparisons"."""
    family = metric["family"]
    return wording.p_value(metric["p_holm"]) + (f" after Holm over {family} comparisons" if family > 1 else "")


def not_compared(metric: Record, words: Words) -> str:
    """Why there is no verdict."""
    if "value" in metric:
        value = wording.format_of(words, metric).signed(metric["value"])
        return f"not compared: {value} {words.noun}, of which there is no interval"
    reason = metric.get("absent", f"there is no {words.label} of it")
    return f"not compared: {reason.rstrip('.')}"


def _identical(one: Record, words: Words) -> str:
    n, units = one["n"], one["units"]
    share = wording.percent(bounds.none_of(units))
    if units == n:
        about, unseen = "", f"fewer than {share} would differ"
    else:
        about = f" about {units} {words.clusters}"
        unseen = f"fewer than {share} of {words.clusters} would have one that differs"
    same = f"the same boxes in all {n} images" if words.detections else f"the same answers on all {n} {words.items}"
    return f"{same}{about}; with 95 % confidence {unseen}"


def smallest_detectable(metric: Record, form: Format) -> str:
    """The smallest loss that these items would have shown, or why that is not known."""
    smallest = metric.get("smallest_detectable")
    if smallest is not None:
        return f"smallest detectable loss {form.size(smallest)}"
    reason = metric.get("smallest_detectable_absent", "the record does not say").rstrip(".")
    return f"the smallest detectable loss is unknown ({reason})"


def detectable(compared: Sequence[Record], primary: str, words: Words, n: int, power: float) -> str:
    """Which losses these items would have shown, over all comparisons, without a full stop."""
    metrics = [metric for one in compared if (metric := verdicts.metric_of(one, primary))]
    seen = [metric for metric in metrics if metric.get("smallest_detectable") is not None]
    if not metrics:
        return "nothing was compared"
    if not seen:
        return f"what {words.counted(n)} would have shown is unknown: too few of them differ"
    ends = [pick(seen, key=lambda metric: metric["smallest_detectable"]) for pick in (min, max)]
    told = list(dict.fromkeys(wording.format_of(words, one).size(one["smallest_detectable"]) for one in ends))
    loss = f"a loss of {' to '.join(told)} {words.noun}"
    if not words.higher_is_better:
        loss = f"a {words.label} higher by {' to '.join(told)}"
    return f"{words.counted(n)} would have shown {loss} with {100 * power:g} % probability; a smaller one may go unseen"


def _doubt(metric: Record, words: Words) -> str:
    """What a reader of an undecided difference should know."""
    if not verdicts.undecided(metric, words.sign):
        return ""
    if verdicts.side_of(metric, words.sign):
        return f"; the interval excludes 0, but {tested(metric)}"
    return f"; the interval contains 0, though {tested(metric)}"


def answers(one: Record, words: Words) -> str:
    """How many answers changed, and how many items score higher or lower by what the comparison names in `worth`."""
    counts = one["answers"]
    changed = words.changed(counts, one["n"])
    if "better" not in counts:
        return changed
    score = "scores" if counts["better"] == 1 else "score"
    return f"{changed}; {words.counted(counts['better'])} {score} higher, {counts['worse']} lower"


def noise_floor(primary: str, words: Words, floor: Record | None) -> str:
    """What the baseline does when it is asked again."""
    if floor is None:
        return "the baseline was not repeated, so how much it differs from itself is unknown"
    metric = verdicts.metric_of(floor, primary)
    if metric is None:
        return f"{words.repeated}: {not_compared(floor['metrics'].get(primary, {}), words)}"
    changed = words.changed(floor["answers"], floor["n"])
    if verdicts.same(floor, metric):
        return f"{words.repeated}: {changed}; another machine may change some"
    form = wording.format_of(words, metric)
    return f"{words.repeated}: {form.signed(metric['value'])} {words.noun} {form.interval(metric['ci'])}, {changed}"


def margin(share: float) -> str:
    """The loss that is allowed: "5 %"."""
    return f"{100 * (1 - share):.3g} %"


def accepted(one: Record, primary: str, words: Words, given: Acceptance, share: float) -> str:
    """Why a precision is accepted or is not, with the numbers."""
    metric = verdicts.metric_of(one, primary)
    if given.why == verdicts.UNCOMPARED or metric is None:
        return "not accepted: not compared, so nothing vouches for its quality"
    form = wording.format_of(words, metric)
    if given.why == verdicts.NO_BASELINE:
        return f"not accepted: the baseline's own {words.label} is {form.level(metric['baseline'])}"
    end, relation = ("lower", ("below", "at least")) if words.higher_is_better else ("upper", ("above", "at most"))
    shown, limit = form.apart(given.bound, given.limit)
    own = form.level(metric["baseline"])
    part = f"{100 * share:g} % of the baseline's {own}"
    if not words.higher_is_better:
        part = f"the baseline's {own} divided by {share:g}"
    few = ""
    if given.why == verdicts.TOO_FEW:
        less = "less" if words.higher_is_better else "more"
        lost = wording.percent(given.lost_unseen)
        few = (
            f" ({one['units']} {words.clusters} are too few: of as many without any difference it would be "
            f"{lost} {less})"
        )
    return (
        f"{'' if given.accepted else 'not '}accepted: the {end} 95 % bound of its {words.label}, {shown}, is "
        f"{relation[given.accepted]} {limit}, {part}{few}"
    )


def accepted_in_short(one: Record, words: Words, given: Acceptance, share: float, kind: str) -> str:
    """The same in a few words: "keeps at least 95 % of the baseline's quality at the worst end of its interval"."""
    lost = margin(share)
    loses = kind == kinds.LOSS
    if given.why == verdicts.UNCOMPARED:
        return "not compared, so nothing vouches for its quality"
    if given.why == verdicts.NO_BASELINE:
        return f"the baseline's own {words.label} is not above 0"
    if given.accepted:
        return f"{'a clear loss, but within' if loses else 'no loss beyond'} {lost} at the worst end of its interval"
    if given.why == verdicts.LOSES_MORE:
        return f"{'a clear loss of' if loses else 'measured to lose'} more than {lost}"
    if loses:
        return f"a clear loss, and one of more than {lost} is not ruled out"
    if given.why == verdicts.TOO_FEW:
        return f"{one['units']} {words.clusters} are too few to rule out a loss of {lost}"
    return f"no clear loss, but one of more than {lost} is not ruled out"


def at_worst(one: Record, primary: str, words: Words) -> str:
    """What it would cost to be wrong about a precision: what it loses at the worse end of its interval."""
    metric = verdicts.metric_of(one, primary)
    if metric is None:
        return "how much it loses is not known"
    form = wording.format_of(words, metric)
    lost = verdicts.lost_at_worst(metric, words.sign)
    if not lost:
        return "at the worst end of its 95 % interval it loses nothing"
    share = f", {wording.percent(lost / metric['baseline'])} of the baseline's {form.level(metric['baseline'])}"
    more = share if metric["baseline"] > 0 else ""
    said = f"it loses {form.size(lost)} {words.noun}"
    if not words.higher_is_better:
        said = f"its {words.label} is higher by {form.size(lost)}"
    return f"at the worst end of its 95 % interval {said}{more}"
