"""Energy and carbon of an item, from the energy of windows in which some items were answered."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from typing import Any

from bitbudget.measuring import energy as energies
from bitbudget.measuring.spread import mean_interval
from bitbudget.records import absent, metric


class Windows:
    """Energy per item of throughput windows, by batch size, gross and above `idle_watts`.

    `no_source` is the sentence that says why there is no `source`.
    """

    def __init__(self, source: energies.Source | None, no_source: str, idle_watts: float, sizes: Iterable[int]):
        self.source, self.no_source, self.idle_watts = source, no_source, idle_watts
        self.joules: dict[int, list[float]] = {size: [] for size in sizes}
        self.net: dict[int, list[float]] = {size: [] for size in self.joules}

    def start(self) -> None:
        """Begin a window."""
        if self.source:
            self.source.start()

    def stop(self, size: int, done: int) -> None:
        """End a window in which so many items were answered in batches of `size`."""
        if self.source:
            used = self.source.stop()
            self.no_source = self.no_source or _useless(used, self.source)
            self.joules[size].append(used.joules / done)
            self.net[size].append((used.joules - self.idle_watts * used.seconds) / done)

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Energy per item at each batch size, gross as `value` and above idle as `net`; `energy_per_item` is the
        first."""
        found: dict[str, dict[str, Any]] = {}
        for number, (size, raw) in enumerate(self.joules.items()):
            names = [f"energy_per_item_{size}"] + (["energy_per_item"] if number == 0 else [])
            for name in names:
                if self.source and not self.no_source:
                    found[name] = metric(
                        statistics.fmean(raw),
                        "J",
                        higher_is_better=False,
                        n=len(raw),
                        raw=raw,
                        ci=mean_interval(raw),
                        net=statistics.fmean(self.net[size]),
                        idle_watts=self.idle_watts,
                        batch_size=size,
                        source=self.source.name,
                        how=self.source.how,
                        scope=self.source.scope,
                    )
                else:
                    found[name] = absent(self.no_source, "J", higher_is_better=False)
        return found


def idle_power(source: energies.Source) -> float:
    """Watts that the machine draws while this process waits, over the shortest window that the source can tell."""
    source.start()
    time.sleep(1.1 * source.least_seconds)
    used = source.stop()
    return used.joules / used.seconds


def _useless(used: energies.Energy, source: energies.Source) -> str:
    """Why the energy of a window says nothing, or the empty string."""
    if used.seconds < source.least_seconds:
        return (
            f"a window of {used.seconds:.1f} s is too short for the {source.name}, which needs "
            f"{source.least_seconds:g} s; raise measure.min_seconds in the study."
        )
    if used.joules <= 0:
        return (
            f"the {source.name} counted no energy in a window of {used.seconds:.1f} s, so it does not work on this "
            "machine; measure on one whose energy counter does."
        )
    return ""


def carbon(energy: dict[str, Any], country: str, pue: float) -> dict[str, Any]:
    """Operational carbon of one item: energy x PUE x carbon intensity (Patterson et al. 2022, arXiv 2204.05149)."""
    unit = "g CO2e"
    if "absent" in energy:
        return absent(f"there is no energy figure: {energy['absent']}", unit, higher_is_better=False)
    intensity = energies.carbon_intensity(country)
    if intensity is None:
        reason = f"no carbon intensity is known for {country}; name another country in the study's carbon.country."
        return absent(reason, unit, higher_is_better=False)
    grams_per_kwh, origin = intensity
    return metric(
        energy["value"] / 3.6e6 * pue * grams_per_kwh, unit, higher_is_better=False, n=energy["n"],
        grams_per_kwh=grams_per_kwh, pue=pue, country=country, source=origin, how=energy["how"],
    )  # fmt: skip
