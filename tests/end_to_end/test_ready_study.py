"""Checkpoints that somebody else made go through a whole small study beside their original."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from pypdf import PdfReader

import warm
from checkouts import ONE_CORE, ROOT, copy_checkout, snakemake, write_study

sys.path.insert(0, str(ROOT / "tests/unit/helpers"))
import ready_checkpoints

if importlib.util.find_spec("compressed_tensors") is None:
    pytest.skip("compressed-tensors is not installed", allow_module_level=True)

STUDY = "results/ready"
MODEL = ROOT / "demo/models/demo-lm"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy after a whole run."""
    made = copy_checkout(tmp_path_factory.mktemp("ready"))
    ready_checkpoints.int4(MODEL, made / "mine/int4")
    study = yaml.safe_load((ROOT / "config/studies/demo-lambada.yaml").read_text())
    study |= {"study": "ready", "noise_floor": False}
    study |= {"precisions": ["bfloat16", {"name": "theirs", "checkpoint": "mine/int4", "licence": "Apache-2.0"}]}
    study["dataset"]["subset"] = 40
    study["measure"] |= {"min_seconds": 0.1, "items": 2, "min_iterations": 2, "batch_sizes": [1], "new_tokens": 4}
    write_study(made, study)
    run = snakemake(made, *ONE_CORE, "--config", "study=ready", python=warm.python())
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return made


def test_it_is_compared_measured_and_told(checkout: Path) -> None:
    folder = checkout / STUDY
    verdicts = json.loads((folder / "verdicts.json").read_text())
    (cell,) = verdicts["cells"]
    theirs = next(one for one in cell["entries"] if one["precision"] == "theirs")
    assert theirs["kind"] != "not compared" and theirs["metrics"]["top_1"]["value"] > 40
    assert "theirs: ready checkpoint mine/int4, quantized by compressed-tensors" in cell["remarks"]
    with (folder / "summary.csv").open(newline="") as file:
        rows = {row["precision"]: row for row in csv.DictReader(file)}
    assert float(rows["theirs"]["size_on_disk_MB"]) < 0.7 * float(rows["bfloat16"]["size_on_disk_MB"])
    audit = json.loads((folder / "demo-lm/theirs/audit.json").read_text())
    assert audit["ready"]["licence"] == "Apache-2.0"
    assert audit["groups"]["language.mlp"]["format"] == "compressed-tensors int4"


def test_paper_and_page_name_it_and_the_archive_has_no_weights_of_it(checkout: Path) -> None:
    folder = checkout / STUDY
    paper = " ".join(" ".join(page.extract_text() for page in PdfReader(folder / "paper.pdf").pages).split())
    assert "Taken as published: theirs." in paper and "mine/int4" in paper
    assert '"pack-quantized"' in (folder / "index.html").read_text().replace("\\", "")
    with zipfile.ZipFile(folder / "ready.zip") as archive:
        weights = [name for name in archive.namelist() if name.endswith(".safetensors")]
    assert all("/demo/models/" in name for name in weights)
