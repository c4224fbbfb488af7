"""The speed, memory and energy of a checkpoint that torch runs, from a loaded model and a few items.

Every answer has exactly `new_tokens` tokens.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from bitbudget.measuring import rounds
from bitbudget.measuring.energy import Source
from bitbudget.measuring.phases import Phases, PhaseTimer
from bitbudget.measuring.rounds import Metrics, Subject
from bitbudget.records import metric
from bitbudget.statistics import median_ci

TIMES = {
    "latency": "total",
    "latency_preprocessing": "preprocessing",
    "latency_vision": "vision",
    "latency_prefill": "prefill",
    "latency_decode": "decode",
    "decode_per_token": "decode_per_token",
}
RATES = ("prefill_rate", "decode_rate")


class Efficiency(Subject):
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
        super().__init__(items, plan, device)
        self.timer, self.prepare, self.generate = timer, prepare, generate

    def timed(self, numbers: list[int]) -> Phases:
        return self.timer.time(lambda: self.prepare(numbers), self.generate)

    def answer(self, numbers: list[int]) -> None:
        self.generate(self.prepare(numbers))

    def synchronise(self) -> None:
        self.timer.marks.synchronise()


def measure(subject: Efficiency, cold: float, source: Source | None, no_source: str) -> Metrics:
    """All rounds; returns latency by phase, tokens a second, throughput and energy per item, with the raw values.

    `prefill_rate` and `decode_rate` are those of one answer at batch 1; `token_rate_{size}` counts the new tokens of
    whole batches over all that an answer takes, preprocessing and prefill included.
    """
    done = rounds.run(subject, source, no_source)
    found = _latency(done.answers, sees=bool(subject.timer.vision)) | _rates(done.answers)
    found["latency_cold"] = metric(cold, "s", higher_is_better=False, n=1)
    for size, raw in done.rates.items():
        tokens = [rate * subject.plan["new_tokens"] for rate in raw]
        found[f"token_rate_{size}"] = rounds.throughput(tokens, "tokens/s")
    return found | done.metrics()


def _latency(answers: list[Phases], sees: bool) -> Metrics:
    """Seconds by phase; a model that does not see has no vision encoding."""
    names = {name: phase for name, phase in TIMES.items() if sees or phase != "vision"}
    return {name: rounds.seconds([getattr(a, phase) for a in answers]) for name, phase in names.items()}


def _rates(answers: list[Phases]) -> Metrics:
    found = {}
    for name in RATES:
        raw = [getattr(a, name) for a in answers]
        found[name] = metric(
            statistics.median(raw), "tokens/s", higher_is_better=True, n=len(raw), raw=raw, ci=median_ci(raw)
        )
    return found
