"""What the figures show: the study's rows in order with their quantities, from summary.csv and measurements."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.judging import summary
from bitbudget.measuring.phase_names import NO_REASON, PHASES


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
    incomparable: str = ""  # why its costs cannot be compared with the baseline's
    delegate: str | None = None  # what ran how many of a detector's operators
    parts: Parts = field(default_factory=dict)  # its primary metric by kinds of item


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

    def warnings(self) -> list[str]:
        """Rows whose costs were measured under other circumstances than the baseline's: one line for each reason."""
        names: dict[str, list[str]] = {}
        for row in self.rows:
            if row.incomparable:
                many = len(self.models) > 1
                names.setdefault(row.incomparable, []).append(f"{row.model} {row.precision}" if many else row.precision)
        return [f"{', '.join(dict.fromkeys(found))}: {reason}." for reason, found in names.items()]

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
    "prefill_rate",
    "decode_rate",
)
IS_BASELINE = "of the baseline there is none: it is measured against the baseline itself"


def load(
    summary_file: Path,
    measurements: Sequence[Mapping[str, Any]],
    spec: Mapping[str, Any],
    blind: Mapping[str, Any] | None = None,
    scores: Sequence[Mapping[str, Any]] = (),
) -> Study:
    """The study as its summary and measurements tell it.

    `spec` holds `track`, `primary`, `models`, `precisions`, `conditions`, `baseline` and, where there is one, `note`;
    `blind` is the record of answers given without looking, or reading; of the `scores` only the breakdown is read.
    Raises `UserError` where a row of the summary has no measurements record.
    """
    import pandas

    from bitbudget.publishing.figures.style import colours_of

    track = registry.module_of("track", spec["track"])
    table = pandas.read_csv(summary_file, keep_default_na=False, na_values=[""])
    measured = {(one["model"], one["precision"], one["condition"]): one for one in measurements}
    parts = {(one["model"], one["precision"], one["condition"]): _parts(one) for one in scores}
    computed = {name: about for name, about in track.METRICS.items() if name in table}
    shown = {spec["primary"], *getattr(track, "SHOWN", computed)}
    metrics = {name: about for name, about in computed.items() if name in shown}
    blind = blind or {"metrics": {}}
    by_batch = [f"{start}{size}" for start in summary.BY_BATCH for size in summary.batch_sizes(measurements, start)]
    rows = []
    for line in table.to_dict("records"):
        key = (str(line["model"]), str(line["precision"]), str(line["condition"]))
        if key not in measured:
            raise UserError(
                f"{summary_file} has a row of {' / '.join(key)}, but there is no measurements record of it; "
                "name the measurements of the whole study."
            )
        one, baseline = measured[key], key[1] == spec["baseline"]
        rows.append(
            Row(
                *key,
                baseline=baseline,
                n=0 if pandas.isna(line["n_items"]) else int(line["n_items"]),
                quality={name: _quality(line, name, metrics[name], baseline) for name in metrics},
                costs={name: _cost(name, one["metrics"]) for name in (*COSTS, *by_batch)},
                place=summary.place(summary.circumstances(one)),
                incomparable=summary.difference(one, measured.get((key[0], spec["baseline"], key[2]), one)),
                delegate=summary.delegate(one),
                parts=parts.get(key, {}),
            )
        )
    return Study(
        rows=rows,
        models=spec["models"],
        precisions=spec["precisions"],
        conditions=spec["conditions"],
        baseline=spec["baseline"],
        primary=spec["primary"],
        metrics=metrics,
        note=spec.get("note", ""),
        colours=colours_of(spec["precisions"], spec["baseline"]),
        floor={name: metric["value"] for name, metric in blind["metrics"].items() if "value" in metric},
        floor_parts=_parts(blind),
        floor_words=track.FLOOR,
        resampled=track.RESAMPLED,
        # where boxes are the answer, an item is its image and nothing else
        item="image" if getattr(track, "ANSWER", "text") == "detections" else "item",
        further=[about["label"] for name, about in computed.items() if name not in shown],
    )


def _parts(record: Mapping[str, Any]) -> Parts:
    return {
        kind: {
            name: Quantity(metric["value"], *metric.get("ci", (None, None)), n=metric["n"])
            for name, metric in types.items()
        }
        for kind, types in record.get("breakdown", {}).items()
    }


def _quality(line: Mapping[str, Any], name: str, about: Mapping[str, Any], baseline: bool) -> Quantity:
    value, low, high = (line[name + end] for end in ("", "_ci_low", "_ci_high"))
    if value != value:  # NaN: an empty cell
        of_baseline = baseline and about.get("against_baseline")
        return Quantity(None, reason=IS_BASELINE if of_baseline else "see the notes in summary.csv")
    return Quantity(value, low, high) if low == low else Quantity(value)


def _cost(name: str, metrics: Mapping[str, Mapping[str, Any]]) -> Quantity:
    # What is not in the record at all is absent for the reason for which nothing was timed, if that is so.
    metric = metrics.get(name) or {"absent": metrics.get("latency", {}).get("absent", NO_REASON)}
    if "value" not in metric:
        return Quantity(None, reason=metric["absent"])
    # A phase is a part of a stacked bar, where an interval would be read as that of the whole.
    low, high = (None, None) if name in PHASES else metric.get("ci") or (None, None)
    kind = metric.get("kind") or ", ".join(metric[key] for key in ("how", "source") if key in metric)
    more = {key: metric.get(key) for key in ("net", "idle_watts", "batch_size", "scope")}
    more["repeats"] = len(metric["by_repeat"]) if "by_repeat" in metric else 1
    return Quantity(metric["value"], low, high, kind=kind or None, **more)
