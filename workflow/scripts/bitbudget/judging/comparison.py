"""Every precision against the baseline on the same items, metric by metric, and the baseline against itself.

What a metric of a resample is made of, the track says (`resampled`); the statistics are those of `paired`. Here stand
which records belong together, and how the differences become a record and a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import gt
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bitbudget import contracts, files, records, registry
from bitbudget.errors import UserError
from bitbudget.judging.comparison_kinds import NOISE_FLOOR, PRECISION
from bitbudget.stats import bootstrap, bounds, paired

Record = Mapping[str, Any]
Row = Mapping[str, Any]

OWN_VALUE = "the item's own value in the primary metric"  # what an item is worth where the track does not say
LOWER = ", of which less scores higher"  # where lower is better
COLUMNS = (
    "study", "model", "condition", "kind", "precision", "metric", "unit", "baseline", "compared", "difference",
    "ci_low", "ci_high", "standard_error", "test", "p_value", "p_holm", "family", "smallest_detectable", "n", "units",
    "units_changed", "changed", "better", "worse", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """What one precision of one model gave under one condition: its scores, and of each item its row and its answer."""

    path: Path  # of its scores.json
    scores: Record
    rows: Mapping[str, Row]
    answers: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.scores["model"], self.scores["precision"], self.scores["condition"]


def read_cells(
    scores: Sequence[Path], item_scores: Sequence[Path], predictions: Sequence[Path], answer: str
) -> list[Cell]:
    """The cells of these files, of which each list has one a cell, in the same order.

    `answer` is the key of a prediction that holds the answer. Raises `UserError` where the lists differ in length, or
    files of a cell in their items.
    """
    if not len(scores) == len(item_scores) == len(predictions):
        raise UserError(
            f"{len(scores)} scores.json, {len(item_scores)} item_scores.jsonl and {len(predictions)} predictions.jsonl "
            "were given; give one of each for every precision, in the same order."
        )
    cells = []
    for path, of_items, of_answers in zip(scores, item_scores, predictions, strict=True):
        rows = {row["id"]: row for row in files.read_jsonl(of_items)}
        answers = {row["id"]: row[answer] for row in files.read_jsonl(of_answers)}
        if rows.keys() != answers.keys() or not rows:
            raise UserError(f"{of_items} and {of_answers} are not of the same items; predict and score again.")
        cells.append(Cell(path, files.read_json(path), rows, answers))
    return cells


def compare(
    spec: Mapping[str, Any], cells: Sequence[Cell], noise: Sequence[Cell] = (), resamples: int | None = None
) -> dict[str, Any]:
    """The body of the record: all comparisons with the baseline, in the study's order, and after them the noise floors.

    `spec` has the study's `track`, `primary`, `seed`, `models`, `precisions`, `conditions` and `baseline`; `noise` are
    the baseline's cells when it was asked a second time. `resamples` is for tests: None takes the track's.

    All of one model and condition share their draws. Items are taken in the order of their ids, so that of the files
    does not matter. Raises `UserError` where a cell is missing or comes twice, or cells do not belong together.
    """
    track = registry.module_of("track", spec["track"])
    by_key, floors = _by_key(cells), _by_key(noise)
    _belong_together([*cells, *noise])
    better = track.METRICS[spec["primary"]]["higher_is_better"]
    compared, repeated, resampled = [], [], {}
    for model in spec["models"]:
        for condition in spec["conditions"]:
            base = _found(by_key, (model, spec["baseline"], condition))
            others = [
                _found(by_key, (model, name, condition)) for name in spec["precisions"] if name != spec["baseline"]
            ]
            floor = [floors[base.key]] if base.key in floors else []
            _same_checkpoint(base, floor)
            group = _Group(track, base, [*others, *floor], spec["seed"], resamples)
            resampled |= group.resamples
            found = [
                {
                    "model": model,
                    "condition": condition,
                    "precision": cell.key[1],
                    "kind": PRECISION if number < len(others) else NOISE_FLOOR,
                    "n": len(group.ids),
                    "units": group.units,
                    "metrics": group.metrics(number),
                    "answers": group.answers(cell, spec["primary"]),
                }
                for number, cell in enumerate(group.others)
            ]
            compared += found[: len(others)]
            repeated += found[len(others) :]
    comparisons = compared + repeated
    _correct(comparisons)
    _say_what_could_be_seen(comparisons, resampled, track.RESAMPLED)
    return {
        "primary": spec["primary"],
        "baseline": spec["baseline"],
        "level": paired.LEVEL,
        "power": paired.POWER,
        "worth": contracts.of(track, "WORTH") or OWN_VALUE + LOWER * (not better),
        "resamples": resampled,
        "comparisons": comparisons,
    }


def _by_key(cells: Sequence[Cell]) -> dict[tuple[str, str, str], Cell]:
    found: dict[tuple[str, str, str], Cell] = {}
    for cell in cells:
        if cell.key in found:
            raise UserError(
                f"{found[cell.key].path} and {cell.path} are both of {' / '.join(cell.key)}; give one of them."
            )
        found[cell.key] = cell
    return found


def _found(by_key: Mapping[tuple[str, str, str], Cell], key: tuple[str, str, str]) -> Cell:
    if key not in by_key:
        raise UserError(f"there are no scores of {' / '.join(key)}; score it before the comparison.")
    return by_key[key]


def _belong_together(cells: Sequence[Cell]) -> None:
    """Raise `UserError` unless all cells are of one subset, and of the same of its items."""
    for cell in cells:
        first = cells[0]
        if cell.scores["subset_hash"] != first.scores["subset_hash"] or cell.rows.keys() != first.rows.keys():
            raise UserError(
                f"{first.path} and {cell.path} are of different subsets or items, so they cannot be compared; predict "
                "and score again on the subset that is there now."
            )


def _same_checkpoint(base: Cell, floor: Sequence[Cell]) -> None:
    for cell in floor:
        if cell.scores["checkpoint_hash"] != base.scores["checkpoint_hash"]:
            raise UserError(
                f"{cell.path} and {base.path} are of different checkpoints, so they do not show noise; predict and "
                "score the baseline again, both times."
            )


class _Group:
    """A baseline and what is compared with it: the cells of one model and condition, resampled together."""

    def __init__(self, track: ModuleType, base: Cell, others: Sequence[Cell], seed: int, resamples: int | None) -> None:
        self.track, self.base, self.others = track, base, others
        self.ids = sorted(base.rows)
        self.rows = [[cell.rows[key] for key in self.ids] for cell in (base, *others)]
        sets = [track.resampled(rows) for rows in self.rows]
        for cell, one in zip((base, *others), sets, strict=True):
            _same_units(base, sets[0], cell, one)
            _of_these_rows(cell, one)
        self.sets = sets
        self.outcomes = [_outcomes(rows, one) for rows, one in zip(self.rows, sets, strict=True)]
        self.units = sets[0].count
        self.telling = self.units if sets[0].telling is None else sets[0].telling
        self.enough = self.telling >= bootstrap.FEWEST_UNITS
        self.resamples = dict.fromkeys(sets[0].made_of, resamples or sets[0].resamples) if self.enough else {}
        self.drawn = bootstrap.draws(sets, seed, resamples, weighted=True) if self.enough else []
        self.one_more = bootstrap.weight_of_one_more(self.units, resamples or sets[0].resamples, seed)

    def metrics(self, number: int) -> dict[str, dict[str, Any]]:
        """The differences of the compared cell of this number, by metric."""
        cell = self.others[number]
        return {
            name: self._metric(name, about, cell, number + 1) | self._items(cell, name)
            for name, about in self.track.METRICS.items()
            if (name in self.base.scores["metrics"] or name in cell.scores["metrics"])
            and not about.get("against_baseline")
        }

    def _metric(self, name: str, about: Mapping[str, Any], cell: Cell, number: int) -> dict[str, Any]:
        unit, better = about["unit"], about["higher_is_better"]
        both = {"baseline": self.base.scores["metrics"].get(name, {}), "compared": cell.scores["metrics"].get(name, {})}
        values = {side: metric["value"] for side, metric in both.items() if "value" in metric}
        reason = self._absent(name, both, cell, number)
        if reason:
            return records.absent(reason, unit, higher_is_better=better) | values
        value = values["compared"] - values["baseline"]
        drawn = self._differences(number, name, values["baseline"])
        kept = np.isfinite(drawn)
        made_of = self.sets[0].made_of[name]
        before, after = ([row[made_of] for row in self.rows[which]] for which in (0, number))
        pairs = zip(self.sets[0].units, self.outcomes[0][name], self.outcomes[number][name], strict=True)
        changed = len({unit for unit, one, other in pairs if one != other})
        binary = made_of == name and {*before, *after} <= {0, 1}
        single = self.units == len(self.ids)
        flips = (sum(map(gt, after, before)), sum(map(gt, before, after))) if binary and single else None
        stake = paired.stake(values["baseline"], self._shares(before, better))
        unseen = paired.Unseen(self.one_more[kept], stake)
        found = paired.difference(
            value, drawn[kept], unseen, units=self.units, changed=changed, higher_is_better=better, flips=flips
        )
        more: dict[str, Any] = {"standard_error": found.standard_error, "units_changed": changed, "test": found.test}
        more["stake"] = 1.0 if flips else stake
        more |= {"p_value": found.p_value, "p_holm": None}
        noun = self.track.RESAMPLED
        if not found.value and not found.standard_error:
            of_items = isinstance(before[0], int | float) and not changed
            more["smallest_detectable_absent"] = _nothing_changed(self.units if of_items else None, noun)
        if binary and not single:
            more["note"] = f"McNemar's test is for independent items, so the bootstrap over {noun} takes its place."
        return records.metric(
            found.value, unit, higher_is_better=better, n=len(self.ids), ci=found.ci, **values, **more
        )

    def _differences(self, number: int, name: str, value: float) -> np.ndarray:
        """The differences from the baseline in every resample, [resamples].

        Those that are too high on the whole are scaled as brings the baseline's mean to its `value`: by what is no
        matter of the compared precision, so that none of its answers, made worse, makes a resample better.
        """
        of_base, of_compared = self.drawn[0][name], self.drawn[number][name]
        found = of_compared - of_base
        mean = np.nanmean(of_base) if self.sets[0].raised else 0.0
        return found * (value / mean) if mean else found

    def _shares(self, before: Sequence[Any], better: bool) -> np.ndarray:
        """What share of the baseline's value each unit would take with it, [units].

        That of its items' values, or what the track says; as much as any other where more is worse, and of nothing.
        """
        units = self.sets[0].units
        even = np.full(self.units, 1 / self.units)
        if better and isinstance(before[0], int | float):
            place = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
            held = np.bincount([place[unit] for unit in units], weights=np.abs(before), minlength=len(place))
            return held / held.sum() if held.any() else even
        told = self.sets[0].shares
        return even if told is None or not better else told

    def _absent(self, name: str, both: Mapping[str, Record], cell: Cell, number: int) -> str | None:
        """Why there is no difference in this metric; None where there is one."""
        for path, metric in zip((self.base.path, cell.path), both.values(), strict=True):
            if "value" not in metric:
                return metric.get("absent", f"{path} does not have it; score this precision again.")
        made_of = self.sets[0].made_of
        if name not in made_of or name not in self.sets[number].made_of:
            return f"it is not computed of resamples, so a difference could be chance; {', '.join(made_of)} are."
        if not self.enough:
            noun = self.track.RESAMPLED
            few = f"{self.telling} {noun} are" if self.telling != 1 else f"1 {noun.removesuffix('s')} is"
            return (
                f"{few} too few to tell a difference from chance; choose a subset of at least {bootstrap.FEWEST_UNITS}."
            )
        return None

    def answers(self, cell: Cell, primary: str) -> dict[str, int]:
        """How many answers changed at all, and how many items rose or fell by themselves in the primary metric.

        Only the first where this metric is absent, and items have no value in it.
        """
        changed = {"changed": sum(self.base.answers[key] != cell.answers[key] for key in self.ids)}
        found = self._better_and_worse(cell, primary)
        return changed | found | ({"same": len(self.ids) - sum(found.values())} if found else {})

    def _items(self, cell: Cell, name: str) -> dict[str, int]:
        """How many items are better and worse by their own values in a metric; empty where they have none."""
        return {} if contracts.of(self.track, "WORTH") else self._better_and_worse(cell, name)

    def _better_and_worse(self, cell: Cell, name: str) -> dict[str, int]:
        """How many items are worth more and less than with the baseline; empty where they have no value in a metric."""
        worth = contracts.of(self.track, "worth")
        try:
            pairs = [[worth(one.rows[key], name) for one in (self.base, cell)] for key in self.ids]
        except KeyError:
            return {}
        if any(None in pair for pair in pairs):
            return {}
        gains = [after - before for before, after in pairs if abs(after - before) > 1e-9 * max(1, abs(before))]
        better = sum(gain > 0 for gain in gains)
        return {"better": better, "worse": len(gains) - better}


def _same_units(base: Cell, of_base: bootstrap.Resampled, cell: Cell, found: bootstrap.Resampled) -> None:
    if found.units != of_base.units:
        raise UserError(f"{base.path} and {cell.path} are not of the same images; score both again.")


def _of_these_rows(cell: Cell, found: bootstrap.Resampled) -> None:
    """Raise `UserError` where the item scores give other values than scores.json has."""
    for name, value in found.whole().items():
        recorded = cell.scores["metrics"].get(name, {}).get("value")
        if recorded is not None and abs(recorded - value) > 1e-6 * max(1, abs(value)):
            raise UserError(
                f"{cell.path} has {name} {recorded:.6g}, and the item scores given with it {value:.6g}; give the files "
                "of each precision in the same order, or score it again."
            )


def _outcomes(rows: Sequence[Row], resampled: bootstrap.Resampled) -> dict[str, list[Any]]:
    """By metric, what of each row counts as a difference between two precisions."""
    outcome = resampled.outcome
    return {
        name: [outcome(row, name) if outcome else row[key] for row in rows] for name, key in resampled.made_of.items()
    }


def _nothing_changed(units: int | None, noun: str) -> str:
    """What can be said where no resample differs; `units` is None where a metric is not made of items' own values."""
    if units is None:
        return "its value is the same in every resample, so there is no spread to reckon with."
    return (
        f"none of the {units} {noun} differs in it, so there is no spread to reckon with; with 95 % confidence fewer "
        f"than {100 * bounds.none_of(units):.2g} % of all would."
    )


