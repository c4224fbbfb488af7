"""One checkpoint's speed, memory and energy, from a loaded model and a few items.

Passes come one after the other in a fresh process: the cold call, apart; peak memory; the warm-up; then rounds of
latency at batch 1 and of throughput at every batch size, so that a slow minute of the machine falls on all of them;
energy is read around the throughput windows. Every answer has exactly `new_tokens` tokens.
"""

from __future__ import annotations

import logging
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from bitbudget.measuring import energy as energies
from bitbudget.measuring.memory import peak_memory
from bitbudget.measuring.nvml import other_gpu_processes
from bitbudget.measuring.phases import Phases, PhaseTimer
from bitbudget.measuring.spread import mean_interval, percentile
from bitbudget.records import absent, metric
from bitbudget.statistics import median_ci

log = logging.getLogger("bitbudget")

Metrics = dict[str, dict[str, Any]]

TIMES = {
    "latency": "total",
    "latency_preprocessing": "preprocessing",
    "latency_vision": "vision",
    "latency_prefill": "prefill",
    "latency_decode": "decode",
    "decode_per_token": "decode_per_token",
}
RATES = ("prefill_rate", "decode_rate")


class Efficiency:
    """Measures one model. `prepare(numbers)` makes model inputs of the items with these numbers; `generate` answers."""

    def __init__(
        self,
        timer: PhaseTimer,
        prepare: Callable[[list[int]], Any],
        generate: Callable[[Any], Any],
        items: int,
        plan: dict[str, Any],
        device: str,
    ):
        self.timer, self.prepare, self.generate = timer, prepare, generate
        self.items, self.plan, self.device = items, plan, device
        self._next = 0

    def _numbers(self, count: int) -> list[int]:
        """The next items in turn, from the first again after the last."""
        numbers = [(self._next + k) % self.items for k in range(count)]
        self._next += count
        return numbers

    def _one(self) -> Phases:
        numbers = self._numbers(1)
        return self.timer.time(lambda: self.prepare(numbers), self.generate)

    def memory(self) -> Metrics:
        """Peak memory while one item is answered at batch 1."""
        found = peak_memory(lambda: self.generate(self.prepare(self._numbers(1))), self.device)
        value = found.pop("value")
        return {"peak_memory": metric(value, "MB", higher_is_better=False, n=1, **found)}

    def cold(self) -> float:
        """Seconds of the first timed answer of the process."""
        return self._one().total

    def warm_up(self) -> None:
        """Answers that do not count, at every batch size."""
        for _ in range(self.plan["warmup"]):
            self._one()
        for size in self.plan["batch_sizes"]:
            self.generate(self.prepare(self._numbers(size)))

    def latency_round(self) -> list[Phases]:
        """Answers at batch 1 until both the least number and the least seconds are reached."""
        found: list[Phases] = []
        began = time.perf_counter()
        while len(found) < self.plan["min_iterations"] or time.perf_counter() - began < self.plan["min_seconds"]:
            found.append(self._one())
        return found

    def throughput_round(self, size: int) -> tuple[int, float]:
        """Answers in batches of `size`, preprocessing included: how many items in how many seconds."""
        done = 0
        self.timer.marks.synchronise()
        began = time.perf_counter()
        while done < size * 2 or time.perf_counter() - began < self.plan["min_seconds"]:
            self.generate(self.prepare(self._numbers(size)))
            done += size
        self.timer.marks.synchronise()
        return done, time.perf_counter() - began


