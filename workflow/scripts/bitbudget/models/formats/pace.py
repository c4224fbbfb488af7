"""How fast formats multiply on processors, as was measured once, so that a study is told what crawls before it begins.

Milliseconds of one linear layer of 2048 x 5632, batch 1, on one core (process time, torch 2.13, bitsandbytes 0.50,
torchao 0.18, GPTQModel 7.6): a prompt of 100 tokens, and a single token. `AVX512_BF16` is an AMD EPYC with these
instructions; `AVX2` is the same one with torch, oneDNN and MKL held to AVX2. Good to 1.5 x, and to nothing on others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bitbudget.system.machine import AVX2, AVX512_BF16

Timed = Mapping[tuple[str, str], tuple[float, float]]  # by the float format beside it, and the kind of processor

FLOATS: Timed = {
    ("float32", AVX2): (30, 2.6), ("float32", AVX512_BF16): (28, 2.2),
    ("bfloat16", AVX2): (97, 1.0), ("bfloat16", AVX512_BF16): (11, 1.3),
    ("float16", AVX2): (99, 1.1), ("float16", AVX512_BF16): (99, 1.05),
}  # fmt: skip
CRAWLS = 20  # times the float layer's time for a prompt, from which on a format is of no use


@dataclass(frozen=True)
class Pace:
    """What a layer takes in times of the float layer beside it: for a prompt, and for a single token."""

    prompt: float
    token: float

    @property
    def crawls(self) -> bool:
        """Whether it is too slow to be of use: also where tokens are fast, the prompt comes before them."""
        return self.prompt >= CRAWLS


def pace(timed: Timed, float_format: str, kind: str) -> Pace | None:
    """What was timed of a format beside this float format on this kind of processor; None where nothing was."""
    own, plain = timed.get((float_format, kind)), FLOATS.get((float_format, kind))
    return Pace(own[0] / plain[0], own[1] / plain[1]) if own and plain else None
