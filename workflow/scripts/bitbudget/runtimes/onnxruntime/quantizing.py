"""Weights of an ONNX file as int8, by ONNX Runtime's own quantizer.

What is quantized are the matrices of linear layers, with a scale for each output feature. Their inputs are rounded to
8 bits too: image by image with the scale of what comes (dynamic), or with scales that calibration images gave (static).
Products of two activations, as in attention, stay in float32.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.calibrate import CalibrationMethod

from bitbudget.errors import UserError
from bitbudget.runtimes.onnxruntime import exporting
from bitbudget.system import machine

DYNAMIC, STATIC = "dynamic", "static"
PRODUCTS = ("MatMul", "Gemm")


def weight_type() -> str:
    """How weights are best held on this machine: `int8`, or `uint8` where 8-bit products overflow.

    ONNX Runtime's documentation has such processors take unsigned weights ("Quantize ONNX Models", "When and why do I
    need to try U8U8?").
    """
    return "uint8" if machine.look().int8_overflows else "int8"


class _Reader(CalibrationDataReader):
    def __init__(self, inputs: Iterable[Mapping[str, Any]]):
        self._inputs, self.read = iter(inputs), 0

    def get_next(self) -> Any:
        found = next(self._inputs, None)
        self.read += found is not None
        return found


def quantize(
    source: Path, file: Path, how: str, weights: str, inputs: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Write `source` with int8 weights; `how` is dynamic or static, and `inputs` (arrays by name) are for the latter.

    Returns what is told of it. Raises `UserError` where the file has no matrix to quantize.
    """
    model = onnx.load(source, load_external_data=False)
    held = {one.name for one in model.graph.initializer}
    chosen = [node.name for node in model.graph.node if node.op_type in PRODUCTS and node.input[1] in held]
    if not chosen:
        raise UserError(f"ONNX Runtime finds no linear layer to quantize in {file.stem}: give the group ort-float32.")
    kind = QuantType.QInt8 if weights == "int8" else QuantType.QUInt8
    shared = {"per_channel": True, "weight_type": kind, "nodes_to_quantize": chosen, "op_types_to_quantize": PRODUCTS}
    beside = source.stat().st_size > exporting.LARGEST or (source.parent / f"{source.name}{exporting.DATA}").exists()
    reader, loud = _Reader(inputs), logging.getLogger()
    before, loud.level = loud.level, logging.ERROR
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory(dir=file.parent) as place:
            warnings.simplefilter("ignore")
            made = Path(place) / file.name
            if how == DYNAMIC:
                quantize_dynamic(
                    source, made, use_external_data_format=beside,
                    extra_options={"MatMulConstBOnly": True, "WeightSymmetric": weights == "int8"}, **shared,
                )  # fmt: skip
            else:
                quantize_static(
                    source, made, reader, quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8,
                    calibrate_method=CalibrationMethod.MinMax, use_external_data_format=beside,
                    extra_options={
                        "WeightSymmetric": weights == "int8", "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
                        "QuantizeBias": False,
                    },
                    **shared,
                )  # fmt: skip
            exporting.write(onnx.load(made), file)
    finally:
        loud.level = before
    told = {"weights": weights, "activations": f"uint8, {how}", "quantized_products": len(chosen)}
    return told | ({} if how == DYNAMIC else {"calibration_images": reader.read})
