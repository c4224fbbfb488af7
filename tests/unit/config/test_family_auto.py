"""A model whose entry names no family: its track says what reads its parts."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_folder import ConfigFolder


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigFolder:
    monkeypatch.chdir(tmp_path)
    return ConfigFolder(tmp_path)


HUB = {"hub": "someone/something", "licence": "MIT"}


def test_a_model_that_sees_is_read_by_the_family_of_models_that_see(config: ConfigFolder) -> None:
    config.add("models", mine=HUB)
    study = config.resolved(models=["mine"], precisions=["float16", "int8-vision"])
    assert study["models"]["mine"]["family"] == "auto-vision"
    assert study["assignments"]["mine"]["int8-vision"]["vision"]["format"] == "bnb-int8"


def test_a_model_that_reads_is_read_by_the_other(config: ConfigFolder) -> None:
    config.add("models", mine=HUB | {"family": "auto"})
    study = config.resolved(
        track="lambada", dataset={"name": "demo-passages", "subset": 4}, models=["mine"], precisions=["float16"]
    )
    assert study["models"]["mine"]["family"] == "auto-text"
    assert "vision" not in study["assignments"]["mine"]["float16"]


def test_a_detector_needs_a_family_but_for_a_tflite_file(config: ConfigFolder) -> None:
    data = {"name": "demo-boxes", "subset": 4}
    config.add("models", mine=HUB)
    said = config.refusal(track="detection", dataset=data, models=["mine"], precisions=["litert-float32"])
    assert said.startswith("config/models.yaml: model 'mine' names no `family`, and for the track detection it has")
    assert "yolos" in said
    ends = {"input": {"size": [8, 8]}, "outputs": {"kind": "ssd"}, "classes": {}}
    file = {"url": "https://example.org/a.tflite", "licence": "MIT", "detector": ends}
    config.add("models", file=file)
    study = config.resolved(track="detection", dataset=data, models=["file"], precisions=["litert-as-is"])
    assert study["models"]["file"]["family"] == "tflite"
