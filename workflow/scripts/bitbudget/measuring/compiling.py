"""The decoder compiled by torch, for measuring alone: its steps of one token, on a cache of a fixed size.

As transformers does it, reading a prompt is not compiled: prompts differ in length, and each would be compiled anew.
Quality is never judged on a compiled model; whether its answers are those of the model as it is, is looked at and told.
"""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from bitbudget.errors import UserError, reason

log = logging.getLogger("bitbudget")

ROOM = 128  # caches are so many positions long, or a multiple of it, so that longer prompts rarely make a new one


@dataclass(frozen=True)
class Compiled:
    """What came of it: `seconds` of compiling, or the `remark` that says why the decoder runs as it is.

    `same_answers` says whether the tokens tried were those of the model as it is.
    """

    decoder: bool
    seconds: float | None = None
    same_answers: bool | None = None
    remark: str | None = None

    def circumstances(self) -> dict[str, Any]:
        """What the record says of it: all but the seconds, which are a metric."""
        return {key: value for key, value in asdict(self).items() if key != "seconds"}


def require_compiler(device: str) -> None:
    """Raise `UserError` where nothing is there that torch could compile with."""
    if device == "cuda":
        missing = None if importlib.util.find_spec("triton") else "the package triton"
    else:
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.exc import InvalidCxxCompiler

        try:
            get_cpp_compiler()
            missing = None
        except (InvalidCxxCompiler, OSError):
            missing = "a C++ compiler"
    if missing:
        raise UserError(f"`measure.compile` needs {missing}, which is not here: install it, or set `compile: false`.")


class Steps:
    """Runs a model's decoder compiled where it reads one token with one of the caches given here; else as it is."""

    def __init__(self, model: Any, device: str) -> None:
        self.model, self.decoder = model, model.get_decoder()
        self._as_it_is = self.decoder.forward
        # on a GPU a recorded graph of kernels saves launching each of them, which at batch 1 takes most of the time
        mode = "reduce-overhead" if device == "cuda" else None
        self._compiled = torch.compile(self._as_it_is, dynamic=False, mode=mode)
        self._caches: dict[int, tuple[int, Any]] = {}  # by the rows of a batch: how long, and the cache
        self.on = False

    def start(self) -> None:
        """From now on."""
        self.decoder.forward, self.on = self._forward, True

    def stop(self) -> None:
        """As it was."""
        vars(self.decoder).pop("forward", None)
        self.on = False

    def given(self, inputs: Any, how: Any) -> dict[str, Any]:
        """What `generate` is given beside `inputs`, which `how` tells to decode: an empty cache of a fixed size."""
        if not self.on:
            return {}
        from transformers import StaticCache

        how.disable_compile = True  # on a GPU transformers would compile the whole model too
        rows, columns = inputs["input_ids"].shape
        needed, (room, cache) = columns + how.max_new_tokens, self._caches.get(rows, (0, None))
        if room < needed:
            room = -(-needed // ROOM) * ROOM
            cache = StaticCache(config=self.model.config, max_cache_len=room)
            self._caches[rows] = room, cache
        elif cache.is_initialized:
            cache.reset()
        return {"past_key_values": cache}

    def _forward(self, *args: Any, **given: Any) -> Any:
        read = next(value for value in (*args, given.get("inputs_embeds"), given.get("input_ids")) if value is not None)
        ours = any(given.get("past_key_values") is cache for _, cache in self._caches.values())
        return (self._compiled if ours and read.shape[1] == 1 else self._as_it_is)(*args, **given)


def begin(steps: Steps, answer: Callable[[list[int]], torch.Tensor], batches: Sequence[list[int]]) -> Compiled:
    """Compile the decoder for these batches of items; what cannot be compiled stays as it is.

    `answer` gives the tokens of a batch.
    """
    model = steps.model
    if model.config.is_encoder_decoder:
        return _as_it_is(steps, "an encoder reads its prompt")
    as_it_is = [answer(numbers) for numbers in batches]
    try:
        steps.start()
        began = time.perf_counter()
        found = [answer(numbers) for numbers in batches]
        compiled = time.perf_counter()
        for numbers in batches:
            answer(numbers)
        seconds = compiled - began - (time.perf_counter() - compiled)
    except Exception as fault:  # of Dynamo, of Inductor, of the compiler, of a cache that the model cannot use
        return _as_it_is(steps, reason(fault)[:300])
    same = all(torch.equal(one, other) for one, other in zip(found, as_it_is, strict=True))
    return Compiled(True, max(0.0, seconds), same, None if same else "compiled, it gave other tokens than as it is.")


def _as_it_is(steps: Steps, why: str) -> Compiled:
    steps.stop()
    remark = f"its decoder could not be compiled ({why}), so it was measured as it is."
    log.warning("warning: %s", remark)
    return Compiled(False, remark=remark)


def longest_first(lengths: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """For each batch size (1 among them), the numbers of items, in turn from the one with the longest prompt."""
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    return [[order[k % len(order)] for k in range(size)] for size in dict.fromkeys([1, *sizes])]
