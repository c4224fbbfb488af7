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


def current_gpu() -> dict[str, str]:
    """Name and UUID of torch's current GPU."""
    import torch

    return {"name": torch.cuda.get_device_name(), "uuid": uuid_of_current_gpu()}


def processes_by_gpu() -> dict[str, set[int]] | None:
    """Ids of the processes that compute on each GPU, by its UUID; None where NVML does not tell.

    It asks NVML alone, so that it can be called before torch has made a CUDA context: what is there then is not this
    process, under whatever id NVML lists it later. All GPUs are asked, because only CUDA itself knows which of them it
    will call the first (it obeys CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, NVML neither).
    """
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return {pynvml.nvmlDeviceGetUUID(handle): _processes_on(handle) for handle in handles}
    except Exception:  # NVML is absent or hides processes (containers): not to be taken for idle GPUs
        return None


def other_gpu_processes(earlier: dict[str, set[int]] | None, computing: bool = False) -> list[GpuProcess] | None:
    """The other processes that compute on torch's current GPU; None where NVML does not tell.

    `earlier` is `processes_by_gpu` from before this process touched CUDA, and `computing` says that it has computed
    since. Inside a container NVML may number processes as the host does. Where this process's own id is therefore not
    in the list, others are those that were there earlier, and one that came since is taken to be this process itself;
    of several that came since, which cannot be told apart, all are others. A list that is empty although this process
    computes tells nothing.
    """
    try:
        running = _processes_on(handle_of_current_gpu())
    except Exception:  # as above
        return None
    if os.getpid() in running:
        others = running - {os.getpid()}
    else:
        before = (earlier or {}).get(uuid_of_current_gpu())
        if before is None or (computing and not running):
            return None
        came = running - before
        others = running if len(came) > 1 else running - came
    return [GpuProcess(pid, _name(pid)) for pid in sorted(others)]


def _processes_on(handle: Any) -> set[int]:
    import pynvml

    return {process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}


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
