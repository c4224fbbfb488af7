"""The passes in which any model is measured, and what is made of their raw values.

Passes come one after the other in a fresh process: the cold call, apart; peak memory; the warm-up; then rounds of
latency at batch 1 and of throughput at every batch size, so that a slow minute of the machine falls on all of them;
energy is read around the throughput windows. Nothing here imports torch: a process that measures another runtime would
count it into its memory.
"""

from __future__ import annotations

import statistics
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from bitbudget.measuring.energy import Source
from bitbudget.measuring.footprint import Windows, idle_power
from bitbudget.measuring.memory import peak_memory
from bitbudget.measuring.spread import mean_interval, percentile
from bitbudget.records import metric
from bitbudget.statistics import median_ci

Metrics = dict[str, dict[str, Any]]


class Subject(ABC):
    """A model that answers `items` items, and how to measure it: `plan` is the study's `measure`."""

    def __init__(self, items: int, plan: dict[str, Any], device: str):
        self.items, self.plan, self.device = items, plan, device
        self._next = 0

    @abstractmethod
    def timed(self, numbers: list[int]) -> Any:
        """Answer the one item with this number; returns how long its phases took, `total` among them (s)."""

    @abstractmethod
    def answer(self, numbers: list[int]) -> None:
        """Answer the items with these numbers in one batch."""

    @abstractmethod
    def synchronise(self) -> None:
        """Wait until the device has done what it was given."""

    def _numbers(self, count: int) -> list[int]:
        """The next items in turn, from the first again after the last."""
        numbers = [(self._next + k) % self.items for k in range(count)]
        self._next += count
        return numbers

    def memory(self) -> Metrics:
        """Peak memory while one item is answered at batch 1."""
        found = peak_memory(lambda: self.answer(self._numbers(1)), self.device)
        value = found.pop("value")
        return {"peak_memory": metric(value, "MB", higher_is_better=False, n=1, **found)}

    def cold(self) -> float:
        """Seconds of the first timed answer of the process."""
        return self.timed(self._numbers(1)).total

    def warm_up(self) -> None:
        """Answers that do not count, at every batch size."""
        for _ in range(self.plan["warmup"]):
            self.timed(self._numbers(1))
        for size in self.plan["batch_sizes"]:
            self.answer(self._numbers(size))

    def latency_round(self) -> list[Any]:
        """Answers at batch 1 until both the least number and the least seconds are reached."""
        found: list[Any] = []
        began = time.perf_counter()
        while len(found) < self.plan["min_iterations"] or time.perf_counter() - began < self.plan["min_seconds"]:
            found.append(self.timed(self._numbers(1)))
        return found

    def throughput_round(self, size: int) -> tuple[int, float]:
        """Answers in batches of `size`, preprocessing included: how many items in how many seconds."""
        done = 0
        self.synchronise()
        began = time.perf_counter()
        while done < size * 2 or time.perf_counter() - began < self.plan["min_seconds"]:
            self.answer(self._numbers(size))
            done += size
        self.synchronise()
        return done, time.perf_counter() - began


@dataclass(frozen=True)
class Rounds:
    """What the rounds gave: the phases of every answer, items a second by batch size, and the energy of the windows."""

    energy: Windows
    answers: list[Any]
    rates: dict[int, list[float]]

    def metrics(self) -> Metrics:
        """Throughput and energy per item at every batch size."""
        found = {f"throughput_{size}": throughput(raw, "items/s") for size, raw in self.rates.items()}
        return found | self.energy.metrics()


def run(subject: Subject, source: Source | None, no_source: str) -> Rounds:
    """All rounds. `no_source` is the sentence that says why there is no `source` of energy figures."""
    sizes, repeats = subject.plan["batch_sizes"], subject.plan["repeats"]
    # where the windows are too short for the source there will be no figure to take the idle power off
    idle_watts = idle_power(source) if source and subject.plan["min_seconds"] >= source.least_seconds else 0.0
    found = Rounds(Windows(source, no_source, idle_watts, sizes), [], {size: [] for size in sizes})
    with tqdm(total=repeats * (1 + len(sizes)), desc="measure", unit="window") as bar:
        for _ in range(repeats):
            found.answers.extend(subject.latency_round())
            bar.update()
            for size in sizes:
                found.energy.start()
                done, seconds = subject.throughput_round(size)
                found.energy.stop(size, done)
                found.rates[size].append(done / seconds)
                bar.update()
    return found


def seconds(raw: list[float]) -> dict[str, Any]:
    """The metric of repeated timings in seconds: their median, with its interval, and mean and 95th percentile."""
    return metric(
        statistics.median(raw), "s", higher_is_better=False, n=len(raw), raw=raw, ci=median_ci(raw),
        mean=statistics.fmean(raw), mean_ci=mean_interval(raw), p95=percentile(raw, 0.95),
    )  # fmt: skip


def throughput(raw: list[float], unit: str) -> dict[str, Any]:
    """The metric of the rates of some windows: their mean, with its interval."""
    return metric(statistics.fmean(raw), unit, higher_is_better=True, n=len(raw), raw=raw, ci=mean_interval(raw))
