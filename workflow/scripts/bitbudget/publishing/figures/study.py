"""What the figures show: the study's rows in order with their quantities, from verdicts.json and measurements.

Quality, its texts, how a cost stands to the baseline's and which rows are on a front are those of the record of
verdicts; bars of costs are as long as the measurements say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bitbudget import contracts, registry
from bitbudget.errors import UserError
from bitbudget.measuring import circumstances
from bitbudget.measuring.phase_names import NO_REASON, PHASES

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Quantity:
    """A value with its 95 % interval, or (value None) the reason why there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    kind: str | None = None  # how it was measured, where that is part of the result
    net: float | None = None  # of an energy: what is above the idle machine
    idle_watts: float | None = None
    batch_size: int | None = None
    scope: str | None = None  # of an energy: whose it is
    repeats: int = 1  # processes that it was measured in
    n: int | None = None  # items, where that is not the row's number
    text: str = ""  # as it is written, a cost without its unit
    with_unit: str = ""  # of a cost
    interval: str = ""  # of a quality: as it is written
    times: str = ""  # of a cost: against the baseline's; empty where it is not compared
    incomparable: str = ""  # of a cost: why it is not compared


# A metric by kinds of item: the kind ("answer_type"), then its types ("yes/no").
Parts = Mapping[str, Mapping[str, Quantity]]


@dataclass(frozen=True)
class Row:
    """One model in one precision under one condition."""

    model: str
    precision: str
    condition: str
    baseline: bool
    n: int
    quality: Mapping[str, Quantity]
    costs: Mapping[str, Quantity]
    place: str = ""  # the machine that its costs were measured on
    incomparable: str = ""  # why none of its costs can be compared with the baseline's
    disturbed: str = ""  # that timings of its model and condition say nothing, and what to do
    fronts: frozenset[str] = frozenset()  # costs with whom alone its quality is on a Pareto front
    delegate: str | None = None  # what ran how many of a detector's operators
    parts: Parts = field(default_factory=dict)  # its primary metric by kinds of item
    across: frozenset[str] = frozenset()  # the same of `fronts`, among the precisions of all models


