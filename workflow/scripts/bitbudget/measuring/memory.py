"""Peak memory, and what exactly was counted."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

MB = 10**6


def peak_memory(work: Callable[[], None], device: str) -> dict[str, Any]:
    """Run `work` and return its peak memory in MB (10^6 bytes) and how it was counted.

    On a GPU: what torch allocated at most (`value`), what it reserved, and what NVML counts for this process. On a CPU:
    the largest resident set of this process, which holds the libraries as well as the model, and beside it the
    resident set before the work began.
    """
    return _on_gpu(work) if device == "cuda" else _on_cpu(work)


def _on_cpu(work: Callable[[], None]) -> dict[str, Any]:
    before = _status("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark (man 5 proc)
        counted = "largest resident set of the process while it answered"
    except OSError:
        counted = "largest resident set of the process since it started"
    work()
    peak = _status("VmHWM")
    if peak is None:  # no /proc; ru_maxrss is in KiB on Linux and in bytes on macOS
        unit = 1 if os.uname().sysname == "Darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        counted = "largest resident set of the process since it started"
    found: dict[str, Any] = {"value": peak / MB, "kind": "resident set", "counted": counted}
    return found | ({"before_MB": before / MB} if before else {})


def _status(field: str) -> int | None:
    """A field of /proc/self/status in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)


def _on_gpu(work: Callable[[], None]) -> dict[str, Any]:
    import torch

    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    found: dict[str, Any] = {
        "value": torch.cuda.max_memory_allocated() / MB,
        "kind": "CUDA allocated",
        "counted": "most bytes that torch had allocated on the GPU while it answered",
        "reserved_MB": torch.cuda.max_memory_reserved() / MB,
    }
    used = _nvml_process_bytes()
    return found | ({"nvml_process_MB": used / MB} if used else {})


def _nvml_process_bytes() -> int | None:
    """What NVML counts for this process on torch's current GPU, matched by UUID; None where it does not say."""
    from bitbudget.measuring.nvml import handle_of_current_gpu

    try:
        import pynvml

        handle = handle_of_current_gpu()
        mine = [p for p in pynvml.nvmlDeviceGetComputeRunningProcesses(handle) if p.pid == os.getpid()]
    except Exception:  # NVML is absent or hides processes (containers): the figure is simply not given
        return None
    return mine[0].usedGpuMemory if mine else None