def _correct(comparisons: Sequence[dict[str, Any]]) -> None:
    """Fill in each metric's p value after Holm, and over how many: all precisions of every model and condition."""
    tested = [one["metrics"] for one in comparisons if one["kind"] == PRECISION]
    for name in {name: None for metrics in tested for name in metrics}:
        family = [metrics[name] for metrics in tested if "p_value" in metrics.get(name, {})]
        for metric, p_value in zip(family, paired.holm([metric["p_value"] for metric in family]), strict=True):
            metric |= {"p_holm": p_value, "family": len(family)}


def _say_what_could_be_seen(comparisons: Sequence[dict[str, Any]], resamples: Mapping[str, int], noun: str) -> None:
    """Fill in each metric's smallest detectable difference, or why there is none; the noise floor is tested alone."""
    for one in comparisons:
        for name, metric in one["metrics"].items():
            if "p_value" not in metric or "smallest_detectable_absent" in metric:
                continue
            family, units, test = metric.get("family", 1), one["units"], metric["test"]
            reason = None
            if test == paired.BOOTSTRAP:
                reason = _too_few_draws(resamples[name], family)
                if reason:
                    metric["note"] = " ".join(filter(None, (metric.get("note"), reason)))
                reason = reason or _too_few_changes(metric["units_changed"], units, noun, family)
            if reason:
                metric["smallest_detectable_absent"] = reason
            else:
                changed = metric["units_changed"]
                smallest = paired.smallest_of(metric["standard_error"], units, units, test, family, changed)
                metric["smallest_detectable"] = smallest


