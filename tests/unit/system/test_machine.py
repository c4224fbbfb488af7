"""What a machine is taken for: by its processor's flags, and by what NVML or nvidia-smi say of its GPUs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bitbudget.system import machine
from bitbudget.system.machine import AVX2, AVX512_BF16, Gpu, Machine

T4 = Gpu("Tesla T4", (7, 5), "GPU-aaaa")
A100 = Gpu("NVIDIA A100-SXM4-40GB", (8, 0), "GPU-bbbb")
X86 = "processor : 0\nmodel name : Intel Core\nflags : fpu sse4_2 avx f16c {}\n\nprocessor : 1\nmodel name : other\n"
ARM = "processor : 0\nBogoMIPS : 50.00\nFeatures : fp asimd fphp asimdhp {}\n"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch for GPUs, and no driver; tests put in what they need."""
    monkeypatch.setattr(machine, "_torch_runs_on_gpus", lambda: True)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(machine.programs, "ask", no_program)


def no_program(*arguments: object, **named: object) -> None:
    raise FileNotFoundError("nvidia-smi")


def nvml(*gpus: Gpu, as_bytes: bool = False) -> SimpleNamespace:
    """A stand-in for NVML on a machine with these GPUs, which it names by their numbers."""

    def written(text: str) -> str | bytes:
        return text.encode() if as_bytes else text

    return SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda index: written(gpus[index].name),
        nvmlDeviceGetUUID=lambda index: written(gpus[index].uuid),
        nvmlDeviceGetCudaComputeCapability=lambda index: list(gpus[index].capability),
    )


@pytest.mark.parametrize(
    ("cpuinfo", "bf16", "kind"),
    [
        (X86.format("avx2 fma"), False, AVX2),
        (X86.format("sse4a"), False, ""),
        (X86.format("avx2 avx512f avx512bw"), False, ""),
        (X86.format("avx2 avx512f avx512_bf16"), True, AVX512_BF16),
        (X86.format("avx2 avx512f avx512_bf16 avx512_fp16 amx_tile amx_bf16"), True, ""),
        (ARM.format("asimddp"), False, ""),
        (ARM.format("i8mm bf16"), True, ""),
        ("", False, ""),
    ],
)
def test_a_processor_by_its_flags(
    cpuinfo: str, bf16: bool, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    found = machine.look(environ={})
    assert (found.bf16, found.kind, found.gpu) == (bf16, kind, None)
    assert found.cpu == (
        "Intel Core" if "Intel" in cpuinfo else machine.platform.processor() or machine.platform.machine()
    )
    assert found == machine.look(environ={})


def test_a_system_without_such_a_file_has_no_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CPUINFO", Path("/nowhere/cpuinfo"))
    assert machine.look(environ={}).bf16 is False


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_gpu_by_nvml(as_bytes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(T4, as_bytes=as_bytes))
    found = machine.look(environ={})
    assert found.gpu == T4
    assert (found.device("auto"), found.device("cpu"), found.device("cuda")) == ("cuda", "cpu", "cuda")
    assert found.title("cuda") == "Tesla T4 (compute capability 7.5)"


def test_a_gpu_by_its_driver_s_program_where_nvml_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Tesla T4, 7.5, GPU-aaaa\nNVIDIA A100-SXM4-40GB, 8.0, GPU-bbbb\n"
    monkeypatch.setattr(machine.programs, "ask", lambda *_, **__: SimpleNamespace(stdout=said))
    assert machine._gpus() == [T4, A100]
    monkeypatch.setattr(machine.programs, "ask", lambda *_, **__: SimpleNamespace(stdout="Field is not valid\n"))
    assert machine._gpus() == []

    def fails(*_: object, **__: object) -> None:
        raise subprocess.CalledProcessError(9, "nvidia-smi")

    monkeypatch.setattr(machine.programs, "ask", fails)
    assert machine._gpus() == []


def test_a_driver_that_hides_its_gpus_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = nvml(T4)
    broken.nvmlDeviceGetName = lambda index: 1 / 0
    monkeypatch.setitem(sys.modules, "pynvml", broken)
    assert machine.look(environ={}).gpu is None


@pytest.mark.parametrize(
    ("environ", "first"),
    [
        ({}, A100),  # CUDA calls the fastest the first
        ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, T4),
        ({"CUDA_VISIBLE_DEVICES": "1"}, T4),
        ({"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, A100),
        ({"CUDA_VISIBLE_DEVICES": "GPU-aa"}, T4),
        ({"CUDA_VISIBLE_DEVICES": "MIG-1234"}, A100),
        ({"CUDA_VISIBLE_DEVICES": ""}, None),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, None),
        ({"CUDA_VISIBLE_DEVICES": "7,0"}, None),
    ],
)
def test_the_gpu_that_cuda_would_take(
    environ: dict[str, str], first: Gpu | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(T4, A100))
    assert machine.look(environ=environ).gpu == first


@pytest.mark.parametrize(
    ("version", "runs"),
    [
        ("cuda: Optional[str] = None\ngit_version = 'cf3'\n", False),
        ("cuda: Optional[str] = '12.8'\n", True),
        ("cuda = '12.8'\n", True),
        (None, True),  # no torch here: jobs run in an environment of their own
    ],
)
def test_torch_says_in_a_file_what_it_was_built_for(
    version: str | None, runs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    place = None
    if version is not None:
        (tmp_path / "version.py").write_text(version)
        place = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: place)
    assert machine._torch_runs_on_gpus() is runs


def test_packages_are_looked_for_where_torch_is(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"torch", "torchao"}
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: name if name in there else None)
    assert machine.look(("torchao", "bitsandbytes"), {}).missing == ("bitsandbytes",)
    there.remove("torch")
    assert machine.look(("torchao", "bitsandbytes"), {}).missing == ()


@pytest.mark.parametrize(
    "made", [Machine("Intel", False, AVX2), Machine("AMD", True, AVX512_BF16, T4, ("gptqmodel", "torchao"))]
)
def test_processes_that_are_started_are_told_the_machine(made: Machine) -> None:
    assert machine.look(("bitsandbytes",), {machine.VARIABLE: machine.as_text(made)}) == made
