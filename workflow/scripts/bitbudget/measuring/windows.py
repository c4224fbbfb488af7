"""Windows in which energy is read, and what an item took in them, gross and above the idle machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitbudget.measuring import energy as energies
from bitbudget.measuring import quantities
from bitbudget.records import absent

log = logging.getLogger("bitbudget")


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
        self._fault = ""  # of the beginning of the window that is open

    def start(self) -> None:
        """Begin a window."""
        if not self.source:
            return
        self._fault = ""
        try:
            self.source.start()
        except Exception as fault:  # a figure is lost then, but not the measurement
            self._fault = self._failed(fault)

    def stop(self, name: str, items: int) -> None:
        """End a window of the metric of this name, in which so many items were answered."""
        if self.source:
            self.found[name].append(Window(self._stopped(), items))

    def _stopped(self) -> energies.Energy:
        used = energies.Energy(0.0, 0.0, self._fault)
        if not self._fault:
            try:
                used = self.source.stop()
            except Exception as fault:
                used = energies.Energy(0.0, 0.0, self._failed(fault))
        if used.fault:
            log.warning("warning: no energy of a window: %s", used.fault)
        return used

    def _failed(self, fault: Exception) -> str:
        return f"the {self.source.name} failed in a window ({energies.in_words(fault)}); measure again."

    def wait(self) -> None:
        """Measure the idle power: this process waits, its model loaded, over the shortest window of the source."""
        if self.source:
            self.start()
            time.sleep(1.1 * self.source.least_seconds)
            self.idle.append(self._stopped())

    def metrics(self) -> dict[str, dict[str, Any]]:
        """`idle_power` in watts and the energy per item of every metric, gross as `value` and above idle as `net`.

        A metric of which any window has no energy is absent; of the idle power one window is enough.
        """
        idle = [used for used in self.idle if not used.fault] or self.idle
        reason = self.no_source or self._lost(idle)
        if reason:
            gone = {name: absent(reason, "J", higher_is_better=False) for name in self.sizes}
            return {"idle_power": absent(reason, "W", higher_is_better=False)} | gone
        origin = {"source": self.source.name, "how": self.source.how, "scope": self.source.scope}
        watts = quantities.power([used.joules / used.seconds for used in idle], origin)
        found = {"idle_power": watts}
        for name, windows in self.found.items():
            if lost := self._lost([window.energy for window in windows]):
                found[name] = absent(lost, "J", higher_is_better=False)
                continue
            found[name] = quantities.energy(
                [w.energy.joules / w.items for w in windows],
                [(w.energy.joules - watts["value"] * w.energy.seconds) / w.items for w in windows],
                [w.energy.seconds for w in windows],
                {"idle_watts": watts["value"], "batch_size": self.sizes[name], **origin},
            )
        return found

    def _lost(self, used: list[energies.Energy]) -> str:
        """Why these windows do not all have energy, in a sentence; empty where they have."""
        if fault := next((one.fault for one in used if one.fault), ""):
            return fault
        nothing = next((one.seconds for one in used if one.joules <= 0), None)
        if nothing is None:
            return ""
        return (
            f"the {self.source.name} counted no energy in a window of {nothing:.1f} s, so it does not work on this "
            "machine; measure on one whose energy counter does."
        )
