"""The GPU that torch uses, as NVML knows it: the two number GPUs differently, so they are matched by UUID."""

from __future__ import annotations

from typing import Any


def handle_of_current_gpu() -> Any:
    """NVML's handle of torch's current GPU. Raises whatever NVML raises where there is none."""
    import pynvml
    import torch

    pynvml.nvmlInit()
    uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
    return pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
