"""The kinds of comparison in comparison.json: a precision with the baseline, and the baseline with itself."""

from __future__ import annotations

PRECISION = "precision"
NOISE_FLOOR = "noise_floor"  # the baseline asked a second time, in other batches and another order
