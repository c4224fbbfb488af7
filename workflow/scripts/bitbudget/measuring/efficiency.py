"""The speed, memory and energy of a checkpoint that torch runs, from a loaded model and a few items.

Every answer has exactly `new_tokens` tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bitbudget.measuring import quantities, rounds
from bitbudget.measuring.energy import Source
from bitbudget.measuring.phases import Phases, PhaseTimer
from bitbudget.measuring.rounds import Metrics, Subject, Work

TIMES = {
    "latency_preprocessing": "preprocessing",
    "latency_vision": "vision",
    "latency_prefill": "prefill",
    "latency_decode": "decode",
    "decode_per_token": "decode_per_token",
}
RATES = ("prefill_rate", "decode_rate")


class Efficiency(Subject):
    """Measures one model. `prepare(numbers)` makes model inputs of the items with these numbers; `generate` answers.

    `generate_first` answers with one token, which is preprocessing, vision encoding and prefill: the first token is the
    prefill's own. What decoding takes is then the difference to a whole answer, and what a model that sees takes for
    its vision encoding is in one with its prefill.
    """

    def __init__(
        self,
        timer: PhaseTimer,
        prepare: Callable[[list[int]], Any],
        generate: Callable[[Any], Any],
        generate_first: Callable[[Any], Any],
        items: int,
        plan: dict[str, Any],
        device: str,
        repeat: int = 1,
    ):
        super().__init__(items, plan, device, repeat)
        self.timer, self.prepare, self.generate, self.generate_first = timer, prepare, generate, generate_first

    def timed(self, numbers: list[int]) -> Phases:
        return self.timer.time(lambda: self.prepare(numbers), self.generate)

    def answer(self, numbers: list[int]) -> None:
        self.generate(self.prepare(numbers))

    def synchronise(self) -> None:
        self.timer.marks.synchronise()

    def parts(self) -> dict[str, Work]:
        return {
            "energy_preprocessing": self.prepare,
            "energy_first_token": lambda numbers: self.generate_first(self.prepare(numbers)),
        }

    def differences(self) -> dict[str, tuple[str, ...]]:
        prefill = "energy_vision_prefill" if self.timer.vision else "energy_prefill"
        return {
            prefill: ("energy_first_token", "energy_preprocessing"),
            "energy_decode": ("energy_per_item", "energy_first_token"),
        }


def measure(subject: Efficiency, cold: float, source: Source | None, no_source: str) -> Metrics:
    """All rounds; returns latency by phase, tokens a second, throughput and energy per item, with the raw values.

    `prefill_rate` and `decode_rate` are those of one answer at batch 1; `token_rate_{size}` counts the new tokens of
    whole batches over all that an answer takes, preprocessing and prefill included. A model that does not see has no
    vision encoding.
    """
    done = rounds.run(subject, source, no_source)
    names = {name: phase for name, phase in TIMES.items() if subject.timer.vision or phase != "vision"}
    found = {"latency": done.latency()} | {name: done.seconds(phase) for name, phase in names.items()}
    for name in RATES:
        found[name] = quantities.rate([getattr(a, name) for answers in done.answers for a in answers], "tokens/s")
    found["latency_cold"] = quantities.once([cold], "s")
    for size, raw in done.rates.items():
        tokens = [rate * subject.plan["new_tokens"] for rate in raw]
        found[f"token_rate_{size}"] = quantities.throughput(tokens, "tokens/s")
    return found | done.metrics()
