"""The passes in which any model is measured, and what is made of their raw values.

Passes come one after the other in a fresh process: the cold call, apart; peak memory; the warm-up, until the timings
have settled; the idle power; then rounds of latency at batch 1 and of throughput at every batch size, so that a slow
minute of the machine falls on all of them, each with one window for every part of an answer whose energy can be told by
repeating it; and the idle power again. Energy is read around the throughput windows and those of the parts. Nothing
here imports torch: a process that measures another runtime would count it into its memory.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from bitbudget.measuring import quantities, settling
from bitbudget.measuring.energy import Source
from bitbudget.measuring.memory import peak_memory
from bitbudget.measuring.windows import Windows
from bitbudget.records import metric

log = logging.getLogger("bitbudget")

Metrics = dict[str, dict[str, Any]]
Work = Callable[[list[int]], Any]
# Which share of the items lies between the first ones of two repeats: the golden section's, so that however many there
# are, they begin far from each other.
STRIDE = 0.382


class Subject(ABC):
    """A model that answers `items` items, and how to measure it: `plan` is the study's `measure`.

    `repeat` is the number of this process (1, 2 …); each begins at other items.
    """

    def __init__(self, items: int, plan: dict[str, Any], device: str, repeat: int = 1):
        self.items, self.plan, self.device = items, plan, device
        self._next = (repeat - 1) * max(1, round(STRIDE * items)) % items

    @abstractmethod
    def timed(self, numbers: list[int]) -> Any:
        """Answer the one item with this number; returns how long its phases took, `total` among them (s)."""

    @abstractmethod
    def answer(self, numbers: list[int]) -> None:
        """Answer the items with these numbers in one batch."""

    @abstractmethod
    def synchronise(self) -> None:
        """Wait until the device has done what it was given."""

    @abstractmethod
    def parts(self) -> dict[str, Work]:
        """Parts of an answer that can be repeated alone, by the names of their energy metrics."""

    @abstractmethod
    def differences(self) -> Mapping[str, Sequence[str]]:
        """Energy metrics of parts that cannot: what they are of, and then what has to be taken off it."""

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

    def warm_up(self) -> settling.WarmUp:
        """Answers that do not count: of some items, of one until its timings have settled, and at every batch size.

        One item, so that the items' own differences do not pass for the machine's. A warning where they do not settle
        before `settling.exhausted`.
        """
        began = time.perf_counter()
        raw = [self.timed(self._numbers(1)).total for _ in range(self.plan["warmup"])]
        same, numbers, again = [], self._numbers(1), time.perf_counter()
        while not (over := settling.settled(same)) and not settling.exhausted(same, time.perf_counter() - again):
            same.append(self.timed(numbers).total)
        for size in self.plan["batch_sizes"]:
            self.answer(self._numbers(size))
        self.synchronise()
        found = settling.WarmUp(len(raw) + len(same), time.perf_counter() - began, over, raw + same)
        if not over:
            log.warning(
                "warning: after %d calls in %.1f s of warm-up the timings have not settled (the last: %s ms): they "
                "will scatter.", found.calls, found.seconds, ", ".join(f"{1000 * one:.0f}" for one in found.raw[-6:]),
            )  # fmt: skip
        return found

    def latency_round(self) -> list[Any]:
        """Answers at batch 1 until both the least number and the least seconds are reached."""
        found: list[Any] = []
        began = time.perf_counter()
        while len(found) < self.plan["min_iterations"] or time.perf_counter() - began < self.plan["min_seconds"]:
            found.append(self.timed(self._numbers(1)))
        return found

    def throughput_round(self, size: int, work: Work | None = None) -> tuple[int, float]:
        """Answers (or other `work`) in batches of `size`, from the files: how many items in how many seconds."""
        work, done = work or self.answer, 0
        self.synchronise()
        began = time.perf_counter()
        while done < size * 2 or time.perf_counter() - began < self.plan["min_seconds"]:
            work(self._numbers(size))
            done += size
        self.synchronise()
        return done, time.perf_counter() - began


@dataclass(frozen=True)
class Rounds:
    """What the rounds gave: the phases of every answer by round, items a second by batch size, the energy metrics."""

    answers: list[list[Any]]
    rates: dict[int, list[float]]
    energy: Metrics

    def seconds(self, phase: str) -> dict[str, Any]:
        """The metric of this phase's seconds over the answers of all rounds."""
        return quantities.seconds([getattr(a, phase) for answers in self.answers for a in answers])

    def latency(self) -> dict[str, Any]:
        """The metric of whole answers' seconds, with the `drift` of every round."""
        drifts = [settling.drift([a.total for a in answers]) for answers in self.answers if len(answers) > 1]
        return self.seconds("total") | {"drift": drifts}

    def metrics(self) -> Metrics:
        """Throughput and energy per item at every batch size, and energy of the parts of an answer."""
        found = {f"throughput_{size}": quantities.throughput(raw, "items/s") for size, raw in self.rates.items()}
        return found | self.energy


def energy_batch(sizes: Sequence[int]) -> int:
    """The batch size whose energy stands for the model's: 1 where it is among those measured, else the first."""
    return 1 if 1 in sizes else sizes[0]


def run(subject: Subject, source: Source | None, no_source: str) -> Rounds:
    """All rounds. `no_source` is the sentence that says why there is no `source` of energy figures."""
    sizes, rounds, parts = subject.plan["batch_sizes"], subject.plan["rounds"], subject.parts()
    named = {f"energy_per_item_{size}": size for size in sizes}
    size_of_parts = energy_batch(sizes)
    windows = Windows(source, no_source, named | dict.fromkeys(parts, size_of_parts), subject.plan["min_seconds"])
    parts = parts if windows.source else {}
    answers: list[list[Any]] = []
    rates: dict[int, list[float]] = {size: [] for size in sizes}
    with tqdm(total=rounds * (1 + len(sizes) + len(parts)), desc="measure", unit="window") as bar:
        windows.wait()
        for _ in range(rounds):
            answers.append(subject.latency_round())
            bar.update()
            for name, size in named.items():
                windows.start()
                done, seconds = subject.throughput_round(size)
                windows.stop(name, done)
                rates[size].append(done / seconds)
                bar.update()
            for name, work in parts.items():
                windows.start()
                done, _ = subject.throughput_round(size_of_parts, work)
                windows.stop(name, done)
                bar.update()
        windows.wait()
    energy = windows.metrics()
    energy["energy_per_item"] = energy[f"energy_per_item_{size_of_parts}"]
    for name, names in subject.differences().items():
        energy[name] = quantities.difference(energy, list(names))
    return Rounds(answers, rates, energy)
