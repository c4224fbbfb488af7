"""The machine while it measures: what else may have slowed it down."""

from __future__ import annotations

import logging
import os
from typing import Any

from bitbudget.measuring.nvml import other_gpu_processes

log = logging.getLogger("bitbudget")


def circumstances(device: str) -> dict[str, Any]:
    """What else may have slowed the machine down: the load of the last minute, and other processes on the GPU."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores + 0.5:
        log.warning("warning: the machine is loaded (%.1f jobs on %d cores): timings will be slow.", load, cores)
    others = other_gpu_processes() if device == "cuda" else []
    if others:
        log.warning("warning: %d other processes use the GPU: timings, memory and energy are not its own.", len(others))
    return {"load_before": load, "cores": cores, "other_gpu_processes": others}
