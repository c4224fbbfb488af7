"""What an ONNX file holds of a module's weights, read from the file alone and worked out in plain torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch

from bitbudget.runtimes.onnxruntime.exporting import TRANSPOSED

CODES, SCALE, ZERO = "_quantized", "_scale", "_zero_point"  # what ONNX Runtime's quantizer adds to a weight's name
PRODUCTS = ("MatMulInteger", "MatMul", "Gemm", "QLinearMatMul")


@dataclass(frozen=True)
class Rounding:
    """How what is multiplied with a weight is rounded: by these, or (None) by its own range as it comes."""

    scale: float | None = None
    zero: int = 0

    def applied(self, value: torch.Tensor) -> torch.Tensor:
        """A tensor rounded so, in float32; as `DynamicQuantizeLinear` and `QuantizeLinear` define it for uint8."""
        if self.scale is None:
            low, high = value.min().clamp(max=0), value.max().clamp(min=0)
            scale = (high - low) / 255
            if scale == 0:
                return value
            zero = (-low / scale).round().clamp(0, 255)
        else:
            scale, zero = torch.tensor(self.scale), torch.tensor(float(self.zero))
        return (((value / scale).round() + zero).clamp(0, 255) - zero) * scale


@dataclass(frozen=True)
class Weight:
    """A weight as a file holds it: its values in the module's own orientation, and how they are stored.

    `scale` is by output feature, (out, 1), and None for floats; `rounding` that of what it is multiplied with.
    """

    values: torch.Tensor
    storage: str
    bytes: int
    scale: torch.Tensor | None = None
    rounding: Rounding | None = None


def weights(file: Path) -> tuple[dict[str, Weight], int]:
    """The weights of a file by their names in the module, and the bytes of the constants that are none of them.

    Raises `LookupError` or `ValueError` where scales and zero points do not fit the weights.
    """
    model = onnx.load(file)
    arrays = {one.name: one for one in model.graph.initializer}
    users = {name: node for node in model.graph.node for name in node.input}
    makers = {name: node for node in model.graph.node for name in node.output}
    found, taken = {}, set()
    for name in arrays:
        if name.endswith(CODES):
            own = name.removesuffix(CODES)
            parts = (name, own + SCALE, own + ZERO)
            codes, scale, zero = (tensor_of(arrays[part]) for part in parts)
            last = _axis(users[name], codes.dim()) == codes.dim() - 1
            around = (1, -1) if last else (-1, 1)
            scale, zero = scale.reshape(around), zero.reshape(around)
            if scale.numel() not in (1, codes.shape[1 if last else 0]):
                raise ValueError(f"{own} has {scale.numel()} scales")
            values = (codes.float() - zero.float()) * scale
            plain, values = _turned(own, values)
            held = sum(tensor_of(arrays[part]).nbytes for part in parts)
            by_row = scale.reshape(-1, 1).expand(values.shape[0], 1)
            kind = str(codes.dtype).removeprefix("torch.")
            found[plain] = Weight(values, kind, held, by_row, _rounding(users[name], users, makers, arrays))
            taken.update(parts)
    for name, one in arrays.items():
        if name not in taken and one.data_type == onnx.TensorProto.FLOAT and _is_named(name):
            plain, values = _turned(name, tensor_of(one))
            found[plain] = Weight(values, "float32", values.nbytes)
            taken.add(name)
    return found, sum(tensor_of(one).nbytes for name, one in arrays.items() if name not in taken)


def _is_named(name: str) -> bool:
    """Whether an initializer has the name of a weight; the exporter's own are `val_12` and the like."""
    return "." in name or name.removesuffix(TRANSPOSED) in ("weight", "bias") or name.endswith(TRANSPOSED)


def _turned(name: str, values: torch.Tensor) -> tuple[str, torch.Tensor]:
    return (name.removesuffix(TRANSPOSED), values.T) if name.endswith(TRANSPOSED) else (name, values)


def tensor_of(one: Any) -> torch.Tensor:
    """An initializer's values."""
    return torch.from_numpy(onnx.numpy_helper.to_array(one).copy())


def _axis(user: Any, dimensions: int) -> int:
    """Along which dimension the scales of a weight lie: MatMulInteger's are those of its columns."""
    axis = next((one.i for one in user.attribute if one.name == "axis"), dimensions - 1)
    return axis % dimensions


def _rounding(user: Any, users: dict[str, Any], makers: dict[str, Any], arrays: dict[str, Any]) -> Rounding:
    """How the other factor of a weight's product is rounded. Raises `LookupError` where it is not."""
    product = user if user.op_type in PRODUCTS else users[user.output[0]]
    other = makers[product.input[0]]
    if other.op_type == "DynamicQuantizeLinear":
        return Rounding()
    if other.op_type != "DequantizeLinear":
        raise LookupError(f"what {product.name} is given is not rounded")
    return Rounding(tensor_of(arrays[other.input[1]]).item(), int(tensor_of(arrays[other.input[2]]).item()))


def kernels(session_file: Path) -> Iterator[tuple[str, str]]:
    """The names of weights and the operators that use them, in the graph that ONNX Runtime has made of a file."""
    model = onnx.load(session_file, load_external_data=False)
    held = {one.name for one in model.graph.initializer}
    for node in model.graph.node:
        for name in node.input:
            if name in held:
                yield name, node.op_type
