"""The speed, memory and energy of a detector that LiteRT runs, one image at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from bitbudget.measuring import quantities, rounds
from bitbudget.measuring.energy import Source
from bitbudget.measuring.rounds import Metrics, Subject, Work
from bitbudget.runtimes.litert.answers import Picture, answer
from bitbudget.runtimes.litert.interpreter import Detector
from bitbudget.runtimes.litert.preprocessing import Placement


@dataclass(frozen=True)
class Phases:
    """Seconds of one image: from the image's file to the model's input, through the model, and on to boxes."""

    preprocessing: float
    invoke: float
    postprocessing: float

    @property
    def total(self) -> float:
        """Seconds from the file to the boxes."""
        return self.preprocessing + self.invoke + self.postprocessing


PHASES = tuple(field.name for field in fields(Phases))


class DetectorSubject(Subject):
    """Measures one detector on these pictures; `categories` gives the category id of each label.

    Boxes are cut at the score `threshold`, as an application does, and not at the lower one of an evaluation.
    """

    def __init__(
        self,
        detector: Detector,
        pictures: Sequence[Picture],
        categories: dict[int, int],
        plan: dict[str, Any],
        repeat: int = 1,
        threshold: float | None = None,
    ):
        super().__init__(len(pictures), plan, "cpu", repeat)
        self.detector, self.pictures, self.categories, self.threshold = detector, pictures, categories, threshold

    def timed(self, numbers: list[int]) -> Phases:
        (number,) = numbers
        picture = self.pictures[number]
        began = time.perf_counter()
        given, place = self.detector.prepare(picture.path)
        prepared = time.perf_counter()
        outputs = self.detector.invoke(given)
        invoked = time.perf_counter()
        self._boxes(picture, outputs, place, self.threshold)
        return Phases(prepared - began, invoked - prepared, time.perf_counter() - invoked)

    def _boxes(self, picture: Picture, outputs: list[np.ndarray], place: Placement, threshold: float | None) -> None:
        categories, size = self.categories, (picture.width, picture.height)
        answer(self.detector.decode(outputs, place, picture.path, *size, categories.keys(), threshold), categories)

    def evaluated(self) -> list[float]:
        """Seconds from the model's outputs to boxes, at the evaluation's threshold, of each picture once or more."""
        found: list[float] = []
        while len(found) < max(self.plan["min_iterations"], self.items):
            (number,) = self._numbers(1)
            given, place = self.detector.prepare(self.pictures[number].path)
            outputs = self.detector.invoke(given)
            began = time.perf_counter()
            self._boxes(self.pictures[number], outputs, place, None)
            found.append(time.perf_counter() - began)
        return found

    def answer(self, numbers: list[int]) -> None:
        """A detector's file takes one image: a batch is its images one after the other."""
        for number in numbers:
            self.timed([number])

    def synchronise(self) -> None:
        """A processor is never behind."""

    def parts(self) -> dict[str, Work]:
        """Preparing pictures, and running the model: on one prepared picture, since all inputs have the same size."""
        given, _ = self.detector.prepare(self.pictures[0].path)

        def prepare(numbers: list[int]) -> None:
            for number in numbers:
                self.detector.prepare(self.pictures[number].path)

        def invoke(numbers: list[int]) -> None:
            for _ in numbers:
                self.detector.invoke(given)

        return {"energy_preprocessing": prepare, "energy_invoke": invoke}

    def differences(self) -> dict[str, tuple[str, ...]]:
        return {"energy_postprocessing": ("energy_per_item", "energy_preprocessing", "energy_invoke")}


def measure(subject: DetectorSubject, cold: float, source: Source | None, no_source: str) -> Metrics:
    """All rounds; returns latency by phase, throughput and energy per item, with the raw values."""
    done = rounds.run(subject, source, no_source)
    found = {"latency": done.latency()} | {f"latency_{phase}": done.seconds(phase) for phase in PHASES}
    found["latency_postprocessing_evaluation"] = quantities.seconds(subject.evaluated())
    found["latency_cold"] = quantities.once([cold], "s")
    return found | done.metrics()
