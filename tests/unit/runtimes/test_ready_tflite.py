"""Ready .tflite files beside the file that a detector's other precisions are made of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_detectors
from asked import asked

from bitbudget import files
from bitbudget.config.dependencies import SCRIPTS
from bitbudget.models import ready_models
from bitbudget.records import _validator
from bitbudget.runtimes.litert import flatbuffer, ready, widening

SPEC = {"study": "s", "model": "m", "precision": "theirs", "family": "tflite", "simulated": []}
SPEC |= {"assignment": {"detector": {"format": "litert-as-is", "checkpoint": "mine.tflite"}}}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_detectors.exported("yolos", tmp_path_factory)


def run(script: str, **paths: Path | dict[str, Any]) -> str:
    command = [sys.executable, str(SCRIPTS / f"{script}.py")]
    for key, value in paths.items():
        command += [f"--{key}", asked(script, value) if isinstance(value, dict) else str(value)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_ready_file_goes_through_the_scripts_and_is_told(exported: Path, tmp_path: Path) -> None:
    """A file in whole numbers, as somebody else would have made it of the same network."""
    spec = {"format": "litert-int8-full", "operators": "weights"}
    theirs = tiny_detectors.quantized(exported, spec, tmp_path / "made") / "model.tflite"
    source = {"local": str(theirs), "family": "tflite", "licence": "MIT"}
    ready_models.fetch("mine.tflite", source, tmp_path / "fetched", tmp_path / "partial")
    out = tmp_path / "checkpoint"
    run("quantize_detector", exported=exported, ready=tmp_path / "fetched", spec=SPEC, out=out)
    assert (out / "model.tflite").read_bytes() == theirs.read_bytes()
    made = json.loads((out / "checkpoint.json").read_text())
    _validator("checkpoint").validate(made)
    assert made["ready"]["checkpoint"] == "mine.tflite" and made["ready"]["source"] == str(theirs)
    run("audit_detector", exported=exported, checkpoint=out, spec=SPEC, out=tmp_path / "audit.json")
    found = files.read_json(tmp_path / "audit.json")
    _validator("audit").validate(found)
    quantized = [layer for layer in found["layers"] if layer["found"] == "litert-int8-full"]
    assert quantized and all(0.001 < layer["relative_error"] < 0.02 for layer in quantized)
    assert all(layer["relative_error"] == pytest.approx(layer["promised_error"], rel=0.1) for layer in quantized)
    assert found["groups"]["detector"]["coverage"] > 0.5
    assert found["ready"]["remarks"] == ["ready checkpoint mine.tflite"]
    assert found["output_errors"] and not found["output_limits"]


@pytest.mark.parametrize("name", ["litert-float32", "litert-int8", "litert-float16"])
def test_other_formats_are_made_of_a_file_in_half_precision(name: str, exported: Path, tmp_path: Path) -> None:
    """And nothing is lost on the way: in float32 it has the very numbers, and says the very same."""
    half = tiny_detectors.quantized(exported, {"format": "litert-float16"}, tmp_path / "half")
    with widening.in_float32(half) as wide:
        held = [flatbuffer.read(folder / "model.tflite")[0].weights() for folder in (half, wide)]
        for narrow, plain in zip(*held, strict=True):
            assert plain.tensor.type == "FLOAT32" and not plain.dequantized
            assert np.array_equal(narrow.tensor.values(), plain.tensor.values())
        assert (wide / "model.tflite").stat().st_size < 1.2 * (exported / "model.tflite").stat().st_size
        assert set(ready.audit(half, wide, {"checkpoint": "it"})["output_errors"].values()) == {0.0}
        with widening.in_float32(wide) as same:
            assert same == wide
    (half / "checkpoint.json").unlink()
    spec = SPEC | {"assignment": {"detector": {"format": name}}}
    run("quantize_detector", exported=half, spec=spec, out=tmp_path / "made")
    run("audit_detector", exported=half, checkpoint=tmp_path / "made", spec=spec, out=tmp_path / "audit.json")
    found = files.read_json(tmp_path / "audit.json")
    assert found["passed"] and name in {layer["found"] for layer in found["layers"]}


def test_the_same_network_in_floats_is_at_no_distance(exported: Path) -> None:
    found = ready.audit(exported, exported, {"checkpoint": "it"})
    assert {layer["found"] for layer in found["layers"]} == {"litert-float32"}
    assert {layer["relative_error"] for layer in found["layers"]} == {None}
    assert found["groups"]["detector"]["coverage"] is None
    assert set(found["output_errors"].values()) == {0.0}
