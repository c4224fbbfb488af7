"""The weights of a detector's file: which format they are in, how they lie, and whether they are the model's.

A float format holds the exported weights to the last bit, or those made float16. A format of whole numbers has for each
output channel the step (largest magnitude) / (2^(bits-1) - 1), and for each weight the nearest multiple of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.models.audit.audited import finite
from bitbudget.models.formats.litert import AS_IS, FORMATS, LiteRT
from bitbudget.runtimes.litert.flatbuffer import Tensor, Weight

SMALLEST = 1e-9  # what AI Edge Quantizer takes for the largest magnitude of a channel of zeros
EXACT = 2**-22  # relative: what float32 rounds in a scale, and no more
TIE = 1e-3  # of a step: what float32 rounds in a weight over its scale


def recognise(weight: Weight) -> str:
    """The name of the format that an operator's weights are in, or `unknown`.

    Raises `UserError` where two formats say that it is theirs.
    """
    if weight.dequantized:
        use = "dequantized"
    elif weight.tensor.type == "FLOAT32":
        use = "plain"
    else:
        use = {"FLOAT32": "dynamic", "INT8": "static"}.get(weight.result)
    names = [one.name for one in FORMATS.values() if (one.type, one.use) == (weight.tensor.type, use)]
    if len(names) > 1:
        raise UserError(
            f"the formats {' and '.join(names)} both say that the weights {weight.tensor.name} are theirs: tell them "
            "apart in bitbudget/models/formats/litert.py, by `type` or `use`."
        )
    return names[0] if names else "unknown"


def of_weights(exported: Tensor, weight: Weight, spec: dict[str, Any]) -> dict[str, Any]:
    """What a layer's record says of its format and its errors, given the exported weights."""
    fmt = registry.format_of(spec["format"])
    asked, found = AS_IS, AS_IS
    if fmt.name != AS_IS:
        asked, found = fmt.weights_of(weight.operator, weight.tensor.size), recognise(weight)
    relative = promised = allowed = None
    if found != asked:
        fault = f"holds {found} ({weight.tensor.storage}) where {asked} was asked for"
    elif found == AS_IS:
        fault = None
    elif FORMATS[found].is_float:
        exact = by_definition(exported, weight, FORMATS[found])
        same = exact.shape == weight.tensor.shape and exact.tobytes() == weight.tensor.data.tobytes()
        fault = None if same else f"holds {asked} as was asked, but other weights than the exported file"
    else:
        fault = _fault_of_layout(exported, weight)
        if fault is None:
            exact, size = exported.values(), float(np.linalg.norm(exported.values())) or 1.0
            promised = float(np.linalg.norm(by_definition(exported, weight, FORMATS[found]) - exact)) / size
            relative = float(np.linalg.norm(weight.tensor.values() - exact)) / size
            allowed = 1.1 * promised
            if not relative <= allowed:  # also where it is NaN
                fault = f"has weights that are off by {relative:.3f}, where {found} promises {promised:.3f} for them"
            else:
                fault = _fault_of_numbers(exact, weight.tensor, FORMATS[found].bits)
    errors = {"relative_error": finite(relative), "promised_error": promised, "allowed_error": allowed}
    return {"asked": asked, "found": found, **errors, "fault": fault}


def by_definition(exported: Tensor, weight: Weight, fmt: LiteRT) -> np.ndarray:
    """The exported weights as the format holds them: float16, float32, or multiples of their channel's step."""
    if fmt.is_float:
        with np.errstate(over="ignore"):  # half precision makes infinity of large weights, and so must the file
            return exported.values().astype(np.float16 if fmt.bits == 16 else np.float32)
    return rounded(exported.values(), fmt.bits, weight.tensor.axis)


def rounded(weights: np.ndarray, bits: int, axis: int) -> np.ndarray:
    """Weights rounded to whole multiples of a channel's step, its largest magnitude / (2^(bits-1) - 1)."""
    top = 2 ** (bits - 1) - 1
    step = _largest(weights, axis) / top
    step[step == 0] = 1
    return np.clip(np.rint(weights / step), -top, top) * step


def _largest(weights: np.ndarray, axis: int) -> np.ndarray:
    """The largest magnitude of each channel, in a shape that can be multiplied with the weights, float64."""
    rest = tuple(k for k in range(weights.ndim) if k != axis)
    return np.abs(weights).max(rest, keepdims=True).astype(np.float64)


def _fault_of_layout(exported: Tensor, weight: Weight) -> str | None:
    """What is wrong with how quantized weights lie, or None."""
    tensor = weight.tensor
    if tensor.shape != exported.shape:
        return f"has the shape {tensor.shape}, where the exported file has {exported.shape}"
    # where they become floats first, scales may lie along any dimension
    axis = tensor.axis if weight.dequantized else weight.axis
    if (
        not 0 <= axis < len(tensor.shape)
        or tensor.axis != axis
        or tensor.blocks
        or len(tensor.scales) != tensor.shape[axis]
    ):
        return (
            f"has {'blocks of' if tensor.blocks else len(tensor.scales)} scales along dimension {tensor.axis}, where "
            f"kernels read {tensor.shape[weight.axis]} along dimension {weight.axis}"
        )
    if tensor.zero_points.any():
        return "has zero points other than 0, which kernels do not read"
    return None


def _fault_of_numbers(exact: np.ndarray, tensor: Tensor, bits: int) -> str | None:
    """What is wrong with the scales or the whole numbers of weights, or None; `exact` are the exported weights."""
    steps = np.maximum(_largest(exact, tensor.axis), SMALLEST) / (2 ** (bits - 1) - 1)
    scales = tensor.along(tensor.scales).astype(np.float64)
    off = ~(np.abs(scales - steps) <= EXACT * steps)
    if off.any():
        channel = int(np.flatnonzero(off)[0])
        wanted, found = steps.reshape(-1)[channel], scales.reshape(-1)[channel]
        return (
            f"has the scale {found:.6g} in channel {channel}, where its largest weight gives {wanted:.6g} "
            f"({int(off.sum())} of {off.size} channels are off)"
        )
    numbers, wanted = tensor.numbers(), exact / scales
    off = ~(np.abs(numbers - wanted) <= 0.5 + TIE)
    if off.any():
        place = tuple(int(k) for k in np.argwhere(off)[0])
        return (
            f"has the whole number {numbers[place]} at {list(place)}, where {wanted[place]:.2f} is to be rounded "
            f"({int(off.sum())} of {off.size} are off)"
        )
    return None
