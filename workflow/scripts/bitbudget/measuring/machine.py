"""The machine while it measures: what else may have slowed it down, and the guard against a GPU that is not free.

The load is the average of the last minute, weighted by an exponential, so it still holds what ran before this process:
alone, it falls by 15 % in ten seconds.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from bitbudget.errors import UserError
from bitbudget.measuring.disturbances import loaded
from bitbudget.measuring.nvml import GpuProcess, current_gpu, other_gpu_processes

log = logging.getLogger("bitbudget")

STEP, MOST_WAITING = 10.0, 90.0  # seconds
WINDOWS = 30  # of measuring, in which it is waited at most: what is only tried out, in short windows, starts soon
FALLING = 0.99  # of the load a step before; one that falls less comes from what runs now

Earlier = dict[str, set[int]] | None


def circumstances(
    device: str, busy_gpu: str = "refuse", earlier: Earlier = None, window: float = MOST_WAITING
) -> dict[str, Any]:
    """What else may slow the machine down, before anything is measured: load of the last minute, processes on the GPU.

    Where the load comes from what ran before, it is waited for to fall; `window` is how long one window of measuring
    takes, in seconds.
    On a GPU also which one it is; `earlier` is then `nvml.processes_by_gpu` from before this process touched CUDA.
    Raises `UserError` where another process computes on the GPU, unless `busy_gpu` is `warn`.
    """
    others = other_gpu_processes(earlier) if device == "cuda" else []
    if others and busy_gpu == "refuse":
        verb = "computes" if len(others) == 1 else "compute"
        raise UserError(
            f"{_named(others)} {verb} on {_gpu()}, so that timings, memory and energy would not be the model's own: "
            "stop it, or set `measure.busy_gpu: warn` in the study to measure all the same."
        )
    if others:
        log.warning("warning: %s on %s: timings, memory and energy are not the model's own.", _named(others), _gpu())
    cores = os.cpu_count() or 1
    load = settled_load(cores, min(MOST_WAITING, WINDOWS * window))
    if loaded(load, cores):
        log.warning(
            "warning: the machine is loaded (%.1f jobs on %d cores): timings will be slow, and are not compared.",
            load,
            cores,
        )
    found = {"load_before": load, "cores": cores, "other_gpu_processes": _ids(others)}
    return found | ({"gpu": current_gpu()} if device == "cuda" else {})


def settled_load(cores: int, most: float) -> float:
    """The load of the last minute, once it is no longer that of a loaded machine or no longer falls; `most` seconds."""
    load, waited = os.getloadavg()[0], 0.0
    while loaded(load, cores) and waited + STEP <= most:
        if not waited:
            log.info("waiting for the load to fall before measuring (%.1f jobs on %d cores)", load, cores)
        time.sleep(STEP)
        waited += STEP
        before, load = load, os.getloadavg()[0]
        if load > FALLING * before:
            break
    return load


def afterwards(device: str, earlier: Earlier = None) -> dict[str, Any]:
    """The same after everything was measured; processes that have come to the GPU meanwhile are warned of."""
    others = other_gpu_processes(earlier, computing=True) if device == "cuda" else []
    if others:
        log.warning(
            "warning: %s on %s when the measuring ended: what was measured may not be the model's own.",
            _named(others), _gpu(),
        )  # fmt: skip
    return {"load_after": os.getloadavg()[0], "other_gpu_processes_after": _ids(others)}


def _ids(processes: list[GpuProcess] | None) -> list[int] | None:
    return None if processes is None else [process.pid for process in processes]


def _named(processes: list[GpuProcess]) -> str:
    return " and ".join(map(str, processes))


def _gpu() -> str:
    """The GPU in words: its name and UUID."""
    return "the GPU {name} ({uuid})".format(**current_gpu())
