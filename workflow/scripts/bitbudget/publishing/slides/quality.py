"""Slides of quality: the primary metric of every precision, and what each changes against the baseline.

Every slide is a dict that the template draws; its title is a sentence whose numbers come from the records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitbudget import registry
from bitbudget.judging import verdicts
from bitbudget.publishing.slides import charts, standing
from bitbudget.publishing.slides.cells import Panel
from bitbudget.publishing.slides.charts import Span
from bitbudget.publishing.slides.texts import ABSENT, capital, reasons

Slide = dict[str, Any]
Record = Mapping[str, Any]


def slide(panel: Panel) -> Slide:
    """The primary metric of every precision, with what answers without looking reach."""
    found = {name: panel.quality(name) for name in panel.evidence.precisions}
    known = {name: metric for name, metric in found.items() if "value" in metric}
    rows = [_level_row(panel, name, metric) for name, metric in found.items()]
    floor = panel.evidence.blind["metrics"].get(panel.evidence.primary, {}).get("value")
    base = known.get(panel.evidence.baseline)
    lines = [(base["value"] * panel.words.factor, "dashed")] if base else []
    better = "higher" if panel.words.higher_is_better else "lower"
    unit = " (%)" if panel.words.share else ""
    notes = charts.left_out(rows) + reasons(
        {name: metric["absent"] for name, metric in found.items() if name not in known}
    )
    if floor is not None:
        form = panel.form(base or {"baseline": floor})
        level = form.level(floor)
        if floor > 0 and level == form.level(0.0):  # what is not 0 is not written as 0
            level = f"less than {form.level(10.0**-form.decimals / panel.words.factor)}"
        notes.append(f"For scale: {registry.module_of('track', panel.evidence.track).FLOOR} scores {level}.")
    return {
        "kind": "forest",
        "about": "levels",
        "title": _quality_title(panel, known),
        "heading": panel.heading,
        "chart": charts.forest(
            rows, f"{panel.words.label}{unit}, {better} is better; dashed: the baseline", lines=lines
        ),
        "notes": notes,
    }


def _level_row(panel: Panel, name: str, metric: Record) -> Span:
    baseline = name == panel.evidence.baseline
    if "value" not in metric:
        return Span(name, None, text=ABSENT, colour=panel.colours[name], baseline=baseline)
    factor = panel.words.factor
    low, high = (end * factor for end in metric["ci"]) if metric.get("ci") else (None, None)
    form = panel.form(metric)
    interval = f" {form.interval(metric['ci'], sign='')}" if metric.get("ci") else ""
    text = f"{form.level(metric['value'])}{interval}"
    return Span(name, metric["value"] * factor, low, high, text, panel.colours[name], baseline)


def _quality_title(panel: Panel, known: Mapping[str, Record]) -> str:
    base, label = panel.evidence.baseline, panel.words.label
    others = [metric for name, metric in known.items() if name != base]
    if base not in known:
        return f"{capital(label)} of the baseline {base} was {ABSENT}"
    said = f"{base} reaches {panel.level(known[base])} {label}"
    if not others:
        return said
    ends = [panel.level(pick(others, key=lambda metric: metric["value"])) for pick in (min, max)]
    return f"{said}; {_others(len(others))} {ends[0] if ends[0] == ends[1] else f'{ends[0]} to {ends[1]}'}"


def _others(count: int) -> str:
    return "the other" if count == 1 else f"the {count} others"


def difference(panel: Panel) -> Slide | None:
    """What each precision changes against the baseline; None where there is nothing but the baseline."""
    names = [name for name in panel.evidence.precisions if name != panel.evidence.baseline]
    if not names:
        return None
    found = {name: panel.difference(name) for name in names}
    rows = [_difference_row(panel, name, metric) for name, metric in found.items()]
    known = {name: metric for name, metric in found.items() if metric is not None}
    lines, holds, asked = [(0.0, "solid")], [0.0], ""
    base = panel.quality(panel.evidence.baseline).get("value")
    share = panel.evidence.study["accept"]["quality"]
    if base is not None:
        limit = panel.words.factor * base * (share - 1 if panel.words.higher_is_better else 1 / share - 1)
        lines.append((limit, "dashed"))
        holds.append(limit)
        asked = f"; dashed: {100 * share:g} % of the baseline's quality"
    better = "higher" if panel.words.higher_is_better else "lower"
    unit = " (points)" if panel.words.share else ""
    axis = f"difference in {panel.words.label}{unit}, {better} is better{asked}"
    unknown = {name: (panel.verdict(name) or {}).get("sentence", ABSENT) for name in names if name not in known}
    return {
        "kind": "forest",
        "about": "differences",
        "title": difference_title(panel),
        "heading": panel.heading,
        "chart": charts.forest(rows, axis, lines=lines, holds=holds),
        # the more important first: where many rows stand above, the last give way
        "notes": [
            _key(panel, known),
            *standing.refused(panel),
            *standing.losing_but_accepted(panel),
            *reasons(unknown),
            *charts.left_out(rows),
        ],
    }


def _key(panel: Panel, known: Mapping[str, Record]) -> str:
    kinds = {(panel.verdict(name) or {}).get("kind") for name in known}
    told = [("orange", verdicts.LOSS, "loss"), ("green", verdicts.GAIN, "gain")]
    coloured = [f"{colour}: {word}" for colour, kind, word in told if kind in kinds]
    items = f"{panel.evidence.n} {panel.words.items}, 95 % intervals"
    return f"{items}; {', '.join(coloured)} (after Holm's correction)." if coloured else f"{items}."


def _difference_row(panel: Panel, name: str, metric: Record | None) -> Span:
    if metric is None:
        return Span(name, None, text="not compared")
    factor = panel.words.factor
    low, high = (end * factor for end in metric["ci"]) if metric.get("ci") else (None, None)
    kind = (panel.verdict(name) or {}).get("kind")
    colour = charts.KIND_COLOURS.get(kind, charts.COLOUR)
    return Span(name, metric["value"] * factor, low, high, panel.signed(metric), colour)


def difference_title(panel: Panel) -> str:
    """Which precisions lose, and the worst of them, or that none does, in one sentence."""
    words, label = panel.words, panel.words.label
    names = [name for name in panel.evidence.precisions if name != panel.evidence.baseline]
    known = {name: metric for name in names if (metric := panel.difference(name)) is not None}
    kinds = {name: (panel.verdict(name) or {}).get("kind") for name in names}
    if not known:
        return f"No precision could be compared with {panel.evidence.baseline}"
    worst = min(known, key=lambda name: words.sign * known[name]["value"])
    points = " points" if words.share else ""
    told = f"{panel.form(known[worst]).signed(known[worst]['value'])}{points}"
    interval = f" {panel.form(known[worst]).interval(known[worst]['ci'])}" if known[worst].get("ci") else ""
    losing = [name for name in names if kinds[name] == verdicts.LOSS]
    if len(names) == 1:
        return _single_title(worst, kinds[worst], label, f"{told}{interval}")
    if not losing:
        end = "lowest" if words.higher_is_better else "worst"
        noise = " beyond noise" if verdicts.LOSS_WITHIN_NOISE in kinds.values() else ""
        return f"No loss of {label}{noise} in any of {len(names)} precisions; {end} {worst}: {told}{interval}"
    verbs = ("loses", "lose") if words.higher_is_better else ("is worse in", "are worse in")
    worst = min(losing, key=lambda name: words.sign * known[name]["value"])
    verb = verbs[len(losing) > 1]
    return f"{len(losing)} of {len(names)} precisions {verb} {label}, most {worst}: {signed_in_words(panel, worst)}"


def _single_title(name: str, kind: str | None, label: str, told: str) -> str:
    said = {
        verdicts.LOSS: f"{name} loses {label}",
        verdicts.GAIN: f"{name} gains {label}",
        verdicts.LOSS_WITHIN_NOISE: f"{name}: loss of {label} within noise",
        verdicts.GAIN_WITHIN_NOISE: f"{name}: gain of {label} within noise",
        verdicts.IDENTICAL: f"{name} answers the same as the baseline",
    }
    return f"{said.get(kind, f'{name}: no loss of {label} was detected')}: {told}"


def signed_in_words(panel: Panel, name: str) -> str:
    """A precision's difference with "points" where it is one of percentages, and its interval."""
    metric = panel.difference(name)
    if metric is None:
        return "not compared"
    form = panel.form(metric)
    interval = f" {form.interval(metric['ci'])}" if metric.get("ci") else ""
    return f"{form.signed(metric['value'])}{' points' if panel.words.share else ''}{interval}"