def _too_few_draws(resamples: int, family: int) -> str | None:
    """Why no bootstrap can give a verdict among so many comparisons; None where it can."""
    least = paired.least_p(resamples)
    if family * least < 1 - paired.LEVEL:
        return None
    return (
        f"{resamples} resamples give no p value below {least:.2g}, nor after Holm over {family} comparisons one below "
        f"{min(1.0, family * least):.2g}, so no difference can be called significant; compare fewer precisions."
    )


def _too_few_changes(changed: int, units: int, noun: str, family: int) -> str | None:
    """Why it cannot be told what could have been seen; None where it can."""
    if changed >= paired.fewest_changes(family):
        return None
    if not changed:
        return f"none of the {units} {noun} differs by itself, so there is no spread to reckon with."
    verb = "differs" if changed == 1 else "differ"
    return f"only {changed} of {units} {noun} {verb}, too few to tell how far they spread."


def table(record: Record) -> Iterator[dict[str, Any]]:
    """The rows of comparison.csv: one a comparison and metric; what is absent is None, and `note` says why.

    `changed` counts answers, whatever the metric; `better` and `worse` count items by the row's metric, in the primary
    one by what the record calls their `worth`.
    """
    for one in record["comparisons"]:
        for name, metric in one["metrics"].items():
            low, high = metric.get("ci", (None, None))
            found = {"study": record["study"], "metric": name, "difference": metric.get("value")}
            found |= {"ci_low": low, "ci_high": high}
            found |= {key: one[key] for key in ("model", "condition", "kind", "precision", "n", "units")}
            counts = one["answers"] if name == record["primary"] else metric
            found |= {"changed": one["answers"]["changed"]} | {key: counts.get(key) for key in ("better", "worse")}
            reasons = [metric.get(key) for key in ("absent", "smallest_detectable_absent", "note")]
            reasons += [] if "better" in counts else [f"better, worse: no item has a value of its own in {name}."]
            found["note"] = " | ".join(filter(None, reasons))
            yield {column: found.get(column, metric.get(column)) for column in COLUMNS}


