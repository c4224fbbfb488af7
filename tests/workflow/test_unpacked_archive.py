"""A study's archive, unpacked: one file can be made again from the records, and the whole can be run again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from checkout_copy import Checkout

from checkouts import ROOT

FIGURE = "results/tiny/figures/quality.svg"
# What a stand-in writes is a word; these are read when the archive is made.
RECORDS = {
    "study.resolved.yaml": {
        "study": "tiny", "description": "four items", "demo": True, "track": "captioning",
        "dataset": {"name": "demo-scenes", "kind": "demo-scenes", "options": {}, "licence": "CC0-1.0", "subset": 4},
        "models": {"demo-vlm": {"local": "demo/models/demo-vlm", "licence": "Apache-2.0"}},
        "precisions": ["float16", "int8-language", "nf4-language"], "conditions": ["zero-shot"],
        "inspection": {"redact": True, "phone_region": "US"},
        "report": {"title": None, "authors": [], "with": [], "words": None, "template": None},
    },
    "inspection.json": {"redaction": {"on": False, "why": "No text is read.", "replaced": 0}},
    "examples.json": {"qualitative": [], "items": []},
    "verdicts.json": {"cells": [], "machine": {"left_out": []}},
    "items.jsonl": {"id": "1", "images": []},  # one line
}  # fmt: skip


@pytest.fixture
def archive(run: Checkout) -> Path:
    """The archive of a study whose scripts are stand-ins, packed by the real script."""
    folder = run.folder / "results/tiny"
    for name, content in RECORDS.items():
        about = (folder / name).stat() if (folder / name).exists() else (folder / "summary.csv").stat()
        (folder / name).write_text(yaml.safe_dump(content) if name.endswith("yaml") else json.dumps(content))
        os.utime(folder / name, ns=(about.st_atime_ns, about.st_mtime_ns))
    for path in folder.glob("*/*/*/measurements.json"):
        about = path.stat()
        path.write_text(json.dumps({"provenance": {"commit": None, "hardware": {"cpu": "Abacus 9", "gpus": []}}}))
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    packing = [ROOT / "workflow/scripts/bundle_study.py", "--spec", '{"with": []}']
    packing += ["--results", "results/tiny", "--out", "results/tiny/tiny.zip"]
    done = subprocess.run([sys.executable, *packing], cwd=run.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "tiny.zip"


def unpacked(archive: Path, folder: Path, dates: str) -> Checkout:
    """The archive unpacked, as programs do it that keep its dates, that do not, or that unpack in any order."""
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        for name in sorted(names, reverse=True) if dates == "in any order" else names:
            path = Path(packed.extract(name, folder))
            if dates == "kept":
                os.utime(path, (315532800, 315532800))  # 1980, as Info-ZIP does
    work = Checkout(folder / "tiny/bitbudget")
    assert not (work.folder / "results/tiny/demo-vlm/float16/checkpoint").exists()
    assert not (work.folder / ".snakemake").exists()
    return work


def make_again(work: Checkout, target: str) -> set[str]:
    """Run `make again` without setting up an environment; the rules that ran."""
    seen = len(work.jobs())
    given = ["RUN=", "READY=", "STUDY=tiny", f"TARGET={target}"]
    done = subprocess.run(
        ["make", "again", *given], cwd=work.folder, env=work.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {job["rule"] for job in work.jobs()[seen:]}


@pytest.mark.parametrize("dates", ["kept", "of unpacking"])
def test_one_file_is_made_again_and_nothing_else(archive: Path, tmp_path: Path, dates: str) -> None:
    work = unpacked(archive, tmp_path / "elsewhere", dates)
    (work.folder / FIGURE).write_text("somebody drew over it")
    assert make_again(work, FIGURE) == {"plot_figures"}
    assert (work.folder / FIGURE).read_text() == "quality"


def test_no_model_runs_whatever_the_dates_are(archive: Path, tmp_path: Path) -> None:
    work = unpacked(archive, tmp_path / "elsewhere", "in any order")
    assert "plot_figures" in (ran := make_again(work, FIGURE))
    assert ran <= from_records()
    assert not (work.folder / "resources").exists()


def from_records() -> set[str]:
    """The rules that `make again` may use."""
    named = re.search(r"^FROM_RECORDS := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert named is not None
    return set(named[1].replace("\\", " ").split())


def test_the_rules_that_make_again_may_use_are_all_there() -> None:
    """Snakemake says nothing of a rule that it does not know."""
    texts = [path.read_text() for path in (ROOT / "rules").glob("*.smk")]
    assert from_records() <= {name for text in texts for name in re.findall(r"^rule (\w+):", text, re.MULTILINE)}


def test_the_whole_can_be_run_again(archive: Path, tmp_path: Path) -> None:
    work = unpacked(archive, tmp_path / "elsewhere", "kept")
    planned = work.snakemake("-n", "--config", "study=tiny")
    assert planned.returncode == 0, planned.stderr
    shutil.move(work.folder / "results/tiny", work.folder / "tiny.as-shipped")
    planned = work.snakemake("-n", "--config", "study=tiny")
    assert planned.returncode == 0, planned.stderr
    for rule in ("fetch_dataset", "fetch_model", "quantize_model", "predict", "score", "plot_figures", "bundle_study"):
        assert f"rule {rule}:" in planned.stdout + planned.stderr
