"""What the sections of the paper ask of a study: its cells of verdicts.json, the main one first, and its names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from bitbudget import contracts, registry
from bitbudget.telling import wording
from bitbudget.telling.evidence import Evidence

Record = Mapping[str, Any]


class View:
    """A study as the paper sees it. `number` tells it from others in one paper, in labels.

    `charts` gathers what its sections draw, by the names among the document's assets.
    """

    def __init__(self, evidence: Evidence, number: int = 1, several: bool = False):
        self.e, self.number, self.several = evidence, number, several
        self.model, self.condition = evidence.models[0], evidence.conditions[0]
        self.track = registry.module_of("track", evidence.track)
        self.words = wording.words_of(evidence.study)
        self.cells = [evidence.cell(model, name) for model in evidence.models for name in evidence.conditions]
        self.main = self.cells[0]
        self.charts: dict[str, bytes] = {}

    def label(self, name: str) -> str:
        """The label of a table or figure."""
        return f"{name}-{self.number}"

    def figure(self, name: str) -> str:
        """Where a figure of the study lies, beside the paper."""
        folder = "figures" if self.number == 1 else f"../{self.e.name}/figures"
        return f"{folder}/{name}.png"

    def says(self, name: str) -> Any:
        """What the study's track says of itself."""
        return contracts.of(self.track, name)

    @property
    def dataset(self) -> Any:
        """The module of its data set."""
        return registry.module_of("dataset", self.e.study["dataset"]["kind"])

    @property
    def heading(self) -> str:
        """The primary metric as a heading or a sentence begins with it."""
        return self.e.verdicts["metrics"][0]["label"]

    @property
    def better(self) -> str:
        return "higher is better" if self.words.higher_is_better else "lower is better"

    @property
    def of_main(self) -> str:
        """The main model and condition in brackets behind a space, where there are several."""
        return f" ({self.main['name']})" if self.main["name"] else ""

    @property
    def n(self) -> int:
        """How many items were asked."""
        return self.e.n

    @property
    def others(self) -> list[str]:
        """All precisions but the baseline."""
        return [name for name in self.e.precisions if name != self.e.baseline]

    def metric(self, entry: Record) -> Record:
        """The primary metric of an entry."""
        return entry["metrics"].get(self.e.primary, {})

    def entry(self, precision: str) -> Record:
        """What is said of a precision in the main cell."""
        return self.e.entry(self.model, precision, self.condition)

    @cached_property
    def formats(self) -> list[str]:
        """The formats that the audits found, and those of ready checkpoints, the most bits first."""
        found = {
            group["format"] for audit in self.e.audits.values() for group in audit["groups"].values() if group["bytes"]
        }
        if self.e.track != "detection":
            chosen = self.e.study.get("assignments", {}).get(self.model, {})  # without those that are left out
            ready = (chosen.get(name, {}) for name in self.e.study.get("ready", {}))
            found |= {one["format"] for groups in ready for one in groups.values()}
        known = [name for name in found if name in registry.FORMATS]
        return sorted(known, key=lambda name: (-registry.format_of(name).bits, name))
