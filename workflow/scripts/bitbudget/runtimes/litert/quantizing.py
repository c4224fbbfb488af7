"""Putting an exported detector into a format, by AI Edge Quantizer.

Each operator that has weights gets its own line in the recipe, with what `formats.litert` says of it, so that nothing
depends on what the library would choose; the audit then holds the file against the same lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bitbudget.errors import UserError, lacks_memory
from bitbudget.models.formats.litert import AS_IS, FORMATS, OPERATORS, PLAIN, LiteRT
from bitbudget.runtimes.litert import flatbuffer
from bitbudget.runtimes.litert.silence import silenced

NAMES = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}  # the library's names of operators, where they are not LiteRT's
EVERYWHERE = ".*"  # a scope is a regular expression for the names of an operator's outputs, each with a semicolon


def quantize(
    model: Path,
    spec: dict[str, Any],
    images: Iterable[np.ndarray] | None = None,
    report: dict[str, tuple[float, float]] | None = None,
) -> bytes:
    """The bytes of the .tflite file `model` in the format that `spec` names, with its options.

    `images` are inputs of the model as preprocessing makes them, float32, for a format that calibrates. `report` is
    filled with the least and the largest value that was seen of each computed tensor, by its name. Raises `UserError`
    where the file is quantized already, or cannot be put into the format.
    """
    content, fmt = model.read_bytes(), FORMATS[spec["format"]]
    if fmt.name == AS_IS:
        return content
    graphs = flatbuffer.read(model)
    refuse_quantized(model, graphs, fmt)
    if fmt.name == PLAIN:
        return content
    if fmt.calibrated and images is None:
        raise UserError(
            f"{fmt.name} needs images to calibrate on: name them with --calibration and --calibration-images."
        )
    with silenced():
        from ai_edge_quantizer.quantizer import Quantizer

        steps = recipe(fmt, spec, graphs)
        try:
            quantizer = Quantizer(bytearray(content), steps)
            ranges = calibrate(model, content, steps, images) if fmt.calibrated else None
            if report is not None and ranges is not None:
                names = sorted(flatbuffer.computed(graphs[0]) & ranges.keys())
                report |= {name: ends_of(ranges[name]) for name in names}
            return bytes(quantizer.quantize(ranges, enable_progress_report=False).quantized_model)
        except (ValueError, RuntimeError) as fault:
            if lacks_memory(fault):
                raise
            reason = " ".join(str(fault).split())[:300].rstrip(".")
            raise UserError(f"{model} cannot be put into {fmt.name} ({reason}): leave this precision out.") from None


def refuse_quantized(model: Path, graphs: Sequence[flatbuffer.Graph], fmt: LiteRT) -> None:
    """Raise `UserError` for a file whose weights are no floats of 32 bits any more."""
    held = sorted({weight.tensor.type for graph in graphs for weight in graph.weights()} - {"FLOAT32"})
    if held:
        raise UserError(
            f"{model} holds weights in {' and '.join(held)} already, so {fmt.name} cannot be made of it: take the "
            f"precision {AS_IS} for this model, or hand over a file in float32."
        )


def recipe(fmt: LiteRT, options: dict[str, Any], graphs: Sequence[flatbuffer.Graph]) -> list[dict[str, Any]]:
    """The recipe of a format: what is done to the weights of each operator, and to what they are multiplied with."""
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    manager = RecipeManager()
    if options.get("operators") == "all":
        manager.add_static_config(EVERYWHERE, TFLOperationName.ALL_SUPPORTED, 8, 8)
        for graph in graphs:
            for weight in graph.weights():
                if fmt.weights_of(weight.operator) == PLAIN:
                    result = graph.tensors[graph.operators[weight.place].outputs[0]]
                    scope, name = f"^{re.escape(result.name)};$", TFLOperationName(weight.operator)
                    manager.add_quantization_config(scope, name, algorithm_key=AlgorithmName.NO_QUANTIZE)
        return manager.get_quantization_recipe()
    for operator in OPERATORS:
        name, held = TFLOperationName(NAMES.get(operator, operator)), FORMATS[fmt.weights_of(operator)]
        if held.use == "static":
            manager.add_static_config(EVERYWHERE, name, 8, held.bits)
        elif held.use == "dynamic":
            manager.add_dynamic_config(EVERYWHERE, name, held.bits)
        elif held.use == "dequantized":
            algorithm = AlgorithmName.FLOAT_CASTING if held.is_float else AlgorithmName.MIN_MAX_UNIFORM_QUANT
            manager.add_weight_only_config(EVERYWHERE, name, held.bits, algorithm_key=algorithm)
    return manager.get_quantization_recipe()


def calibrate(model: Path, content: bytes, steps: list[dict[str, Any]], images: Iterable[np.ndarray]) -> dict[str, Any]:
    """The least and the largest value that each tensor has over the images, by its name.

    Raises `UserError` for a file that does not name its input, which the library needs to give it anything.
    """
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.recipe_manager import RecipeManager
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    from bitbudget.runtimes.litert.interpreter import threads_for

    manager = RecipeManager()
    manager.load_quantization_recipe(steps)
    # its own way to take many images together is an average in which the first counts most
    calibrator = Calibrator(bytearray(content), num_threads=threads_for(None), qsv_update_func=min_max_update)
    signatures = calibrator.get_signature_list()
    if len(signatures) != 1:
        raise UserError(
            f"{model} has {len(signatures) or 'no'} signatures, where calibrating needs one that names the input: "
            "convert the model again with a later TensorFlow, or leave this precision out."
        )
    key, names = next(iter(signatures.items()))
    for image in images:
        calibrator.calibrate({key: [{names["inputs"][0]: image}]}, manager)
    return calibrator.get_model_qsvs()


def ends_of(range_: dict[str, np.ndarray]) -> tuple[float, float]:
    """The least and the largest value of a range that the library found."""
    return float(range_["min"].min()), float(range_["max"].max())
