"""All that can be said of one model under one condition, as data and as sentences, made once from the records.

Paper, slides, page, appendix, archive and terminal choose from it and set it; none of them computes, compares, rounds
or words anything of this again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bitbudget import contracts
from bitbudget.judging import costs, kinds, reasons, recommendation, verdicts
from bitbudget.judging.costs import Row
from bitbudget.measuring.phase_names import phases_of
from bitbudget.telling import costs as told_costs
from bitbudget.telling import reasons as told_reasons
from bitbudget.telling import recommended, verdict, wording
from bitbudget.telling.wording import Words

Record = Mapping[str, Any]

NOTHING_COMPARED = {"lost": [], "compared": 0, "largest": None, "largest_text": ""}


@dataclass(frozen=True)
class Known:
    """What the records have of one model and condition."""

    spec: Record  # the study's `primary`, `models`, `precisions`, `conditions`, `baseline` and `accept`
    track: ModuleType
    words: Words  # of the primary metric
    model: str
    condition: str
    rows: Sequence[Row]  # of summary.csv, one a precision
    compared: Mapping[str, Record]  # of comparison.json, by precision; without the baseline
    floor: Record | None  # the baseline against itself
    measured: Mapping[str, Record]  # measurements.json, by precision
    scores: Mapping[str, Record]  # metrics of scores.json, by precision
    blind: Record  # metrics of blind.json
    power: float  # with which a smallest detectable loss would have been found
    study: Sequence[Row] = ()  # all rows of summary.csv, whose costs have the same units

    @property
    def base(self) -> Row:
        """The baseline's row."""
        return recommendation.baseline_of(self.rows)

    @property
    def share(self) -> float:
        """Of the baseline's quality that must be left."""
        return self.spec["accept"]["quality"]


def of(known: Known) -> dict[str, Any]:
    """The cell of one model and condition, for verdicts.json."""
    columns = told_costs.columns(known.track, known.rows, known.study)
    further = told_costs.further(known.rows, known.study)
    front = recommendation.front(known.rows, known.spec["primary"], known.words.sign, known.words.label)
    entries = [_entry(known, row, [*columns, *further], front) for row in known.rows]
    accepted = [one["precision"] for one in entries if one.get("accepted")]
    worst = {one["precision"]: one.get("at_worst", "") for one in entries}
    asked = known.spec["accept"]["prefer"]
    chosen = [
        recommended.of(recommendation.recommend(known.rows, accepted, prefer), prefer, known.rows, columns, worst)
        for prefer in ([asked] if isinstance(asked, str) else asked)
    ]
    return {
        "model": known.model,
        "condition": known.condition,
        "name": _name(known),
        "where": _where(known),
        "n": _n(known),
        "counted": known.words.counted(_n(known)),
        "costs": [_cost(one, known) for one in columns],
        "further_costs": [_cost(one, known) for one in further],
        "main_costs": _main(known, columns),
        "entries": entries,
        "baseline_reaches": _baseline_reaches(known),
        "floor": floor(known),
        "noise_floor": verdict.noise_floor(known.spec["primary"], known.words, known.floor),
        "repeated": known.floor and _difference(known.words, known.floor["metrics"].get(known.spec["primary"], {})),
        "detectable": verdict.detectable(
            list(known.compared.values()), known.spec["primary"], known.words, _n(known), known.power
        ),
        "limit": _limit(known),
        "outcome": outcome(known, entries),
        "remarks": remarks(known),
        "disturbed": disturbed(known),
        "pareto": {
            "on": [name for name, on in front.on.items() if on],
            "sentence": recommended.front(front, known.words),
        },
        "fronts": recommendation.fronts(
            known.rows, known.spec["primary"], known.words.sign, [one.cost for one in columns]
        ),
        "recommendation": chosen[0],
        "profiles": chosen,
    }


def _n(known: Known) -> int:
    return next((row["n_items"] for row in known.rows if row["n_items"] is not None), 0)


def _name(known: Known) -> str:
    """What tells it from the study's other cells; empty where there is no other."""
    names = [known.model] * (len(known.spec["models"]) > 1) + [known.condition] * (len(known.spec["conditions"]) > 1)
    return ", ".join(names)