@dataclass(frozen=True)
class Study:
    """All rows of a study and what its figures need to name things."""

    rows: Sequence[Row]
    models: Sequence[str]
    precisions: Sequence[str]
    conditions: Sequence[str]
    baseline: str
    primary: str
    metrics: Mapping[str, Mapping[str, Any]]
    note: str = ""
    colours: Mapping[str, str] = field(default_factory=dict)
    floor: Mapping[str, float] = field(default_factory=dict)  # what answers without looking, or reading, score
    floor_parts: Parts = field(default_factory=dict)
    floor_words: str = ""  # what those answers are
    resampled: str = "items"  # what the intervals of quality were drawn over
    item: str = "item"  # what an item is, in one word
    timed: frozenset[str] = frozenset()  # costs of which a disturbed measurement says nothing
    rates: Mapping[str, str] = field(default_factory=dict)  # speeds that there are, and their units
    further: Sequence[str] = ()  # labels of metrics that the summary has and the figure of quality does not draw

    def of(self, model: str, condition: str) -> list[Row]:
        """The rows of one model and condition, in the order of the study's precisions."""
        return [row for row in self.rows if (row.model, row.condition) == (model, condition)]

    def provenance(self) -> str:
        """Which models were measured where, as the baseline was, and on how many items they were scored."""
        models: dict[str, list[str]] = {}
        for model in self.models:
            rows = sorted((row for row in self.rows if row.model == model), key=lambda row: not row.baseline)
            models.setdefault(next((row.place for row in rows if row.place), ""), []).append(model)
        places = [", ".join(names) + (f" on {place}" if place else "") for place, names in models.items()]
        counts = sorted({row.n for row in self.rows if row.n})
        items = f"; {span(counts)} {self.item}s scored" if counts else ""
        return f"{'; '.join(places)}{items}."

    def warnings(self, *costs: str) -> list[str]:
        """Which rows' values of these costs cannot be compared with the baseline's: one line for each reason."""
        names: dict[str, list[str]] = {}
        for row in self.rows:
            for cost in costs:
                reason = self._not_compared(row, cost)
                if reason:
                    name = f"{row.model} {row.precision}" if len(self.models) > 1 else row.precision
                    names.setdefault(reason, []).append(name)
        said = {row.disturbed: None for row in self.rows if row.disturbed and self.timed.intersection(costs)}
        lines = [f"{', '.join(dict.fromkeys(found))}: {reason}." for reason, found in names.items()]
        return [*(f"{one[:1].upper()}{one[1:]}." for one in said), *lines]

    def _not_compared(self, row: Row, cost: str) -> str:
        if row.costs[cost].value is None:
            return ""
        alone = "" if row.disturbed and cost in self.timed else row.costs[cost].incomparable
        return row.incomparable or alone

    def delegates(self) -> list[str]:
        """What ran the operators of the study's detectors, in a line; none of other models."""
        found: dict[str, dict[str, list[str]]] = {}
        for row in self.rows:
            if row.delegate:
                found.setdefault(row.delegate, {}).setdefault(row.model, []).append(row.precision)
        lists = [
            words + (f" ({'; '.join(self._names(*one) for one in models.items())})" if len(found) > 1 else "")
            for words, models in found.items()
        ]
        if not lists:
            return []
        counts = [re.search(r"(\d+)/(\d+)", words) for words in found]
        others = any(count is None or count[1] != count[2] for count in counts)
        return [f"Run by {', by '.join(lists)}." + " All other operators run in LiteRT's own kernels." * others]

    def _names(self, model: str, precisions: Sequence[str]) -> str:
        """These rows of a model: the model alone where they are all of it, and the precisions alone where there is no
        other model."""
        if len(precisions) == len(self.precisions) * len(self.conditions):
            return model
        names = ", ".join(dict.fromkeys(precisions))
        return f"{model} {names}" if len(self.models) > 1 else names


def span(values: Sequence[float]) -> str:
    """Sorted numbers as one, or from the least to the most: "3", "3 to 5"."""
    return f"{values[0]:g}" if values[0] == values[-1] else f"{values[0]:g} to {values[-1]:g}"


COSTS = (
    "size_on_disk",
    "weights_in_memory",
    "peak_memory",
    "latency",
    "latency_preprocessing",
    "latency_vision",
    "latency_prefill",
    "latency_decode",
    "latency_invoke",
    "latency_postprocessing",
    "energy_per_item",
)


