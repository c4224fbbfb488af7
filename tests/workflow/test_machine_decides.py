"""A study that leaves its baseline and what cannot run to the machine: run to its end on a T4, and moved elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from checkout_copy import Checkout

NVML = """
def nvmlInit(): pass
def nvmlShutdown(): pass
def nvmlDeviceGetCount(): return 1
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetName(handle): return "Tesla T4"
def nvmlDeviceGetUUID(handle): return "GPU-1234"
def nvmlDeviceGetCudaComputeCapability(handle): return 7, 5
"""


@pytest.fixture
def t4(tmp_path: Path) -> dict[str, str]:
    """Variables under which a run sees a T4: NVML says so, and torch's own file that it was built for GPUs."""
    folder = tmp_path / "t4"
    (folder / "torch").mkdir(parents=True)
    (folder / "pynvml.py").write_text(NVML)
    (folder / "torch/__init__.py").write_text("raise SystemExit('torch was imported')\n")
    (folder / "torch/version.py").write_text("cuda: str | None = '12.8'\n")
    for package in ("bitsandbytes", "torchao"):
        (folder / f"{package}.py").touch()
    return {"PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", "CUDA_VISIBLE_DEVICES": "0"}


def test_smolvlm_coco_on_a_t4_says_what_is_left_out_before_it_downloads(checkout: Checkout, t4: dict[str, str]) -> None:
    done = checkout.snakemake("-n", "--config", "study=smolvlm-coco", **t4)
    assert done.returncode == 0, done.stderr
    planned = done.stdout + done.stderr
    assert "results/smolvlm-coco/smolvlm-256m/float16/checkpoint" in planned
    assert "results/smolvlm-coco/smolvlm-256m/nf4-language/checkpoint" in planned
    assert "smolvlm-256m/torchao-int4-language" not in planned


def test_a_study_runs_to_its_end_on_a_t4_and_stays_as_it_is_elsewhere(fresh: Checkout, t4: dict[str, str]) -> None:
    named = ["auto", "int8-language", "torchao-int4-language"]
    fresh.write_study("tiny", baseline="auto", precisions=named, on_unusable="skip")
    done = fresh.snakemake("--cores", "1", **t4)
    assert done.returncode == 0, done.stderr
    before_any_job = done.stderr[: done.stderr.index("rule resolve_study")]
    assert "tiny: The baseline is float16 (baseline: auto), because Tesla T4" in before_any_job
    assert "tiny: torchao-int4-language is left out: torchao-int4: it has no kernel for Tesla T4" in before_any_job
    assert fresh.jobs()[0]["rule"] == "resolve_study"
    results = fresh.folder / "results/tiny"
    assert (results / "tiny.zip").exists()
    assert {path.name for path in (results / "demo-vlm").iterdir()} == {"float16", "int8-language"}

    moved = fresh.snakemake("--cores", "1", CUDA_VISIBLE_DEVICES="")
    assert "Nothing to be done" in moved.stderr

    (results / "study.resolved.yaml").unlink()
    anew = fresh.snakemake("-n", "--config", "study=tiny", CUDA_VISIBLE_DEVICES="")
    assert "rule quantize_model" in anew.stdout + anew.stderr
