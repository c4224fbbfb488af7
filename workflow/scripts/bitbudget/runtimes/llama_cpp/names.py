"""Which tensor of a GGUF file is which parameter of the original, and how its values were arranged anew.

Names are matched by the package gguf's table. llama.cpp wants some tensors in another order than transformers has
them. The orders that are known are tried on the values, and the one that fits is taken: whether llama.cpp multiplies
with them in that order is seen by the probe (`bitbudget.runtimes.llama_cpp.probe`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

EXPERTS = re.compile(r"\.(\d+)\..*\bexperts\.(gate_up_proj|down_proj)$")
FUSED = {"gate_up_proj": ("gate", "up"), "down_proj": ("down",)}
BY_TOKEN = ("token_embd.weight", "output.weight")  # whose rows are tokens
EXTRA = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")  # worked out of settings


@dataclass(frozen=True)
class Arrangement:
    """A way to lay out a parameter anew: `there` makes of the original what a file holds, `back` the reverse."""

    name: str
    there: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]


def _same(values: np.ndarray) -> np.ndarray:
    return values


AS_IT_IS = Arrangement("as it is", _same, _same)


def arrangements(shape: tuple[int, ...], config: Any) -> Iterator[Arrangement]:
    """The known ways to lay out a parameter of this shape in a model of this configuration, the plain one first."""
    yield AS_IT_IS
    if len(shape) == 1:
        yield Arrangement("norm + 1", lambda v: v + 1, lambda v: v - 1)
    rows, heads = shape[0], getattr(config, "num_attention_heads", None)
    for count in dict.fromkeys((heads, getattr(config, "num_key_value_heads", None))):
        if count and rows % (2 * count) == 0:
            yield Arrangement(
                f"rotary halves of {count} heads interleaved",
                lambda v, n=count: v.reshape(n, 2, -1, *v.shape[1:]).swapaxes(1, 2).reshape(v.shape),
                lambda v, n=count: v.reshape(n, -1, 2, *v.shape[1:]).swapaxes(1, 2).reshape(v.shape),
            )
    if heads and rows % (3 * heads) == 0:
        yield Arrangement(
            f"queries, keys and values of {heads} heads one after the other",
            lambda v: v.reshape(heads, 3, -1, *v.shape[1:]).swapaxes(0, 1).reshape(v.shape),
            lambda v: v.reshape(3, heads, -1, *v.shape[1:]).swapaxes(0, 1).reshape(v.shape),
        )
    if len(shape) == 2:
        yield Arrangement("transposed", lambda v: v.T, lambda v: v.T)


def mapped(names: dict[str, str], architecture: str, blocks: int) -> dict[str, tuple[str, ...]]:
    """The tensors that hold each parameter, of which `names` has the name in a language model by itself.

    They stand one after the other in the rows of what a parameter holds: of fused experts the first half is a gate.
    """
    import gguf

    known = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}
    table = gguf.get_tensor_name_map(known[architecture], blocks)

    def of(plain: str) -> tuple[str, ...]:
        expert = EXPERTS.search(plain)
        if expert:
            return tuple(f"blk.{expert[1]}.ffn_{part}_exps.weight" for part in FUSED[expert[2]])
        tried = plain, plain.partition(".")[2]  # without what holds the decoder, as some are published
        found = (table.get_name(one, try_suffixes=(".weight", ".bias")) for one in tried)
        return tuple(one for one in [next(filter(None, found), None)] if one)

    return {name: of(plain) for name, plain in names.items()}
