"""What the page shows of one model under one condition: the verdicts, the table's rows, and what the plots need.

All numbers are written here, as in the study's other outputs; the page's program only places them. An absent value
carries the reason why it is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget import registry
from bitbudget.judging import recommendation, summary
from bitbudget.judging.pareto import pareto_front
from bitbudget.measuring.phase_names import NO_REASON, PHASES
from bitbudget.publishing import axis_cut
from bitbudget.publishing.results_page import verdict
from bitbudget.telling import wording
from bitbudget.telling.evidence import Evidence
from bitbudget.telling.wording import Words

Record = Mapping[str, Any]

IS_BASELINE = "this is the baseline, which all others are compared with"
# Metric of the measurements: its name in the table and the plots, its unit, and a factor to it. Less is better.
COSTS: dict[str, tuple[str, str, float]] = {
    summary.COSTS[cost.column][0]: (cost.name.capitalize(), cost.unit, 1.0) for cost in recommendation.COSTS
}
PLOTTED = tuple(COSTS)
COSTS["carbon_per_item"] = ("CO\N{SUBSCRIPT TWO}e per 1000 items", "g", 1e3)


def of(evidence: Evidence, model: str, condition: str) -> dict[str, Any]:
    """All of one model and condition."""
    words = wording.words_of({"track": evidence.track, "primary": evidence.primary})
    rows = [evidence.row(model, precision, condition) for precision in evidence.precisions]
    units = _units(evidence, model, condition)
    columns = [{"key": key, "label": label} for key, label in _columns(words, units).items()]
    shown = [_row(evidence, words, row, units) for row in rows]
    for column in columns:
        column |= _shared(column["key"], shown)
    return {
        "model": model,
        "condition": condition,
        "verdict": verdict.of(evidence, model, condition, shown),
        "columns": columns,
        "rows": shown,
        "plots": _plots(evidence, rows, units),
    }


def _metric(measured: Record, name: str) -> Record:
    """A metric of a measurements record; one that is not in it is absent for the reason for which nothing was timed."""
    metrics = measured["metrics"]
    return metrics.get(name) or {"absent": metrics.get("latency", {}).get("absent", NO_REASON)}


def _units(evidence: Evidence, model: str, condition: str) -> dict[str, tuple[str, str, float]]:
    """Of each cost of this model and condition: its name, its unit, and the factor to it."""
    records = [evidence.measurements[model, precision, condition] for precision in evidence.precisions]
    found = {}
    for name, (label, unit, factor) in COSTS.items():
        values = [metric["value"] * factor for one in records if "value" in (metric := _metric(one, name))]
        scale, unit = wording.unit_for(unit, max(values, default=0.0))
        found[name] = (label, unit, factor * scale)
    for size in summary.batch_sizes(records, "throughput_"):
        found[f"throughput_{size}"] = (f"Throughput, batch {size}", "items/s", 1.0)
    return found


def _columns(words: Words, units: Mapping[str, tuple[str, str, float]]) -> dict[str, str]:
    share = " (%)" if words.share else ""
    label = words.label[0].upper() + words.label[1:]
    difference = "Difference (points)" if words.share else "Difference"
    costs = {name: f"{label} ({unit})" for name, (label, unit, _) in units.items()}
    order = ["size_on_disk", "weights_in_memory", "peak_memory", "latency"]
    order += [name for name in costs if name.startswith("throughput_")] + ["energy_per_item", "carbon_per_item"]
    return {"precision": "Precision", "quality": label + share, "difference": f"{difference}, p after Holm"} | {
        name: costs[name] for name in order
    }


def _row(evidence: Evidence, words: Words, row: Record, units: Mapping[str, tuple[str, str, float]]) -> dict[str, Any]:
    """A row of the table: a value to sort by, its text, and what stands beside it; or why it is absent."""
    cell = row["model"], row["precision"], row["condition"]
    base = evidence.row(cell[0], evidence.baseline, cell[2])
    measured, reference = (evidence.measurements[cell[0], name, cell[2]] for name in (cell[1], evidence.baseline))
    unusable = recommendation.unusable(row, base)
    cells = {
        "quality": _quality(evidence, words, row),
        "difference": _difference(evidence, words, cell),
    }
    for name, (_, _, factor) in units.items():
        metric, other = _metric(measured, name), _metric(reference, name)
        if "value" not in metric:
            cells[name] = {"absent": metric["absent"]}
            continue
        shown = {"sort": metric["value"], "text": wording.number(metric["value"] * factor)}
        if metric.get("ci") and not name.startswith("throughput"):
            shown["ci"] = f"[{', '.join(wording.number(end * factor) for end in metric['ci'])}]"
        notes = [metric[key] for key in ("how", "kind") if key in metric]
        if name == "carbon_per_item" and "how" in _metric(measured, "energy_per_item"):
            notes = [_metric(measured, "energy_per_item")["how"]]
        if not row["baseline"] and unusable is None and other.get("value"):
            shown |= _ratio(metric, other)
        cells[name] = shown | ({"note": ", ".join(notes)} if notes else {})
    return {
        "precision": cell[1],
        "baseline": bool(row["baseline"]),
        "warning": unusable or summary.difference(measured, reference) or None,
        "cells": cells,
    }


def _ratio(metric: Record, other: Record) -> dict[str, str]:
    """A cost against the baseline's, and which way it went: "rose" and "fell" only where the intervals are apart."""
    text = f"{metric['value'] / other['value']:.2f}"
    (a, b), (c, d) = (one.get("ci") or (one["value"], one["value"]) for one in (metric, other))
    if text == "1.00":
        trend = "same"
    elif a <= d and c <= b:
        trend = "unclear"
    else:
        trend = "rose" if metric["value"] > other["value"] else "fell"
    return {"ratio": f"{text}\N{MULTIPLICATION SIGN}", "trend": trend}


