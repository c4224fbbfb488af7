"""What the sections of the paper ask of a study's records: its main cell, its formats, its verdicts, their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from bitbudget import registry
from bitbudget.judging import recommendation, verdicts
from bitbudget.telling import wording
from bitbudget.telling.evidence import Evidence
from bitbudget.telling.wording import Format

Record = Mapping[str, Any]
NOT_COMPARED = verdicts.NOT_COMPARED


class View:
    """A study as the paper sees it. `number` tells it from others in one paper, in labels."""

    def __init__(self, evidence: Evidence, number: int = 1, several: bool = False):
        self.e, self.number, self.several = evidence, number, several
        self.model, self.condition = evidence.models[0], evidence.conditions[0]
        self.track = registry.module_of("track", evidence.track)
        self.words = wording.words_of(evidence.study)

    def label(self, name: str) -> str:
        """The label of a table or figure."""
        return f"{name}-{self.number}"

    def figure(self, name: str) -> str:
        """Where a figure of the study lies, beside the paper."""
        folder = "figures" if self.number == 1 else f"../{self.e.name}/figures"
        return f"{folder}/{name}.png"

    @property
    def items(self) -> str:
        """What an item is, in the plural."""
        return {"detection": "images", "lambada": "passages", "vqa": "questions"}.get(self.e.track, "images")

    @property
    def n(self) -> int:
        """How many items were asked."""
        return self.e.n

    def counted(self, number: int) -> str:
        """A number of items in words: "160 images", "1 image"."""
        return f"{number} {self.items if number != 1 else self.items.removesuffix('s')}"

    @property
    def others(self) -> list[str]:
        """All precisions but the baseline."""
        return [name for name in self.e.precisions if name != self.e.baseline]

    @property
    def cells(self) -> list[tuple[str, str]]:
        """Models and conditions, the main one first."""
        return [(model, condition) for model in self.e.models for condition in self.e.conditions]

    def cell_name(self, model: str, condition: str) -> str:
        """A model and condition, as far as there are several."""
        names = [model] * (len(self.e.models) > 1) + [condition] * (len(self.e.conditions) > 1)
        return ", ".join(names)

    def where(self, model: str, condition: str) -> str:
        """The same as the start of a sentence: "For m under 4-shot, "; empty where there is only one."""
        several = (len(self.e.models) > 1, len(self.e.conditions) > 1)
        both = {(True, True): f"For {model} under {condition}, ", (True, False): f"For {model}, "}
        return both.get(several) or (f"Under {condition}, " if several[1] else "")

    def elsewhere(self) -> str:
        """What became of the other models and conditions than the main one; empty where there are none."""
        others = [cell for cell in self.cells if cell != (self.model, self.condition)]
        kinds = {cell: self.by_kind(*cell) for cell in others}
        compared = sum(len(names) for found in kinds.values() for kind, names in found.items() if kind != NOT_COMPARED)
        if not compared:
            return ""
        lost = {cell: found["loss"] for cell, found in kinds.items() if "loss" in found}
        number = sum(map(len, lost.values()))
        alike: dict[str, list[str]] = {}
        for cell, names in lost.items():
            alike.setdefault(named(names, 3), []).append(f"({self.cell_name(*cell)})")
        which = "; ".join(f"{names} {wording.listed(where)}" for names, where in alike.items())
        shown = "shows" if number < 2 else "show"
        said = f"{number or 'none'} of {compared} comparisons {shown} a clear loss" + (f": {which}" if which else "")
        what = "models" * (len(self.e.models) > 1), "conditions" * (len(self.e.conditions) > 1)
        return f"With the other {' and '.join(filter(None, what))}, {said}."

    def metric(self, model: str, precision: str, condition: str, name: str | None = None) -> Record:
        """A metric of the scores; an empty record where there is none."""
        return self.e.scores[model, precision, condition]["metrics"].get(name or self.e.primary, {})

    def format_of(self, name: str, metric: Record, compared: Record | None = None) -> Format:
        """How the values of a metric are written."""
        words = wording.words_of({"track": self.e.track, "primary": name})
        if compared:
            return wording.format_of(words, compared)
        # of all precisions like the baseline, so that the numbers of a column have the same decimals
        base = self.metric(self.model, self.e.baseline, self.condition, name)
        own = base if base.get("value") else metric
        return wording.format_of(words, {"ci": own.get("ci"), "baseline": own.get("value")})

    def level(self, metric: Record, name: str | None = None) -> str:
        """A metric's value with its interval: "86.9 % [81.1, 92.1]"."""
        form = self.format_of(name or self.e.primary, metric)
        if not metric.get("ci"):
            return form.level(metric["value"])
        return f"{form.level(metric['value'])} {form.interval(metric['ci'], sign='')}"

    def difference(self, model: str, precision: str, condition: str) -> Record | None:
        """The primary metric of a comparison; None where it has no difference."""
        compared = self.e.comparison_of(model, precision, condition)
        found = compared["metrics"].get(self.e.primary, {}) if compared else {}
        return found if "value" in found else None

    def signed(self, metric: Record) -> str:
        """A difference with its interval in brackets."""
        form = self.format_of(self.e.primary, metric, metric)
        interval = f" {form.interval(metric['ci'])}" if metric.get("ci") else ""
        return f"{form.signed(metric['value'])}{interval}"

    def unusable(self, precision: str, model: str | None = None, condition: str | None = None) -> str | None:
        """Why a precision's costs cannot be held against the baseline's; None where they can."""
        model, condition = model or self.model, condition or self.condition
        row, base = (self.e.row(model, name, condition) for name in (precision, self.e.baseline))
        return recommendation.unusable(row, base)

    def comparable(self, column: str) -> dict[str, float]:
        """A cost of each precision of the main cell that has one which can be held against the baseline's."""
        return {name: value for name, value in self.measured(column).items() if self.unusable(name) is None}

    @property
    def simulated_only(self) -> bool:
        """Whether every precision but the baseline is only simulated, so that no cost can be chosen by."""
        rows = [self.e.row(self.model, name, self.condition) for name in self.others]
        return bool(rows) and all(row["simulated"] is not None for row in rows)

    @property
    def kept(self) -> str:
        """What an accepted precision does, as a verb: "keeps at least 95 % of the baseline's quality"."""
        share = self.e.study["accept"]["quality"]
        if self.words.higher_is_better:
            return f"keeps at least {100 * share:g} % of the baseline's quality"
        return f"stays at or below the baseline's {self.words.label} divided by {share:g}"

    def why_accepted(self, model: str, precision: str, condition: str) -> str:
        """Why a precision is accepted or is not, in a few words, from its comparison."""
        one, verdict = self.e.comparison_of(model, precision, condition), self.e.verdict_of(model, precision, condition)
        metric = verdicts.metric_of(one, self.e.primary) if one else None
        if metric is None or verdict is None:
            return "not compared, so nothing vouches for its quality"
        if metric["baseline"] <= 0:
            return f"the baseline's own {self.words.label} is not above 0"
        share, loses = self.e.study["accept"]["quality"], verdict["kind"] == verdicts.LOSS
        margin = f"{100 * (1 - share):.2g} %"
        if verdict["accepted"]:
            return f"{'loses clearly, but ' if loses else ''}{self.kept} even at the worse end of its interval"
        if loses:
            limit = metric["baseline"] * share**self.words.sign
            beyond = self.words.sign * (metric["compared"] - limit) < 0
            return f"loses more than {margin}" if beyond else f"loses clearly, and a loss of {margin} is not ruled out"
        if verdicts.too_few(one, metric, self.words, share):
            return f"{one['units']} {self.words.clusters} are too few to rule out a loss of {margin}"
        return f"no clear loss, but one of more than {margin} is not ruled out"

    def by_kind(self, model: str, condition: str) -> dict[str, list[str]]:
        """The precisions of each kind of verdict."""
        found: dict[str, list[str]] = {}
        for precision in self.others:
            verdict = self.e.verdict_of(model, precision, condition)
            if verdict:
                found.setdefault(verdict["kind"], []).append(precision)
        return found

    @cached_property
    def formats(self) -> list[str]:
        """The formats that the audits found, the most bits first."""
        found = {
            group["format"] for audit in self.e.audits.values() for group in audit["groups"].values() if group["bytes"]
        }
        known = [name for name in found if name in registry.FORMATS]
        return sorted(known, key=lambda name: (-registry.format_of(name).bits, name))

    def measured(self, column: str, model: str | None = None, condition: str | None = None) -> dict[str, float]:
        """A cost of each precision that has one."""
        model, condition = model or self.model, condition or self.condition
        values = {name: self.e.row(model, name, condition).get(column) for name in self.e.precisions}
        return {name: value for name, value in values.items() if value is not None}


def named(precisions: Sequence[str], most: int = 6) -> str:
    """Names as a sentence lists them; many are cut short and counted."""
    if len(precisions) <= most:
        return wording.listed(list(precisions))
    return f"{', '.join(precisions[: most - 1])} and {len(precisions) - most + 1} more"
