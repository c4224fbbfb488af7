"""How fast this machine reads memory and multiplies matrices, in torch, with the threads that measuring uses.

The best of many short calls counts: what else runs makes calls slower, and nothing makes them faster. Reading is a sum
over a buffer larger than the last cache. Multiplying is a square product as a linear layer makes it, grown until a call
takes long enough to be timed. Two numbers like these bound what any program reaches (Williams, Waterman and Patterson
2009, "Roofline", doi:10.1145/1498765.1498785).
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from bitbudget.errors import reason
from bitbudget.records import absent, metric

log = logging.getLogger("bitbudget")

Metrics = dict[str, dict[str, Any]]
Call = Callable[[], Any]

COMPUTE_TYPES = ("float32", "bfloat16", "float16", "int8")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
BUFFER = {"cpu": 256 * 2**20, "cuda": 4 * 2**30}  # bytes that are read at least; or four times the last cache
SECONDS = {"read": 2.0, "multiply": 0.6}  # for each figure
LONG_ENOUGH = {"cpu": 0.01, "cuda": 0.002}  # seconds of a call that is timed well
LEAST, MOST = 256, 8192  # rows and columns of the matrices


def last_cache(device: str) -> int | None:
    """Bytes of the last cache before the memory; None where the machine does not tell."""
    if device == "cuda":
        return getattr(torch.cuda.get_device_properties(0), "L2_cache_size", None)
    sizes = []
    for folder in CACHES.glob("index*"):
        try:
            text = (folder / "size").read_text().strip()
            sizes.append(int(text[:-1]) * {"K": 2**10, "M": 2**20}[text[-1]])
        except (OSError, ValueError, KeyError):
            continue
    return max(sizes, default=None)


def probe(device: str) -> Metrics:
    """`read_bandwidth` in GB/s (10^9 bytes), and `matrix_rate_{type}` in GFLOP/s for every compute type.

    A multiply-add counts as two operations, also of integers. A type that torch cannot multiply here is absent.
    """
    found = {"read_bandwidth": _bandwidth(device)}
    for name in COMPUTE_TYPES:
        found[f"matrix_rate_{name}"] = _rate(name, device)
    return found


def _bandwidth(device: str) -> dict[str, Any]:
    size = max(BUFFER[device], 4 * (last_cache(device) or 0))
    if device == "cuda":
        size = min(size, torch.cuda.mem_get_info()[0] // 4)
    try:
        buffer = torch.ones(size // 4, dtype=torch.float32, device=device)
    except RuntimeError as fault:
        return absent(
            f"no buffer of {size / 1e6:.0f} MB could be had ({reason(fault)}).", "GB/s", higher_is_better=True
        )
    seconds, calls = _best(buffer.sum, device, SECONDS["read"])
    return metric(buffer.nbytes / seconds / 1e9, "GB/s", higher_is_better=True, n=calls, bytes=buffer.nbytes)


def _rate(name: str, device: str) -> dict[str, Any]:
    """The best rate of all ways in which torch multiplies in this type."""
    best, fault = None, "torch has no product of it"
    for make in _ways(name):
        try:
            one = _grown(make, device)
        except (RuntimeError, NotImplementedError, AttributeError) as failed:  # of a kernel that is not there
            fault = reason(failed)
            continue
        if best is None or one["value"] > best["value"]:
            best = one
    return best or absent(f"torch cannot multiply {name} here ({fault}).", "GFLOP/s", higher_is_better=True)


def _grown(make: Callable[[int, str], Call], device: str) -> dict[str, Any]:
    """The rate at the size from which on a call takes long enough."""
    size = LEAST
    call = make(size, device)
    call()
    while (seconds := _timed(call, device)) < LONG_ENOUGH[device] and size < MOST:
        size *= 2
        call = make(size, device)
        call()
    seconds, calls = _best(call, device, SECONDS["multiply"])
    return metric(2 * size**3 / seconds / 1e9, "GFLOP/s", higher_is_better=True, n=calls, size=size)


def _ways(name: str) -> Iterator[Callable[[int, str], Call]]:
    """The products that torch has for this type, each a function of size and device that prepares a call."""
    if name != "int8":
        yield lambda size, device: _linear(getattr(torch, name), size, device)
        return
    yield _integers
    yield _prepacked


def _linear(dtype: torch.dtype, size: int, device: str) -> Call:
    inputs, weights = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return lambda: torch.nn.functional.linear(inputs, weights)


def _integers(size: int, device: str) -> Call:
    inputs, weights = (torch.randint(-127, 128, (size, size), dtype=torch.int8, device=device) for _ in range(2))
    return lambda: torch._int_mm(inputs, weights.t())


def _prepacked(size: int, device: str) -> Call:
    """The integer product of processors without instructions for it (FBGEMM, QNNPACK)."""
    if device != "cpu":
        raise NotImplementedError("it is for processors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights = torch.quantize_per_tensor(torch.randn(size, size), 0.05, 0, torch.qint8)
        packed = torch.ops.quantized.linear_prepack(weights, None)
        inputs = torch.quantize_per_tensor(torch.randn(size, size), 0.05, 128, torch.quint8)
    return lambda: torch.ops.quantized.linear(inputs, packed, 0.5, 128)


def _timed(call: Call, device: str) -> float:
    """Seconds of one call, to its end."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _best(call: Call, device: str, seconds: float) -> tuple[float, int]:
    """The shortest of the calls of so many seconds, two at least, in seconds, and their number."""
    began, times = time.perf_counter(), []
    while len(times) < 2 or time.perf_counter() - began < seconds:
        times.append(_timed(call, device))
    return min(times), len(times)
