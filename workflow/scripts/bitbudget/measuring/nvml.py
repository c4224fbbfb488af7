"""The GPU that torch uses, as NVML knows it: the two number GPUs differently, so they are matched by UUID."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class GpuProcess:
    """A process that computes on the GPU; its name is None where it may not be read."""

    pid: int
    name: str | None

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name or 'whose name cannot be read'})"


def handle_of_current_gpu() -> Any:
    """NVML's handle of torch's current GPU. Raises whatever NVML raises where there is none."""
    import pynvml

    pynvml.nvmlInit()
    return pynvml.nvmlDeviceGetHandleByUUID(uuid_of_current_gpu())


def uuid_of_current_gpu() -> str:
    """The UUID of torch's current GPU, as NVML writes it."""
    import torch

    uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
    return uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"


def other_gpu_processes(computing: bool = False) -> list[GpuProcess] | None:
    """The other processes that compute on torch's current GPU; None where NVML does not tell.

    `computing` says that this process computes there itself. Inside a container NVML may number processes as the host
    does: where this process's own id is then not among them, a single foreign one is taken to be its own.
    """
    try:
        import pynvml

        running = [p.pid for p in pynvml.nvmlDeviceGetComputeRunningProcesses(handle_of_current_gpu())]
    except Exception:  # NVML is absent or hides processes (containers): not to be taken for an idle GPU
        return None
    others = [pid for pid in running if pid != os.getpid()]
    if computing and len(others) == len(running) == 1:
        return []
    return [GpuProcess(pid, _name(pid)) for pid in others]


def _name(pid: int) -> str | None:
    """The name of a process, from /proc, or from NVML where /proc does not have it."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        pass
    try:
        import pynvml

        found = pynvml.nvmlSystemGetProcessName(pid)
    except Exception:  # the process is another user's, or over
        return None
    return Path(found.decode() if isinstance(found, bytes) else found).name or None
