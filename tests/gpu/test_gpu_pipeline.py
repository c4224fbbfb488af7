"""The same pipeline on a CUDA GPU: every format's GPU kernel, and what is measured there (make test-gpu)."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from checkouts import ROOT, copy_checkout, snakemake, write_study

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU on this machine")

PRECISIONS = ["bfloat16", "int8-language", "int8-language-vision", "nf4-language", "torchao-int8-language",
              "torchao-int4-language"]  # fmt: skip
CELL = "results/on-gpu/demo-vlm"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy after a whole run on the GPU."""
    checkout = copy_checkout(tmp_path_factory.mktemp("gpu"))
    study = yaml.safe_load((ROOT / "config/studies/demo-captioning.yaml").read_text())
    study |= {"study": "on-gpu", "device": "cuda", "precisions": PRECISIONS}
    study["dataset"]["subset"] = 64
    study["measure"] |= {"min_seconds": 6, "repeats": 2}  # the energy counter means nothing below 5 s
    write_study(checkout, study)
    run = snakemake(checkout, "--cores", "4", "--config", "study=on-gpu", timeout=1500)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return checkout


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_format_passes_its_audit_on_the_gpu(finished, precision):
    audit = json.loads((finished / CELL / precision / "audit.json").read_text())
    assert audit["passed"] and audit["device"] == "cuda"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_measuring_reads_the_gpu(finished, precision):
    record = json.loads((finished / CELL / precision / "zero-shot/measurements.json").read_text())
    metrics = record["metrics"]
    assert metrics["peak_memory"]["kind"] == "CUDA allocated"
    assert metrics["peak_memory"]["value"] >= 0.9 * metrics["weights_in_memory"]["value"]
    assert metrics["energy_per_item"]["how"] == "counter"
    parts = [metrics[f"latency_{phase}"]["mean"] for phase in ("preprocessing", "vision", "prefill", "decode")]
    assert sum(parts) == pytest.approx(metrics["latency"]["mean"], rel=0.05)
    assert len(record["repeats"]) == 2
    for one in record["repeats"]:
        assert one["provenance"]["hardware"]["gpus"]
        assert one["circumstances"]["other_gpu_processes"] in ([], None)
    for part in ("preprocessing", "vision_prefill", "decode"):
        assert "value" in metrics[f"energy_{part}"] or "difference" in metrics[f"energy_{part}"]


def test_questions_with_examples_are_answered_on_the_gpu(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path)
    study = yaml.safe_load((ROOT / "config/studies/demo-vqa.yaml").read_text())
    study |= {"study": "asked", "device": "cuda", "precisions": ["bfloat16", "int8-language"]}
    study["dataset"]["subset"] = 64
    write_study(checkout, study)
    run = snakemake(checkout, "--cores", "4", "--config", "study=asked", timeout=900)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    floor = json.loads((checkout / "results/asked/blind.json").read_text())["metrics"]["vqa_accuracy"]["value"]
    with (checkout / "results/asked/summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["condition"] for row in rows} == {"zero-shot", "4-shot"}
    assert all(float(row["vqa_accuracy"]) > floor + 0.15 for row in rows)


def test_eight_bits_keep_the_quality(finished):
    with (finished / "results/on-gpu/summary.csv").open(newline="") as file:
        table = {row["precision"]: float(row["CIDEr"]) for row in csv.DictReader(file)}
    assert table["int8-language"] > 0.9 * table["bfloat16"] > 1.3