def _where(known: Known) -> str:
    """The same as the start of a sentence: "For m under 4-shot, "; empty where there is only one."""
    models, conditions = len(known.spec["models"]) > 1, len(known.spec["conditions"]) > 1
    if models and conditions:
        return f"For {known.model} under {known.condition}, "
    return f"For {known.model}, " if models else f"Under {known.condition}, " if conditions else ""


def _main(known: Known, columns: Sequence[told_costs.Column]) -> list[str]:
    """The costs that a reader compares first: size, memory, latency, the rate of the largest batches and energy."""
    rates = [one.cost for one in columns if one.cost.higher_is_better]
    main = (costs.SIZE, costs.memory(known.rows), costs.LATENCY, *rates[-1:], costs.ENERGY)
    return [cost.metric for cost in main]


def _cost(column: told_costs.Column, known: Known) -> dict[str, Any]:
    """A cost as a heading has it."""
    cost = column.cost
    name = cost.name[:1].upper() + cost.name[1:]
    return {
        "metric": cost.metric, "name": cost.name, "heading": name, "unit": column.unit, "factor": column.factor,
        "higher_is_better": cost.higher_is_better, "timed": cost.timed, "note": column.note,
        "best": told_costs.best(column, known.rows, known.base),
    }  # fmt: skip


def _entry(known: Known, row: Row, columns: Sequence[told_costs.Column], front: recommendation.Front) -> dict[str, Any]:
    """All that is said of a precision."""
    name, base = row["precision"], known.base
    found: dict[str, Any] = {
        "precision": name,
        "baseline": bool(row["baseline"]),
        "simulated": row["simulated"] is not None,
        "metrics": {
            metric: _metric(known, name, metric) for metric in known.track.METRICS if metric in known.scores[name]
        },
        "costs": {one.cost.metric: told_costs.told(one, row, base, known.measured[name]) for one in columns},
        "incomparable": costs.unusable(row, base),
        "reaches": "" if row.get("disturbed") else told_reasons.reaches(known.measured[name]["metrics"]),
        "pareto": front.on.get(name),
        "pareto_sentence": recommended.on_front(front, name),
    }
    if name in front.absent:
        found["pareto_absent"] = front.absent[name]
    if row["baseline"]:
        return found
    one, primary, words = known.compared[name], known.spec["primary"], known.words
    metric = verdicts.metric_of(one, primary)
    kind = verdicts.kind_of(one, primary, words.sign, known.floor)
    given = verdicts.acceptance(one, primary, words.sign, known.share)
    return found | told_costs.trade(row, base, known.rows) | {
        "kind": kind,
        "word": kinds.KINDS[kind].word,
        "mark": kinds.KINDS[kind].mark,
        "tone": kinds.KINDS[kind].tone,
        "colour": kinds.KINDS[kind].colour,
        "sentence": verdict.sentence(one, primary, words, known.floor, given, known.share),
        "short": verdict.short(one, primary, words, kind),
        "undecided": metric is not None and verdicts.undecided(metric, words.sign),
        "answers": verdict.answers(one, words),
        "changed": f"{one['answers']['changed']} of {one['n']}",
        "accepted": given.accepted,
        "accepted_why": verdict.accepted(one, primary, words, given, known.share),
        "accepted_in_short": verdict.accepted_in_short(one, words, given, known.share, kind),
        "at_worst": verdict.at_worst(one, primary, words),
        "why": _why(known, row),
    }  # fmt: skip


def _why(known: Known, row: Row) -> str:
    """Why a precision is faster or slower than the baseline; empty where their latencies cannot be compared."""
    name, baseline = row["precision"], known.spec["baseline"]
    own, base = known.measured[name]["metrics"], known.measured[baseline]["metrics"]
    assigned = known.spec.get("formats", {}).get(known.model, {})
    stands = costs.relation(costs.LATENCY, row, known.base)
    on_gpu = known.measured[name].get("circumstances", {}).get("device") == "cuda"
    formats = assigned.get(name), assigned.get(baseline)
    reason = reasons.explain(stands, own, base, phases_of(known.track), *formats, on_gpu)
    return told_reasons.sentence(reason, baseline)


