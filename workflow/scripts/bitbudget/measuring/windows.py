"""Windows in which energy is read, and what an item took in them, gross and above the idle machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitbudget.measuring import energy as energies
from bitbudget.measuring import quantities
from bitbudget.records import absent


@dataclass(frozen=True)
class Window:
    """A window in which so many items were answered, or in which so many times a part of an answer was done."""

    energy: energies.Energy
    items: int


class Windows:
    """The energy of windows by metric, gross and above the idle power that is measured before and after them all.

    `sizes` names the metrics, each with the batch size of its windows; `no_source` is the sentence that says why there
    is no `source`. Windows of `min_seconds` are too short for some sources: these are not asked at all.
    """

    def __init__(
        self, source: energies.Source | None, no_source: str, sizes: Mapping[str, int], min_seconds: float
    ) -> None:
        if source and min_seconds < source.least_seconds:
            no_source = (
                f"windows of {min_seconds:g} s are too short for the {source.name}, which needs "
                f"{source.least_seconds:g} s; raise measure.min_seconds in the study."
            )
            source = None
        self.source, self.no_source, self.sizes = source, no_source, dict(sizes)
        self.found: dict[str, list[Window]] = {name: [] for name in sizes}
        self.idle: list[energies.Energy] = []

    def start(self) -> None:
        """Begin a window."""
        if self.source:
            self.source.start()

    def stop(self, name: str, items: int) -> None:
        """End a window of the metric of this name, in which so many items were answered."""
        if self.source:
            self.found[name].append(Window(self.source.stop(), items))

    def wait(self) -> None:
        """Measure the idle power: this process waits, its model loaded, over the shortest window of the source."""
        if self.source:
            self.source.start()
            time.sleep(1.1 * self.source.least_seconds)
            self.idle.append(self.source.stop())

    def metrics(self) -> dict[str, dict[str, Any]]:
        """`idle_power` in watts and the energy per item of every metric, gross as `value` and above idle as `net`."""
        dead = next((used for used in self.idle if used.joules <= 0), None)
        reason = self._nothing_in(dead.seconds) if dead else self.no_source
        if reason:
            gone = {name: absent(reason, "J", higher_is_better=False) for name in self.sizes}
            return {"idle_power": absent(reason, "W", higher_is_better=False)} | gone
        origin = {"source": self.source.name, "how": self.source.how, "scope": self.source.scope}
        watts = [used.joules / used.seconds for used in self.idle]
        idle = quantities.power(watts, origin)
        found = {"idle_power": idle}
        for name, windows in self.found.items():
            useless = next((w.energy for w in windows if w.energy.joules <= 0), None)
            if useless:
                found[name] = absent(self._nothing_in(useless.seconds), "J", higher_is_better=False)
                continue
            found[name] = quantities.energy(
                [w.energy.joules / w.items for w in windows],
                [(w.energy.joules - idle["value"] * w.energy.seconds) / w.items for w in windows],
                [w.energy.seconds for w in windows],
                {"idle_watts": idle["value"], "batch_size": self.sizes[name], **origin},
            )
        return found

    def _nothing_in(self, seconds: float) -> str:
        return (
            f"the {self.source.name} counted no energy in a window of {seconds:.1f} s, so it does not work on this "
            "machine; measure on one whose energy counter does."
        )