def measure(subject: Efficiency, cold: float, source: energies.Source | None, no_source: str) -> Metrics:
    """All rounds; returns latency by phase, tokens a second, throughput and energy per item, with the raw values.

    `prefill_rate` and `decode_rate` are those of one answer at batch 1; `token_rate_{size}` counts the new tokens of
    whole batches over all that an answer takes, preprocessing and prefill included.
    """
    sizes, repeats = subject.plan["batch_sizes"], subject.plan["repeats"]
    answers: list[Phases] = []
    rates: dict[int, list[float]] = {size: [] for size in sizes}
    joules: dict[int, list[float]] = {size: [] for size in sizes}
    net: dict[int, list[float]] = {size: [] for size in sizes}
    # where the windows are too short for the source there will be no figure to take the idle power off
    idle_watts = idle_power(source) if source and subject.plan["min_seconds"] >= source.least_seconds else 0.0
    with tqdm(total=repeats * (1 + len(sizes)), desc="measure", unit="window") as bar:
        for _ in range(repeats):
            answers += subject.latency_round()
            bar.update()
            for size in sizes:
                if source:
                    source.start()
                done, seconds = subject.throughput_round(size)
                if source:
                    used = source.stop()
                    no_source = no_source or _useless(used, source)
                    joules[size].append(used.joules / done)
                    net[size].append((used.joules - idle_watts * used.seconds) / done)
                rates[size].append(done / seconds)
                bar.update()
    found = _latency(answers, sees=bool(subject.timer.vision)) | _rates(answers)
    found["latency_cold"] = metric(cold, "s", higher_is_better=False, n=1)
    for size in sizes:
        tokens = [rate * subject.plan["new_tokens"] for rate in rates[size]]
        for name, unit, raw in (("throughput", "items/s", rates[size]), ("token_rate", "tokens/s", tokens)):
            found[f"{name}_{size}"] = metric(
                statistics.fmean(raw), unit, higher_is_better=True, n=repeats, raw=raw, ci=mean_interval(raw)
            )
    return found | _energy(joules, net, idle_watts, source, no_source)


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


def _latency(answers: list[Phases], sees: bool) -> Metrics:
    """Seconds by phase; a model that does not see has no vision encoding."""
    found = {}
    for name, field in TIMES.items():
        if field == "vision" and not sees:
            continue
        raw = [getattr(a, field) for a in answers]
        found[name] = metric(
            statistics.median(raw), "s", higher_is_better=False, n=len(raw), raw=raw, ci=median_ci(raw),
            mean=statistics.fmean(raw), mean_ci=mean_interval(raw), p95=percentile(raw, 0.95),
        )  # fmt: skip
    return found


def _rates(answers: list[Phases]) -> Metrics:
    found = {}
    for name in RATES:
        raw = [getattr(a, name) for a in answers]
        found[name] = metric(
            statistics.median(raw), "tokens/s", higher_is_better=True, n=len(raw), raw=raw, ci=median_ci(raw)
        )
    return found


def _energy(
    joules: dict[int, list[float]],
    net: dict[int, list[float]],
    idle_watts: float,
    source: energies.Source | None,
    no_source: str,
) -> Metrics:
    """Energy per item at each batch size, gross as `value` and above idle as `net`; `energy_per_item` is the first."""
    found: Metrics = {}
    for number, (size, raw) in enumerate(joules.items()):
        names = [f"energy_per_item_{size}"] + (["energy_per_item"] if number == 0 else [])
        for name in names:
            if source and not no_source:
                found[name] = metric(
                    statistics.fmean(raw),
                    "J",
                    higher_is_better=False,
                    n=len(raw),
                    raw=raw,
                    ci=mean_interval(raw),
                    net=statistics.fmean(net[size]),
                    idle_watts=idle_watts,
                    batch_size=size,
                    source=source.name,
                    how=source.how,
                    scope=source.scope,
                )
            else:
                found[name] = absent(no_source, "J", higher_is_better=False)
    return found


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


def circumstances(device: str) -> dict[str, Any]:
    """What else may have slowed the machine down: the load of the last minute, and other processes on the GPU."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores + 0.5:
        log.warning("warning: the machine is loaded (%.1f jobs on %d cores): timings will be slow.", load, cores)
    others = other_gpu_processes() if device == "cuda" else []
    if others:
        log.warning("warning: %d other processes use the GPU: timings, memory and energy are not its own.", len(others))
    return {"load_before": load, "cores": cores, "other_gpu_processes": others}