def _metric(known: Known, precision: str, name: str) -> dict[str, Any]:
    """A metric's level, and its difference from the baseline's, in the written unit (`factor` of the record's)."""
    words = wording.words_of_metric(known.track, name)
    metric = known.scores[precision][name]
    base = known.scores[known.spec["baseline"]].get(name, {})
    found: dict[str, Any] = {"absent": metric["absent"]} if "value" not in metric else _level(words, metric, base)
    compared = known.compared.get(precision)
    if compared is not None:
        found["difference"] = _difference(words, compared["metrics"].get(name, {}))
    return found


def _level(words: Words, metric: Record, base: Record) -> dict[str, Any]:
    # all of a column like the baseline, so that its numbers have the same decimals
    own = base if base.get("value") else metric
    form = wording.format_of(words, {"ci": own.get("ci"), "baseline": own.get("value")})
    ci = metric.get("ci")
    return {
        "value": metric["value"] * words.factor,
        "ci": [end * words.factor for end in ci] if ci else None,
        "text": form.level(metric["value"]),
        "interval": form.interval(ci, sign="") if ci else "",
    }


def _difference(words: Words, metric: Record) -> dict[str, Any]:
    if "value" not in metric:
        return {"absent": metric.get("absent", "not compared with the baseline")}
    form, ci, seen = wording.format_of(words, metric), metric.get("ci"), metric.get("smallest_detectable")
    p = metric.get("p_holm")
    return {
        "value": metric["value"] * words.factor,
        "ci": [end * words.factor for end in ci] if ci else None,
        "text": form.signed(metric["value"]),
        "interval": form.interval(ci) if ci else "",
        "p": "" if p is None else wording.p_value(p),
        "smallest_detectable": None if seen is None else seen * words.factor,
        "smallest_detectable_text": verdict.smallest_detectable(metric, form),
    }


def _limit(known: Known) -> float | None:
    """The difference from the baseline, in the written unit, down to which (up to which, where lower is better) a
    precision's interval may reach; None where the baseline's value is not known, or not above 0."""
    value = known.scores[known.spec["baseline"]].get(known.spec["primary"], {}).get("value")
    if value is None or value <= 0:
        return None
    return known.words.factor * (verdicts.least(value, known.words.sign, known.share) - value)


def _baseline_reaches(known: Known) -> str:
    """The baseline's level in a sentence without a full stop."""
    name, words = known.spec["baseline"], known.words
    found = _metric(known, name, known.spec["primary"])
    if "value" not in found:
        return f"{name} has no {words.label}: {found['absent'].rstrip('.')}"
    return f"{name} reaches {found['text']} {found['interval']} {words.label}".replace("  ", " ")


def floor(known: Known) -> str | None:
    """What answers without looking, or reading, score, beside the baseline; None where there is no such floor."""
    primary, words = known.spec["primary"], known.words
    metric, base = known.blind.get(primary, {}), known.scores[known.spec["baseline"]].get(primary, {})
    if "value" not in metric:
        return f"there is no blind floor: {metric['absent'].rstrip('.')}" if "absent" in metric else None
    form = wording.format_of(words, {"ci": base.get("ci"), "baseline": base.get("value") or metric["value"]})
    level = form.level(metric["value"])
    if metric["value"] > 0 and level == form.level(0.0):  # what is not 0 is not written as 0
        level = f"less than {form.level(10.0**-form.decimals / words.factor)}"
    comma = "," if "," in known.track.FLOOR else ""
    said = f"the blind floor is what {known.track.FLOOR}{comma} scores: {level}"
    if not base.get("ci"):
        return said
    end = base["ci"][0 if words.higher_is_better else 1]
    clear = words.sign * (end - metric["value"]) > 0
    return f"{said}; the baseline {'clears' if clear else 'does not clear'} it"


