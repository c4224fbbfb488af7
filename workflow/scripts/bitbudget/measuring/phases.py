"""How long the phases of one answer take: preprocessing, vision encoding, prefill and decode.

Hooks mark the moments; nothing in the model is changed. On a GPU the marks are CUDA events, read after the answer is
complete, so that marking does not make the GPU wait; on a CPU they are readings of `perf_counter`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Phases:
    """Seconds of one answer. `prefill` ends with the first token and excludes `vision`; `decode` is the rest.

    `prompt_tokens` are those that were read (an image's included, padding not), `decoded_tokens` those after the first.
    """

    preprocessing: float
    vision: float
    prefill: float
    decode: float
    total: float
    prompt_tokens: int
    decoded_tokens: int

    @property
    def decode_per_token(self) -> float:
        """Mean seconds for each token after the first."""
        return self.decode / self.decoded_tokens

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens a second of the prefill."""
        return self.prompt_tokens / self.prefill

    @property
    def decode_rate(self) -> float:
        """Tokens after the first a second of the decode."""
        return self.decoded_tokens / self.decode


class Marks:
    """Moments on the device's own time line."""

    def __init__(self, device: str):
        self.on_gpu = device == "cuda"

    def now(self) -> Any:
        """Mark this moment."""
        if not self.on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, start: Any, end: Any) -> float:
        """Seconds between two marks; on a GPU only after `synchronise`."""
        return start.elapsed_time(end) / 1000 if self.on_gpu else end - start

    def synchronise(self) -> None:
        """Wait until the device has reached every mark."""
        if self.on_gpu:
            torch.cuda.synchronize()


def steppers(model: nn.Module) -> list[nn.Module]:
    """The modules of which one is called once for each token of an answer, the outermost that is called at all first.

    Most models step themselves; some leave it to the language model in them (BLIP-2, Kosmos-2).
    """
    return [one for one in model.modules() if one is model or getattr(one, "can_generate", lambda: False)()]


class PhaseTimer:
    """Times the phases of answers of one model at batch 1 (or any one batch)."""

    def __init__(self, model: nn.Module, vision_modules: tuple[str, ...], device: str):
        self.model, self.marks = model, Marks(device)
        self.vision = [model.get_submodule(path) for path in vision_modules]
        self.steppers = steppers(model)
        self._encoded: list[tuple[Any, Any]] = []
        self._called: list[list[tuple[Any, Any]]] = []

    @contextmanager
    def _hooked(self) -> Iterator[None]:
        self._encoded, self._called = [], [[] for _ in self.steppers]
        open_marks: dict[int, Any] = {}

        def before(module: nn.Module, *_: Any) -> None:
            open_marks[id(module)] = self.marks.now()

        def after(into: list[tuple[Any, Any]]) -> Any:
            return lambda module, *_: into.append((open_marks.pop(id(module)), self.marks.now()))

        handles = []
        watched = [(module, self._encoded) for module in self.vision]
        for module, into in [*watched, *zip(self.steppers, self._called, strict=True)]:
            handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after(into))]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def time(self, prepare: Any, generate: Any) -> Phases:
        """Time one answer: `prepare()` makes the inputs, `generate(inputs)` the tokens.

        The inputs have an `attention_mask`, which counts the prompt's tokens. A model's encoder is part of the prefill.
        """
        with self._hooked():
            self.marks.synchronise()
            began = time.perf_counter()
            inputs = prepare()
            self.marks.synchronise()
            prepared = time.perf_counter()
            start = self.marks.now()
            generate(inputs)
            end = self.marks.now()
            self.marks.synchronise()
        vision = sum(self.marks.seconds(*pair) for pair in self._encoded)
        steps = next(called for called in self._called if called)
        first_token = self.marks.seconds(start, steps[0][1])
        return Phases(
            preprocessing=prepared - began,
            vision=vision,
            prefill=first_token - vision,
            decode=self.marks.seconds(steps[0][1], end),
            total=prepared - began + self.marks.seconds(start, end),
            prompt_tokens=int(inputs["attention_mask"].sum()),
            decoded_tokens=len(steps) - 1,
        )
