"""The GPU that torch uses, as NVML knows it: the two number GPUs differently, so they are matched by UUID."""

from __future__ import annotations

import os
from typing import Any


def handle_of_current_gpu() -> Any:
    """NVML's handle of torch's current GPU. Raises whatever NVML raises where there is none."""
    import pynvml
    import torch

    pynvml.nvmlInit()
    uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
    return pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")


def other_gpu_processes() -> list[int] | None:
    """Ids of the other processes that compute on torch's current GPU; None where NVML does not tell."""
    try:
        import pynvml

        running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle_of_current_gpu())
    except Exception:  # NVML is absent or hides processes (containers): not to be taken for an idle GPU
        return None
    return [process.pid for process in running if process.pid != os.getpid()]
