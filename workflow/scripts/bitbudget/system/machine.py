"""What this machine computes in natively and which packages it has, asked without torch: parsing imports none."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitbudget.system import programs

CPUINFO = Path("/proc/cpuinfo")
# What the system calls instructions that multiply bfloat16, on x86 and on Arm.
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
VNNI_FLAGS = frozenset({"avx512_vnni", "avx_vnni"})
AVX2, AVX512_BF16 = "avx2", "avx512-bf16"  # the kinds of processor on which formats were timed
# Says to the processes that this one starts what machine was found, so that all of them plan the same.
VARIABLE = "BITBUDGET_MACHINE"


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU; its compute capability says which kernels run on it."""

    name: str
    capability: tuple[int, int]
    uuid: str = ""

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.capability[0]}.{self.capability[1]})"


@dataclass(frozen=True)
class Machine:
    """A processor, and the GPU that torch would take first; None for no GPU.

    `bf16` says whether the processor has instructions for bfloat16, and `kind` is `AVX2` (no more than that),
    `AVX512_BF16` (no AMX) or empty, where what was timed on those two says nothing.
    """

    cpu: str
    bf16: bool
    kind: str = ""
    gpu: Gpu | None = None
    missing: tuple[str, ...] = ()  # of the packages that were asked for
    int8_overflows: bool = False  # whether an x86 processor adds 8-bit products in 16 bits, for want of VNNI

    def device(self, wanted: str) -> str:
        """`cpu` or `cuda`, as `devices.choose_device` will have it for the study's `device`."""
        return wanted if wanted != "auto" else "cuda" if self.gpu else "cpu"

    def title(self, device: str) -> str:
        """What computes on a device, in words that say what was chosen by."""
        if device == "cuda":
            return str(self.gpu or "a GPU that is not to be seen from here")
        return f"{self.cpu} {'with' if self.bf16 else 'without'} bf16 instructions"


def look(packages: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> Machine:
    """This machine, or the one that the process which started this one found.

    `packages` are looked for in this Python, unless it lacks torch, so that jobs must run in another; name none where
    they run in environments of their own.
    """
    if environ.get(VARIABLE):
        told = json.loads(environ[VARIABLE])
        gpu = told["gpu"] and Gpu(told["gpu"]["name"], tuple(told["gpu"]["capability"]), told["gpu"]["uuid"])
        return Machine(told["cpu"], told["bf16"], told["kind"], gpu, tuple(told["missing"]), told["int8_overflows"])
    gpus = _visible(_gpus(), environ) if _torch_runs_on_gpus() else []
    here = importlib.util.find_spec("torch") is not None
    missing = tuple(name for name in packages if here and importlib.util.find_spec(name) is None)
    flags = _cpu_flags()
    overflows = "avx2" in flags and not VNNI_FLAGS & flags
    return Machine(cpu_name(), bool(BF16_FLAGS & flags), _kind(flags), next(iter(gpus), None), missing, overflows)


def as_text(machine: Machine) -> str:
    """What `VARIABLE` holds of a machine."""
    return json.dumps(asdict(machine))


def cpu_name() -> str:
    """The processor's name, as far as the system tells it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpu_flags() -> frozenset[str]:
    return frozenset((_cpuinfo("flags") or _cpuinfo("Features")).split())


def _kind(flags: frozenset[str]) -> str:
    if "amx_bf16" in flags or "avx512_fp16" in flags:
        return ""
    if "avx512_bf16" in flags:
        return AVX512_BF16
    return AVX2 if "avx2" in flags and "avx512f" not in flags else ""


def _cpuinfo(name: str) -> str:
    """What the first processor's entry says under a name; empty where there is none."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.split(":")[0].strip() == name), "")


def _torch_runs_on_gpus() -> bool:
    """Whether this Python's torch is built for GPUs, as its own file says; where it has no torch, jobs have another."""
    found = importlib.util.find_spec("torch")
    try:
        text = (Path(found.origin).parent / "version.py").read_text(encoding="utf-8")
    except (OSError, TypeError, AttributeError):
        return True
    return re.search(r"^cuda\b[^=]*= *['\"]", text, re.MULTILINE) is not None


def _gpus() -> list[Gpu]:
    """The NVIDIA GPUs in the driver's order, by NVML, or else by nvidia-smi; none where neither is there."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, no driver, no GPU
        return _by_program()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [
            Gpu(
                _text(pynvml.nvmlDeviceGetName(one)),
                tuple(pynvml.nvmlDeviceGetCudaComputeCapability(one)),
                _text(pynvml.nvmlDeviceGetUUID(one)),
            )
            for one in handles
        ]
    except Exception:  # a driver that hides them
        return _by_program()
    finally:
        pynvml.nvmlShutdown()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else value  # bytes in older versions of nvidia-ml-py


def _by_program() -> list[Gpu]:
    command = ["nvidia-smi", "--query-gpu=name,compute_cap,uuid", "--format=csv,noheader"]
    try:
        said = programs.ask(command, timeout=20, check=True).stdout
        rows = [[part.strip() for part in line.split(",")] for line in said.splitlines() if line.strip()]
        return [Gpu(name, tuple(map(int, number.split("."))), uuid) for name, number, uuid in rows]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


def _visible(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> list[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES leaves, the one that CUDA calls the first ahead.

    CUDA orders them from fast to slow unless CUDA_DEVICE_ORDER says otherwise, and counts up to the first entry that
    names none ("CUDA C++ Programming Guide", environment variables). The newer is taken for the faster. An entry for a
    slice (MIG) stands for a whole GPU here, which has the same compute capability.
    """
    by_bus = environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    ordered = list(gpus) if by_bus else sorted(gpus, key=lambda gpu: gpu.capability, reverse=True)
    wanted = environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return ordered
    found: list[Gpu] = []
    for entry in map(str.strip, wanted.split(",")):
        if entry.isdigit():
            named = ordered[int(entry) : int(entry) + 1]
        elif entry.startswith("MIG"):
            named = ordered[:1]
        else:
            named = [gpu for gpu in ordered if entry and gpu.uuid.startswith(entry)]
        if not named:
            break
        found += named[:1]
    return found