def in_words(record: Record) -> Iterator[str]:
    """The primary metric of every comparison in a line: difference, interval, p value, smallest detectable loss."""
    primary = record["primary"]
    names = [
        one["precision"] if one["kind"] == PRECISION else f"{one['precision']} again" for one in record["comparisons"]
    ]
    width = max(map(len, names), default=0)
    where = None
    for name, one in zip(names, record["comparisons"], strict=True):
        if where != (where := (one["model"], one["condition"])):
            family = one["metrics"][primary].get("family", 1)
            holm = f", p after Holm over {family} comparisons" if family > 1 else ""
            yield f"{one['model']}, {one['condition']}: {primary} against {record['baseline']}, n = {one['n']}{holm}"
        yield f"  {name:<{width}}  {_line(one['metrics'][primary], one['answers'])}"


def _line(metric: Mapping[str, Any], answers: Mapping[str, int]) -> str:
    if "absent" in metric:
        return f"absent: {metric['absent']}"
    low, high = metric["ci"]
    p_value = metric["p_value"] if metric["p_holm"] is None else metric["p_holm"]
    seen = metric.get("smallest_detectable")
    items = ", ".join(f"{answers[name]} {name}" for name in ("changed", "better", "worse") if name in answers)
    return (
        f"{metric['value']:+.4f} [{low:+.4f}, {high:+.4f}]  p {p_value:.4f}  "
        f"smallest detectable loss {'-' if seen is None else f'{seen:.4f}'}  {items}"
    )