def load(
    verdicts: Record,
    measurements: Sequence[Record],
    spec: Record,
    blind: Record | None = None,
    scores: Sequence[Record] = (),
) -> Study:
    """The study as its records tell it.

    `spec` holds `track`, `models`, `precisions`, `conditions` and, where there is one, `note`; `blind` is the record of
    answers given without looking, or reading; of the `scores` only the breakdown is read. Raises `UserError` where a
    model, precision and condition has no measurements or no verdict.
    """
    from bitbudget.publishing.figures.style import colours_of

    track = registry.module_of("track", spec["track"])
    measured = {(one["model"], one["precision"], one["condition"]): one for one in measurements}
    about = {one["name"]: track.METRICS[one["name"]] | one for one in verdicts["metrics"]}
    for name, one in about.items():
        one["unit"] = one["unit"] or track.METRICS[name]["unit"]
    primary = verdicts["primary"]
    factor = about[primary]["factor"] if primary in about else 1.0
    parts = {(one["model"], one["precision"], one["condition"]): _parts(one, factor) for one in scores}
    shown = {primary, *(contracts.of(track, "SHOWN") or about)}
    metrics = {name: one for name, one in about.items() if name in shown}
    blind = blind or {"metrics": {}}
    costs = {one["metric"]: one for cell in verdicts["cells"] for one in (*cell["costs"], *cell["further_costs"])}
    across = {one["condition"]: one["fronts"] for one in verdicts["across"]}
    rows = []
    for cell in verdicts["cells"]:
        for entry in cell["entries"]:
            key = (cell["model"], entry["precision"], cell["condition"])
            if key not in measured:
                raise UserError(f"there is no measurements record of {' / '.join(key)}; name those of the whole study.")
            one = measured[key]
            rows.append(
                Row(
                    *key,
                    baseline=entry["baseline"],
                    n=cell["n"],
                    quality={name: _quality(entry["metrics"].get(name)) for name in metrics},
                    costs={name: _cost(name, one["metrics"], entry["costs"].get(name)) for name in (*COSTS, *costs)},
                    place=circumstances.place(circumstances.circumstances(one)),
                    incomparable=entry["incomparable"] or "",
                    disturbed=cell["disturbed"] or "",
                    fronts=frozenset(name for name, on in cell["fronts"].items() if entry["precision"] in on),
                    across=frozenset(
                        name
                        for name, on in across.get(cell["condition"], {}).items()
                        if {"model": cell["model"], "precision": entry["precision"]} in on
                    ),
                    delegate=circumstances.delegate(one),
                    parts=parts.get(key, {}),
                )
            )
    return Study(
        rows=rows,
        models=spec["models"],
        precisions=spec["precisions"],
        conditions=spec["conditions"],
        baseline=verdicts["baseline"],
        primary=primary,
        metrics=metrics,
        note=spec.get("note", ""),
        colours=colours_of(spec["precisions"], verdicts["baseline"]),
        floor={
            name: metric["value"] * metrics[name]["factor"]
            for name, metric in blind["metrics"].items()
            if "value" in metric and name in metrics
        },
        floor_parts=_parts(blind, factor),
        floor_words=track.FLOOR,
        resampled=verdicts["clusters"],
        item=verdicts["item"],
        timed=frozenset(name for name, one in costs.items() if one["timed"]),
        rates={name: one["unit"] for name, one in costs.items() if one["higher_is_better"]},
        further=[one["label"] for name, one in about.items() if name not in shown],
    )


def _parts(record: Record, factor: float) -> Parts:
    return {
        kind: {
            name: Quantity(
                factor * metric["value"],
                *(None if end is None else factor * end for end in metric.get("ci", (None, None))),
                n=metric["n"],
            )
            for name, metric in types.items()
        }
        for kind, types in record.get("breakdown", {}).items()
    }


def _quality(metric: Record | None) -> Quantity:
    if metric is None or "value" not in metric:
        return Quantity(None, reason=(metric or {}).get("absent", "not in the scores of this run"))
    ends = metric["ci"] or (None, None)
    return Quantity(metric["value"], *ends, text=metric["text"], interval=metric["interval"])


def _cost(name: str, metrics: Mapping[str, Record], told: Record | None) -> Quantity:
    # What is not in the record at all is absent for the reason for which nothing was timed, if that is so.
    metric = metrics.get(name) or {"absent": metrics.get("latency", {}).get("absent", NO_REASON)}
    if "value" not in metric:
        return Quantity(None, reason=metric["absent"])
    # A phase is a part of a stacked bar, where an interval would be read as that of the whole.
    low, high = (None, None) if name in PHASES else metric.get("ci") or (None, None)
    kind = metric.get("kind") or ", ".join(metric[key] for key in ("how", "source") if key in metric)
    more = {key: metric.get(key) for key in ("net", "idle_watts", "batch_size", "scope")}
    more["repeats"] = len(metric["by_repeat"]) if "by_repeat" in metric else 1
    more |= {key: (told or {}).get(key, "") for key in ("text", "with_unit", "times", "incomparable")}
    return Quantity(metric["value"], low, high, kind=kind or None, **more)
