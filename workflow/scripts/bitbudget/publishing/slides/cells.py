"""A model under a condition, as verdicts.json tells it: what one chart of the slides shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitbudget.publishing.figures import style
from bitbudget.telling.evidence import Evidence

Record = Mapping[str, Any]

ABSENT = "not measured"
DISTURBED = "disturbed"
WORSE, BETTER = "worse", "better"


@dataclass(frozen=True)
class Cell:
    """One model under one condition of a study."""

    evidence: Evidence
    told: Record  # the cell of verdicts.json
    among: bool = False  # whether it is told beside other studies

    @property
    def heading(self) -> str:
        """What tells it from the other cells; empty where there is no other."""
        return ", ".join([self.evidence.name] * self.among + [self.told["name"]] * bool(self.told["name"]))

    @property
    def entries(self) -> Sequence[Record]:
        return self.told["entries"]

    @property
    def base(self) -> Record:
        """The baseline's entry."""
        return next(entry for entry in self.entries if entry["baseline"])

    @property
    def others(self) -> list[Record]:
        return [entry for entry in self.entries if not entry["baseline"]]

    @property
    def primary(self) -> Record:
        """How the primary metric is named and scaled."""
        return self.evidence.verdicts["metrics"][0]

    @property
    def colours(self) -> dict[str, str]:
        """As in the study's figures."""
        return style.colours_of(self.evidence.precisions, self.evidence.baseline)

    @property
    def recommended(self) -> Record | None:
        """The entry of what is recommended; None where that is nothing or the baseline."""
        name = self.told["recommendation"]["precision"]
        return next((entry for entry in self.others if entry["precision"] == name), None)

    def level(self, entry: Record) -> Record:
        """The primary metric of a precision."""
        return entry["metrics"][self.evidence.primary]

    def difference(self, entry: Record) -> Record:
        """The primary metric against the baseline's."""
        return self.level(entry).get("difference", {"absent": "not compared"})

    def signed(self, entry: Record, unit: str = "") -> str:
        """A difference with its interval: "+0.6 [-0.1, +1.2]"."""
        found = self.difference(entry)
        if "value" not in found:
            return "not compared"
        return " ".join(filter(None, (found["text"], unit, found["interval"])))

    def cost(self, metric: str) -> Record:
        """How a cost is named and scaled in this cell."""
        return next(one for one in self.told["costs"] if one["metric"] == metric)


def cells(studies: Sequence[Evidence]) -> list[Cell]:
    """All of these studies, in their order."""
    return [
        Cell(evidence, evidence.cell(model, condition), len(studies) > 1)
        for evidence in studies
        for model in evidence.models
        for condition in evidence.conditions
    ]


def apart_by(every: Sequence[Cell]) -> str:
    """What tells the cells of a study apart: "model and condition"."""
    differ = [key for key in ("model", "condition") if len({cell.told[key] for cell in every}) > 1]
    return " and ".join(differ)


def counted(every: Sequence[Cell]) -> str:
    """How many models and conditions there are: "2 models under 2 conditions", "3 models"."""
    numbers = {key: len({cell.told[key] for cell in every}) for key in ("model", "condition")}
    return " under ".join(f"{number} {key}s" for key, number in numbers.items() if number > 1)


def written(entry: Record, metric: str) -> str:
    """A cost with its unit, or that there is none to show."""
    if entry["simulated"]:
        return "simulated"
    cost = entry["costs"][metric]
    return ABSENT if "value" not in cost else DISTURBED if "remark" in cost else cost["with_unit"]


def times(entry: Record, metric: str) -> str:
    """A cost in the baseline's, with its meaning: "0.52x: smaller"; else why there is none."""
    cost = entry["costs"][metric]
    if not cost.get("times"):
        return ABSENT if "absent" in cost else DISTURBED if "remark" in cost else "not compared"
    return f"{cost['times']}: {cost['word']}"


def marked(entry: Record, metric: str) -> dict[str, str]:
    """How a cost stands to the baseline's, with a sign: {"mark": "worse", "text": "latency 1.53x: slower"}; without a
    text where it is not compared."""
    cost = entry["costs"][metric]
    mark = {True: BETTER, False: WORSE}.get(cost.get("better"), "")
    return {"mark": mark, "text": cost["sentence"] if cost.get("times") else ""}