def outcome(known: Known, entries: Sequence[Record]) -> dict[str, Any]:
    """What became of the precisions together: `title`, a headline, and `sentence`, both without a full stop.

    `lost` are those of a clear loss among the number `compared`, and `largest` is the one that loses most.
    """
    others = [one for one in entries if not one["baseline"]]
    words, primary = known.words, known.spec["primary"]
    compared = [one for one in others if one["kind"] != kinds.NOT_COMPARED]
    if not others:
        said = _baseline_reaches(known)
        return NOTHING_COMPARED | {"title": said, "sentence": said}
    if not compared:
        said = f"no precision could be compared with {known.spec['baseline']}"
        return NOTHING_COMPARED | {"title": wording.capital(said), "sentence": said}
    lost = [one for one in compared if one["kind"] == kinds.LOSS]
    largest = min(lost or compared, key=lambda one: words.sign * one["metrics"][primary]["difference"]["value"])
    shown = verdict.signed(known.compared[largest["precision"]]["metrics"][primary], words)
    n = len(compared)
    found = {"lost": _names(lost), "compared": n, "largest": largest["precision"], "largest_text": shown}
    if n == 1:
        title = f"{largest['precision']}: {largest['short']}" + (
            f" in {words.label}" if largest["kind"] != kinds.IDENTICAL else ""
        )
        sentence = f"{largest['precision']}: {largest['sentence']}"
    elif lost:
        which = f"{len(lost)} of {n} precisions {'shows' if len(lost) == 1 else 'show'} a clear {words.loss}"
        most = f"{largest['precision']}, {shown}"
        title = sentence = f"{which}: {most}"
        if len(lost) > 1:
            title = f"{which}, most of all {most}"
            sentence = f"{which}: {wording.named(_names(lost))}; the largest is that of {most}"
    else:
        which = f"none of {n} precisions shows a clear {words.loss}"
        title = f"{wording.capital(which)}; {words.worst}: {largest['precision']}, {shown}"
        worse = words.sign * largest["metrics"][primary]["difference"]["value"] < 0
        which_one = "largest difference for the worse" if worse else "least favourable difference"
        sentence = f"{which}; the {which_one} is that of {largest['precision']}, {shown}"
    missing = [one["precision"] for one in others if one["kind"] == kinds.NOT_COMPARED]
    if missing:
        sentence += f"; not compared: {wording.named(missing)}"
    return found | {"title": title, "sentence": sentence}


def _names(entries: Sequence[Record]) -> list[str]:
    return [one["precision"] for one in entries]


def remarks(known: Known) -> list[str]:
    """What a reader has to know of the measurements, each remark once with the precisions that it is of."""
    said: dict[str, list[str]] = {}
    for row in known.rows:
        for remark in (row.get("remarks") or "").split(" | "):
            if remark:
                said.setdefault(remark.rstrip("."), []).append(row["precision"])
    found = [f"{wording.named(names)}: {remark}" for remark, names in said.items()]
    return [*found, *_below_floor(known)]


def _below_floor(known: Known) -> list[str]:
    """That the baseline scores less than who does not look, and what may be wrong; nothing where it does not."""
    primary, words, advice = known.spec["primary"], known.words, contracts.of(known.track, "BELOW_FLOOR")
    blind, base = (side.get(primary, {}).get("value") for side in (known.blind, known.scores[known.spec["baseline"]]))
    if not advice or blind is None or base is None or words.sign * (base - blind) >= 0:
        return []
    return [f"{known.spec['baseline']}: its {words.label} is below the blind floor: {advice}"]


def disturbed(known: Known) -> str | None:
    """That timings say nothing, and what to do; None where none was disturbed."""
    names = [row["precision"] for row in known.rows if row.get("disturbed")]
    if not names:
        return None
    reasons = "; ".join(dict.fromkeys(row["disturbed"] for row in known.rows if row.get("disturbed")))
    measured_by = "measure_detector" if known.track.RUNTIME == "litert" else "measure_efficiency"
    measured = [row["precision"] for row in known.rows if row["simulated"] is None]
    which = "all precisions" if len(names) > 1 and set(names) >= set(measured) else wording.named(names)
    others = "no times or energies are compared" if known.base.get("disturbed") else "theirs are not compared"
    return (
        f"the timings of {which} were disturbed ({reasons}), so "
        f"{others}; measure again on a quiet machine: make run STUDY={known.spec['study']} SNAKEMAKE_ARGS='--forcerun "
        f"{measured_by}'"
    )
