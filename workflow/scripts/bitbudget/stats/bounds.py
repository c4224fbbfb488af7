"""Exact upper limits of a share, from how many of n independent units were seen to have it; in plain Python."""

from __future__ import annotations

import math

_STEPS = 60  # of halving the interval from 0 to 1: far below what a float tells apart near the limit


def none_of(n: int) -> float:
    """The upper 95 % limit of a share, 0 to 1, that none of `n` units has: of a share q, none has it with (1 - q)^n.

    Raises `ValueError` where `n` is less than 1.
    """
    _check(0, n)
    return 1 - 0.05 ** (1 / n)


def clopper_pearson_upper(k: int, n: int, level: float = 0.975) -> float:
    """The upper limit of a share, 0 to 1, that `k` of `n` units have (Clopper & Pearson, Biometrika 26, 1934).

    The share with which `k` or fewer of `n` would be seen with the probability 1 - `level`, so that it is exceeded with
    at most this probability; the default is the upper end of the two-sided 95 % interval. Raises `ValueError` unless
    0 <= k <= n and n is at least 1.
    """
    _check(k, n)
    if k == n:
        return 1.0
    low, high = k / n, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(k, n, middle) > 1 - level else (low, middle)
    return high


def _at_most(k: int, n: int, share: float) -> float:
    """The probability that at most `k` of `n` units have what each has with the probability `share`, 0 < share < 1."""
    hit, miss, whole = math.log(share), math.log1p(-share), math.lgamma(n + 1)
    return math.fsum(
        math.exp(whole - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * hit + (n - i) * miss) for i in range(k + 1)
    )


def _check(k: int, n: int) -> None:
    if not 0 <= k <= n or n < 1:
        raise ValueError(f"{k} of {n} units is no share")
