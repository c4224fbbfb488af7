"""A model under a condition, with its precisions in the study's order: what one chart of the slides shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bitbudget.judging import recommendation
from bitbudget.publishing.slides.charts import colours_of
from bitbudget.telling import wording
from bitbudget.telling.evidence import Evidence
from bitbudget.telling.wording import Format, Words

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Panel:
    """One model under one condition of a study."""

    evidence: Evidence
    model: str
    condition: str

    @cached_property
    def words(self) -> Words:
        return wording.words_of({"track": self.evidence.track, "primary": self.evidence.primary})

    @property
    def heading(self) -> str:
        """What tells it from the study's other panels; empty where there is no other."""
        names = [self.model] if len(self.evidence.models) > 1 else []
        names += [self.condition] if len(self.evidence.conditions) > 1 else []
        return ", ".join(names)

    @cached_property
    def rows(self) -> list[Record]:
        """The lines of summary.csv."""
        return [self.evidence.row(self.model, name, self.condition) for name in self.evidence.precisions]

    @cached_property
    def base(self) -> Record:
        return self.evidence.row(self.model, self.evidence.baseline, self.condition)

    @cached_property
    def colours(self) -> dict[str, str]:
        """As in the study's figures."""
        return colours_of(self.evidence.precisions, self.evidence.baseline)

    def quality(self, precision: str) -> Record:
        """The primary metric of a precision."""
        return self.evidence.scores[self.model, precision, self.condition]["metrics"][self.evidence.primary]

    def difference(self, precision: str) -> Record | None:
        """The primary metric against the baseline's; None where there is no comparison, or it found no number."""
        metric = (self.comparison(precision) or {}).get("metrics", {}).get(self.evidence.primary)
        return metric if metric is not None and metric.get("value") is not None else None

    def comparison(self, precision: str) -> Record | None:
        """The whole comparison with the baseline."""
        return self.evidence.comparison_of(self.model, precision, self.condition)

    def verdict(self, precision: str) -> Record | None:
        return self.evidence.verdict_of(self.model, precision, self.condition)

    def form(self, metric: Record) -> Format:
        """How the values of a metric, or of a difference, are written."""
        return wording.format_of(self.words, {"baseline": metric.get("value"), **metric})

    def level(self, metric: Record) -> str:
        """A value of the primary metric: "86.9 %"."""
        return self.form(metric).level(metric["value"])

    def signed(self, metric: Record) -> str:
        """A difference with its interval, both signed: "+0.6 [+0.1, +2.0]"."""
        form = self.form(metric)
        interval = f" {form.interval(metric['ci'])}" if metric.get("ci") else ""
        return f"{form.signed(metric['value'])}{interval}"

    def usable(self, row: Record) -> str | None:
        """Why the costs of a precision cannot be held against the baseline's; None where they can."""
        return recommendation.unusable(row, self.base)


def panels(evidence: Evidence) -> list[Panel]:
    """All of a study, in its order."""
    return [Panel(evidence, model, condition) for model in evidence.models for condition in evidence.conditions]