def _shared(key: str, rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """A note that all values of a column have (how, or what kind) is moved from them to its heading."""
    values = [row["cells"][key] for row in rows if key in row["cells"] and "text" in row["cells"][key]]
    notes = {value.get("note") for value in values}
    if key == "difference" or len(notes) != 1 or notes <= {None, ""}:
        return {}
    for value in values:
        del value["note"]
    return {"note": notes.pop()}


def _quality(evidence: Evidence, words: Words, row: Record) -> dict[str, Any]:
    value, ci = row[evidence.primary], _interval(row, evidence.primary)
    if value is None:
        metrics = evidence.scores[row["model"], row["precision"], row["condition"]]["metrics"]
        return {"absent": metrics.get(evidence.primary, {}).get("absent", "not in the scores of this run")}
    form = wording.format_of(words, {"ci": ci, "baseline": value})
    shown = {"sort": value, "text": form.level(value).removesuffix(" %")}
    return shown | ({"ci": form.interval(ci, sign="")} if ci else {"note": "too few to have an interval"})


def _difference(evidence: Evidence, words: Words, cell: tuple[str, str, str]) -> dict[str, Any]:
    compared = evidence.comparison_of(*cell)
    if compared is None:
        return {"absent": IS_BASELINE}
    metric = compared["metrics"].get(evidence.primary, {"absent": "not compared in this run"})
    if "value" not in metric:
        return {"absent": metric["absent"]}
    form = wording.format_of(words, metric)
    p = metric.get("p_holm")
    note = "" if p is None else wording.p_value(p)
    return {
        "sort": metric["value"],
        "text": form.signed(metric["value"]),
        "ci": form.interval(metric["ci"]),
        "note": note,
    }


def _interval(row: Record, name: str) -> list[float] | None:
    ends = [row.get(f"{name}_ci_{end}") for end in ("low", "high")]
    return None if None in ends else ends


def _plots(evidence: Evidence, rows: Sequence[Record], units: Mapping[str, tuple[str, str, float]]) -> dict[str, Any]:
    """Values for the plots in the units of their axes, as `[value, low, high]`; no interval is two times None."""
    metrics = shown_metrics(evidence)
    track = registry.module_of("track", evidence.track)
    phases = {name: PHASES[name] for name in (f"latency_{phase}" for phase in summary.phases_of(track))}
    base = next(row for row in rows if row["baseline"])
    points = []
    for row in rows:
        cell = row["model"], row["precision"], row["condition"]
        measured = evidence.measurements[cell]
        point = {
            "precision": row["precision"],
            "unusable": recommendation.unusable(row, base),
            "quality": {
                one["name"]: _scaled(row[one["name"]], _interval(row, one["name"]), one["factor"]) for one in metrics
            },
            "costs": {name: _cost(measured, name, units[name][2]) for name in PLOTTED},
            "phases": {name: _cost(measured, name, units["latency"][2]) for name in phases},
            "differences": {one["name"]: _compared(evidence, cell, one) for one in metrics},
        }
        points.append(point)
    return {
        "costs": [{"name": name, "label": units[name][0], "unit": units[name][1]} for name in PLOTTED],
        "phases": [{"name": name, "label": label} for name, label in phases.items()],
        "energy": " or ".join(dict.fromkeys(how for row in rows if (how := row.get("energy_how")))),
        "points": points,
        "fronts": {
            one["name"]: {name: _front(points, one["name"], name, one["higher"]) for name in PLOTTED} for one in metrics
        },
        "cuts": {one["name"]: _cuts(points, one["name"], evidence.baseline) for one in metrics},
    }


def _cuts(points: Sequence[Record], metric: str, baseline: str) -> dict[str, dict[str, Any]]:
    """Where the axes of a metric's values and of its differences are cut, and where arrows stand for what lies beyond.

    `axis` is None where an axis holds all; `beyond` has the arrows' places by precision.
    """
    quality = {one["precision"]: span for one in points if (span := one["quality"][metric])}
    differences = {one["precision"]: span for one in points if isinstance(span := one["differences"][metric], list)}
    base = quality[baseline][0] if baseline in quality else None
    near = axis_cut.NEAR * abs(base or 0.0)
    return {
        "quality": _cut(axis_cut.of_quality([*quality.values()], base), quality),
        "differences": _cut(axis_cut.ends([*differences.values()], near=near), differences),
    }


def _cut(axis: axis_cut.Axis | None, spans: Mapping[str, axis_cut.Span]) -> dict[str, Any]:
    arrows = {name: axis_cut.placed(span[0], axis) for name, span in spans.items() if axis_cut.beyond(span[0], axis)}
    return {"axis": axis, "beyond": arrows}


def shown_metrics(evidence: Evidence) -> list[dict[str, Any]]:
    """The quality metrics that the summary has, the primary one first: how they are named and scaled."""
    track = registry.module_of("track", evidence.track)
    names = [name for name in track.METRICS if evidence.summary and name in evidence.summary[0]]
    found = []
    for name in sorted(names, key=lambda name: name != evidence.primary):
        if all(row[name] is None for row in evidence.summary):
            continue
        words = wording.words_of({"track": evidence.track, "primary": name})
        label = track.METRICS[name]["label"]
        found.append(
            {
                "name": name,
                "label": label,
                "unit": "%" if words.share else "",
                "difference_unit": "points" if words.share else "",
                "factor": words.factor,
                "higher": words.higher_is_better,
            }
        )
    return found


def _scaled(value: float | None, ci: Sequence[float] | None, factor: float) -> list[float | None] | None:
    if value is None:
        return None
    return [value * factor, *([None, None] if ci is None else [end * factor for end in ci])]


def _cost(measured: Record, name: str, factor: float) -> list[float | None] | str:
    """The value with its interval, or why there is none."""
    metric = _metric(measured, name)
    return metric["absent"] if "value" not in metric else _scaled(metric["value"], metric.get("ci"), factor)


def _compared(evidence: Evidence, cell: tuple[str, str, str], about: Record) -> list[float | None] | str:
    compared = evidence.comparison_of(*cell)
    metric = compared["metrics"].get(about["name"], {}) if compared else {"absent": IS_BASELINE}
    if "value" not in metric:
        return metric.get("absent", "not compared with the baseline")
    return _scaled(metric["value"], metric.get("ci"), about["factor"])


def _front(points: Sequence[Record], metric: str, cost: str, higher: bool) -> list[str]:
    """The precisions on the Pareto front of these two, among those that can be compared."""
    known = [
        one for one in points
        if one["unusable"] is None and one["quality"][metric] and isinstance(one["costs"][cost], list)
    ]  # fmt: skip
    on = pareto_front(
        [one["costs"][cost][0] for one in known],
        [one["quality"][metric][0] for one in known],
        higher_is_better=higher,
    )
    return [one["precision"] for one, is_on in zip(known, on, strict=True) if is_on]
