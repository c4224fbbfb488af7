"""What the sections of the paper ask of a study's records: its main cell, its formats, its verdicts, their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from bitbudget import registry, wording
from bitbudget.reporting.evidence import Evidence
from bitbudget.wording import Format

Record = Mapping[str, Any]


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

    @property
    def items(self) -> str:
        """What an item is, in the plural."""
        return {"detection": "images", "lambada": "passages", "vqa": "questions"}.get(self.e.track, "images")

    @property
    def n(self) -> int:
        return len(self.e.subset["ids"])

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
        compared = len(others) * len(self.others)
        if not compared:
            return ""
        lost = [f"{name} ({self.cell_name(*cell)})" for cell in others for name in self.by_kind(*cell).get("loss", [])]
        which = f": {named(lost)}" if lost else ""
        where = wording.listed([self.cell_name(*cell) for cell in others])
        shown = "shows" if len(lost) < 2 else "show"
        return f"Elsewhere, under {where}, {len(lost) or 'none'} of {compared} comparisons {shown} a clear loss{which}."

    def metric(self, model: str, precision: str, condition: str, name: str | None = None) -> Record:
        """A metric of the scores; an empty record where there is none."""
        return self.e.scores[model, precision, condition]["metrics"].get(name or self.e.primary, {})

    def format_of(self, name: str, metric: Record, compared: Record | None = None) -> Format:
        """How the values of a metric are written."""
        words = wording.words_of({"track": self.e.track, "primary": name})
        found = {"ci": metric.get("ci"), "baseline": metric.get("value")}
        return wording.format_of(words, compared or found)

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
