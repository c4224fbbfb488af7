"""The kinds of comparison in comparison.json: a precision with the baseline, and the baseline with itself."""

from __future__ import annotations

PRECISION = "precision"
NOISE_FLOOR = "noise_floor"  # the baseline asked a second time, in other batches and another order
OTHER_THREADS = "threads"  # a study's `noise_floor` where the number of threads is another one as well


def other_number(number: int) -> int:
    """Another batch size or number of threads for the noise floor: half of it, which costs no memory; 2 for 1."""
    return number // 2 if number > 1 else 2
