"""Module groups that ONNX Runtime computes from files: a vision tower or a projector, exported and quantized whole."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bitbudget.models.formats.base import Calibration, FormatSpec, GroupFile, GroupFormat

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from torch import nn

    from bitbudget.models.audit.audited import LayerAudit
    from bitbudget.models.streaming import Streamed
    from bitbudget.system.machine import Machine

GPU_BUILD = "onnxruntime-gpu"  # the distribution; both are imported by one name


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


class Ort(GroupFormat):
    """A way in which ONNX Runtime holds a group: `how` its inputs are rounded, or None for float32."""

    runtime = "onnxruntime"
    needs = ("onnx", "onnxruntime", "onnxscript")
    how: str | None = None

    def unfit(self, options: FormatSpec, float_format: str, machine: Machine, device: str) -> str | None:
        if device == "cuda" and not _installed(GPU_BUILD):
            return f"onnxruntime computes on the CPU alone: install {GPU_BUILD} in its place, or set `device: cpu`"
        return super().unfit(options, float_format, machine, device)

    def make(
        self,
        one: GroupFile,
        original: Streamed,
        family: ModuleType,
        source: Path,
        folder: Path,
        device: str,
        calibration: Calibration | None,
    ) -> GroupFile:
        from bitbudget.runtimes.onnxruntime import making

        return dataclasses.replace(
            one, **making.make(self, one.groups, original, family, source, folder, device, calibration)._asdict()
        )

    def put(self, one: GroupFile, model: nn.Module, family: ModuleType, folder: Path, device: str) -> nn.Module:
        from bitbudget.runtimes.onnxruntime import making

        return making.put(one, model, folder, device)

    def audited(
        self,
        one: GroupFile,
        original: Streamed,
        family: ModuleType,
        folder: Path,
        device: str,
        model: Callable[[], nn.Module],
    ) -> tuple[list[LayerAudit], list[dict[str, Any]]]:
        from bitbudget.runtimes.onnxruntime import audit

        return audit.audited(self, one, original, family, folder, device)


class OrtFloat32(Ort):
    name, bits, computes_in = "ort-float32", 32, "float32"
    description = "float32 in a graph that ONNX Runtime optimizes and computes"
    title = "ONNX Runtime"
    about = (
        "computes a whole module from one exported graph instead of calling torch layer by layer [@onnxruntime]. In "
        "float32 nothing is rounded but what goes in and out of the module, where the rest of the model has 16 bits."
    )


class OrtInt8Dynamic(Ort):
    name, bits, how, computes_in = "ort-int8-dynamic", 8, "dynamic", "int8"
    description = "int8 weights by output feature, multiplied by ONNX Runtime with inputs rounded to 8 bits"
    title = "Dynamic quantization in ONNX Runtime"
    about = (
        "multiplies 8-bit weights, with one scale per output feature, by inputs that are rounded to 8 bits with scales "
        "worked out at run time [@onnxruntime]: products run on integers without any calibration."
    )


class OrtInt8(Ort):
    name, bits, how, computes_in = "ort-int8", 8, "static", "int8"
    calibrated = True
    description = "int8 weights by output feature, multiplied by ONNX Runtime with inputs in calibrated ranges"
    title = "Static quantization in ONNX Runtime"
    about = (
        "multiplies 8-bit weights, with one scale per output feature, by inputs that are rounded to 8 bits within "
        "ranges fixed beforehand on calibration images [@onnxruntime]; an input outside its range is cut off."
    )


FORMATS = {f.name: f for f in (OrtFloat32(), OrtInt8Dynamic(), OrtInt8())}
