"""Checkpoints of tiny models whose groups are ONNX files, with what is needed to audit and to change them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import tiny_models as tiny

from bitbudget import files, records
from bitbudget.models import checkpoint, group_files
from bitbudget.models.formats.base import Calibration
from bitbudget.registry import format_of
from bitbudget.runtimes.onnxruntime import reaching


def make(source: Path, folder: Path, family: ModuleType, dtype: str = "float32", **chosen: Any) -> Path:
    """A checkpoint of a snapshot in these formats, calibrated on made-up pictures where one is calibrated."""
    model, assigned = checkpoint.original(source, family, dtype), tiny.assignment(family, dtype, **chosen)
    layers, tensors = checkpoint.quantize(model, family, assigned, "cpu")
    looked_at = Calibration(lambda: checkpoint.original(source, family, dtype), reaching.made_up(source, family))
    wholes = group_files.make(model, family, assigned, source, folder, "cpu", looked_at)
    held = group_files.parameters(wholes, model.model, family)
    made = checkpoint.save(folder, source, model, tensors, layers, wholes, held)
    identity = {"study": "tiny", "model": "tiny", "precision": "own"}
    body = {"family": "llava", "dtype": dtype, "device": "cpu", "assignment": assigned}
    records.write(folder / checkpoint.MANIFEST, "checkpoint", identity, body | made)
    return folder


def audited(source: Path, folder: Path, family: ModuleType, dtype: str = "float32") -> tuple[list[Any], list[Any]]:
    """What the audit finds of the first of a checkpoint's files: layers, and other rows."""
    one = group_files.read(files.read_json(folder / checkpoint.MANIFEST))[0]
    original = checkpoint.original(source, family, dtype)
    return format_of(one.spec["format"]).audited(one, original, family, folder, "cpu", lambda: None)


def faults(found: tuple[list[Any], list[Any]]) -> dict[str, str]:
    """By path, what is wrong."""
    layers, others = found
    rows = [*((layer.path, layer.fault) for layer in layers), *((other["path"], other["fault"]) for other in others)]
    return {path: fault for path, fault in rows if fault}


def change(file: Path, name: str, function: Any) -> None:
    """Put what `function` makes of a constant of a file in its place."""
    model = onnx.load(file)
    one = next(one for one in model.graph.initializer if one.name == name)
    value = function(onnx.numpy_helper.to_array(one).copy())
    one.CopyFrom(onnx.numpy_helper.from_array(value, name))
    onnx.save(model, file)
