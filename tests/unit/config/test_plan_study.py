"""`make plan`: what a run would do on this machine, before anything is downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_folder import ConfigFolder

import plan_study
from bitbudget.config.study import load_studies
from bitbudget.system.machine import AVX2, Gpu, Machine

T4 = Machine("Intel Xeon", False, AVX2, Gpu("Tesla T4", (7, 5)))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigFolder:
    monkeypatch.chdir(tmp_path)
    return ConfigFolder(tmp_path)


def planned(name: str) -> str:
    said: list[str] = []
    study = load_studies({"study": name}, machine=T4, tell=said.append)[name]
    return "\n".join(plan_study.lines(study, said))


def test_the_machine_the_baseline_what_is_left_out_and_the_downloads_are_told(config: ConfigFolder) -> None:
    found = planned("smolvlm-coco")
    assert "\nfor Tesla T4 (compute capability 7.5)\nThe baseline is float16 (baseline: auto), because Tesla" in found
    assert "\ntorchao-int4-language is left out: torchao-int4: it has no kernel for Tesla T4" in found
    assert "\n  float16               all in this format\n  int8-language         bnb-int8 (language)\n" in found
    assert "\n  int8-language-vision  bnb-int8 (vision, language)\n" in found
    assert "model smolvlm-256m: is downloaded, about 500 MB (hub HuggingFaceTB/SmolVLM-256M-Instruct; licence" in found
    assert not any(len(line) > 120 for line in found.splitlines() if not line.startswith("  model"))


def test_a_ready_checkpoint_is_told_with_its_place(config: ConfigFolder) -> None:
    Path("theirs").mkdir()
    Path("theirs/config.json").write_text("{}" * 500_000)
    local = {"name": "theirs", "checkpoint": "theirs"}
    config.write_study(precisions=["float16", local, {"name": "far", "checkpoint": "owner/name"}])
    found = planned("mine")
    assert "\n  theirs   a ready checkpoint, as it is\n" in found
    assert "checkpoint theirs of demo-vlm: on this disk, 1 MB, in theirs\n" in found
    assert "checkpoint far of demo-vlm: is downloaded, of a size that is not known before (owner/name)\n" in found


def test_what_is_on_this_disk_is_said_to_be(config: ConfigFolder) -> None:
    assert "model demo-vlm: on this disk, " in planned("mine")
    folder = Path("resources/models/demo-vlm")
    folder.mkdir(parents=True)
    (folder / "model.json").write_text('{"files": {"a": {"bytes": 2500000000}, "b": {"bytes": 500000000}}}')
    assert "model demo-vlm: here, 3.00 GB" in planned("mine")
