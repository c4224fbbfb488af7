"""What each type of a GGUF file promises of the weights in it, worked out from the weights themselves.

A type has levels on a scale that some weights share: a run of 16 or 32 weights, whose scales in turn share one in a
block of 256 (llama.cpp, ggml-common.h). No scale is then coarser than the widest run of a block needs, so a step is at
most that run's range by the levels. How many steps the error of a weight has at most, and that of a block on average,
was seen on what `ggml_quantize_chunk` makes of normal, Laplace, Student, uniform, shifted, sparse and ternary weights,
of columns that differ a hundredfold, and of trained matrices; the bounds have a margin of a fifth to a half over it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TINY = 2.0**-24  # the least scale in float16
UNITS = {"F32": 2.0**-24, "F16": 2.0**-11, "BF16": 2.0**-8}  # unit roundoff of float types


@dataclass(frozen=True)
class Blocks:
    """A type: weights of a run and of a block, levels, whether its range has an offset of its own, and bounds.

    `each` and `together`: the most steps that the error of one weight has, and the root mean square of a block's.
    """

    run: int
    block: int
    levels: int
    offset: bool
    each: float
    together: float


TYPES = {
    "Q4_0": Blocks(32, 32, 15, False, 1.1, 0.85),
    "Q4_1": Blocks(32, 32, 15, True, 0.65, 0.55),
    "Q5_0": Blocks(32, 32, 31, False, 1.1, 0.85),
    "Q5_1": Blocks(32, 32, 31, True, 0.65, 0.55),
    "Q8_0": Blocks(32, 32, 254, False, 0.7, 0.5),
    "Q2_K": Blocks(16, 256, 3, True, 1.25, 0.45),
    "Q3_K": Blocks(16, 256, 7, False, 1.25, 0.5),
    "Q4_K": Blocks(32, 256, 15, True, 1.1, 0.4),
    "Q5_K": Blocks(32, 256, 31, True, 1.25, 0.4),
    "Q6_K": Blocks(16, 256, 63, False, 0.8, 0.4),
    "IQ4_NL": Blocks(32, 32, 15, False, 1.2, 0.6),
    "IQ4_XS": Blocks(32, 256, 15, False, 1.3, 0.6),
    "IQ3_S": Blocks(32, 256, 7, False, 2.5, 0.9),
    "IQ3_XXS": Blocks(32, 256, 7, False, 4.0, 1.1),
}
MARGIN = 1 / np.sqrt(12)  # of even errors, the root mean square by the step


@dataclass(frozen=True)
class Held:
    """Relative errors (Frobenius) of what a tensor holds: found, of even rounding in its levels, and allowed."""

    relative_error: float
    promised_error: float
    allowed_error: float
    fault: str | None


def hold(found: np.ndarray, exact: np.ndarray, kind: str, unit: float) -> Held:
    """Hold the weights that a tensor stands for, (rows, columns), float32, to what its type promises.

    `exact` has the original's, which may have been rounded with a unit roundoff of `unit`.
    """
    error = np.abs(found - exact)
    slack = np.abs(exact) * unit
    if kind in UNITS:
        most = np.abs(exact) * UNITS[kind] * 1.01 + slack + (TINY if kind == "F16" else 1e-30)
        wrong = ~(error <= most)
        return _held(error, most, most / 2, exact, wrong, kind)
    if kind not in TYPES:
        size = float(np.linalg.norm(exact)) or 1.0
        wrong = f"is in {kind}, of whose errors nothing is known here"
        return Held(float(np.linalg.norm(error)) / size, np.nan, np.nan, wrong)
    about = TYPES[kind]
    runs = exact.reshape(-1, about.block // about.run, about.run)
    span = np.maximum(runs.max(-1), 0) - np.minimum(runs.min(-1), 0) if about.offset else 2 * np.abs(runs).max(-1)
    step = span.max(1, keepdims=True) / about.levels
    nothing = TINY * about.levels * (63 if about.block == 256 else 1)
    blocks, slack = error.reshape(-1, about.block), slack.reshape(-1, about.block)
    most = about.each * step + slack + nothing
    mean, most_mean = (np.sqrt(np.square(part).mean(1, keepdims=True)) for part in (blocks, slack))
    most_mean = about.together * step + most_mean + nothing
    wrong = ~(blocks <= most) | ~(mean <= most_mean)
    even = np.repeat(span / about.levels * MARGIN, about.run, axis=1)
    return _held(blocks, np.broadcast_to(most_mean, blocks.shape), even, exact, wrong, kind)


def _held(
    error: np.ndarray, most: np.ndarray, even: np.ndarray, exact: np.ndarray, wrong: np.ndarray, kind: str
) -> Held:
    size = float(np.linalg.norm(exact)) or 1.0
    fault = None
    if wrong.any():
        fault = (
            f"holds weights that are off by more than {kind} explains in {int(wrong.any(-1).sum())} of {len(wrong)} "
            f"{'blocks' if kind in TYPES else 'rows'}"
        )
    return Held(*(float(np.linalg.norm(part)) / size for part in (error, even, most)), fault)


def joined(parts: list[tuple[int, float, Held]]) -> Held:
    """What is held of a tensor of several parts; with each its rows, and the Frobenius norm of its original."""
    total = np.sqrt(sum(size**2 for _, size, _ in parts)) or 1.0
    errors = (
        float(np.sqrt(sum((size * getattr(one, name)) ** 2 for _, size, one in parts)) / total)
        for name in ("relative_error", "promised_error", "allowed_error")
    )
    return Held(*errors, next((one.fault for _, _, one in parts if one.fault), None))
