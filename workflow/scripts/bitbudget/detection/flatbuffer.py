"""What a .tflite file holds: its tensors and operators, and which constants are weights, without running it.

The file is read with the schema that LiteRT ships. What its whole numbers stand for is worked out here in numpy, apart
from the libraries that write and run such files, so that nobody has to take their word for it.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitbudget.detection.identifier import check_identifier
from bitbudget.errors import UserError

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")  # operators that change how numbers are held, and nothing else
# Where an operator's weights are among its inputs; a matrix product's can be on either side.
WEIGHTS = {
    "FULLY_CONNECTED": (1,),
    "CONV_2D": (1,),
    "DEPTHWISE_CONV_2D": (1,),
    "TRANSPOSE_CONV": (1,),
    "EMBEDDING_LOOKUP": (1,),
    "BATCH_MATMUL": (0, 1),
}
DTYPES = {
    "FLOAT16": np.float16, "FLOAT32": np.float32, "FLOAT64": np.float64, "BOOL": np.bool_, "UINT8": np.uint8,
    "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "INT8": np.int8, "INT16": np.int16,
    "INT32": np.int32, "INT64": np.int64,
}  # fmt: skip
NIBBLES = "INT4"  # two in a byte, the first in its lower half
BROKEN = (struct.error, ValueError, IndexError, TypeError, AttributeError, KeyError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file.

    `type` is named as in LiteRT's schema. `data` are a constant's bytes, None for what is computed; tensors with the
    same number in `buffer` share them. `scales` and `zero_points` are empty where nothing is quantized; there is one
    for the whole tensor, or one for each place along `axis`. `blocks` says that scales are for blocks within a channel.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    buffer: int
    data: np.ndarray | None
    scales: np.ndarray
    zero_points: np.ndarray
    axis: int
    blocks: bool

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def storage(self) -> str:
        """How its numbers lie in the file, in words."""
        if self.blocks:
            return f"{self.type}, scales for blocks"
        if not len(self.scales):
            return self.type
        return f"{self.type}, {'one scale' if len(self.scales) == 1 else f'{len(self.scales)} scales'}"

    def numbers(self) -> np.ndarray:
        """What a constant holds, as stored. Raises `ValueError` for computed tensors and types without numbers."""
        if self.data is None:
            raise ValueError(f"{self.name} is computed")
        if self.type == NIBBLES:
            halves = np.stack([self.data & 15, self.data >> 4], axis=-1).reshape(-1)[: self.size].astype(np.int8)
            return np.where(halves > 7, halves - 16, halves).reshape(self.shape)
        if self.type not in DTYPES:
            raise ValueError(f"{self.name} holds {self.type}")
        return self.data.view(DTYPES[self.type]).reshape(self.shape)

    def values(self) -> np.ndarray:
        """What a constant's numbers stand for, float32. Raises `ValueError` as `numbers` does, and for blocks."""
        numbers = self.numbers()
        if not len(self.scales):
            return numbers.astype(np.float32)
        if self.blocks:
            raise ValueError(f"{self.name} has scales for blocks")
        along = [1] * len(self.shape)
        if len(self.scales) > 1:
            along[self.axis] = len(self.scales)
        scales, zeros = (part.reshape(along) for part in (self.scales, self.zero_points))
        return ((numbers.astype(np.int64) - zeros) * scales.astype(np.float64)).astype(np.float32)


@dataclass(frozen=True)
class Operator:
    """An operator: its name in LiteRT's schema, or its own where it is a custom one, and its tensors (-1: left out).

    `swapped` says of a matrix product whether its left and its right side are transposed.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    swapped: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class Weight:
    """The weights of an operator: the constant `tensor`, which the operator at `place` takes as its input `operand`.

    `dequantized` says whether they are turned into floats first, `result` is the type of what the operator makes of
    them, and `axis` the dimension along which their output channels lie.
    """

    operator: str
    place: int
    operand: int
    tensor: Tensor
    dequantized: bool
    result: str
    axis: int


class Graph:
    """The tensors and operators of one of a file's graphs, in its order."""

    def __init__(self, tensors: list[Tensor], operators: list[Operator]):
        self.tensors, self.operators = tensors, operators
        self._makers = {out: operator for operator in operators for out in operator.outputs}

    def constant(self, index: int) -> tuple[int, bool] | None:
        """The number of the constant that a tensor is, and whether it is a dequantized copy; None where computed."""
        if index < 0:
            return None
        if self.tensors[index].data is not None:
            return index, False
        maker = self._makers.get(index)
        if maker is None or maker.name != "DEQUANTIZE" or self.tensors[maker.inputs[0]].data is None:
            return None
        return maker.inputs[0], True

    def weights(self) -> Iterator[Weight]:
        """Every constant that an operator multiplies with or looks up, once for each operator that does."""
        for place, operator in enumerate(self.operators):
            for operand in WEIGHTS.get(operator.name, ()):
                found = self.constant(operator.inputs[operand])
                if found is not None:
                    tensor, result = self.tensors[found[0]], self.tensors[operator.outputs[0]].type
                    axis = _channels(operator, operand, len(tensor.shape))
                    yield Weight(operator.name, place, operand, tensor, found[1], result, axis)

    def computing(self) -> list[tuple[int, Operator]]:
        """The operators with their places, but for those that only change how numbers are held."""
        return [(place, one) for place, one in enumerate(self.operators) if one.name not in CONVERSIONS]


def _channels(operator: Operator, operand: int, rank: int) -> int:
    """Along which dimension of its weights the output channels of an operator lie.

    See https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec.
    """
    if operator.name == "DEPTHWISE_CONV_2D":
        return 3
    if operator.name == "BATCH_MATMUL":
        left = operand == 0
        return rank - 2 if operator.swapped[operand] != left else rank - 1
    return 0


def read(path: Path) -> list[Graph]:
    """The graphs of a .tflite file, of which the first is run. Raises `UserError` for a file that is not whole."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; name an existing file.")
    check_identifier(path)
    content = path.read_bytes()
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        buffers = [_bytes_of(buffer, content) for buffer in model.buffers]
        names = [_operator_name(code, schema) for code in model.operatorCodes]
        return [_graph(graph, names, buffers, schema) for graph in model.subgraphs]
    except BROKEN as fault:
        raise UserError(f"{path} is cut off or damaged ({fault}): fetch or make it again.") from None


def operators(graphs: list[Graph]) -> dict[str, int]:
    """How many operators of each name a file has, the most frequent first."""
    return dict(Counter(operator.name for graph in graphs for operator in graph.operators).most_common())


def constants(graphs: list[Graph]) -> list[Tensor]:
    """The constants of a file, one for each that is stored."""
    found = {tensor.buffer: tensor for graph in graphs for tensor in graph.tensors if tensor.data is not None}
    return list(found.values())


def bytes_by_type(graphs: list[Graph]) -> dict[str, int]:
    """Bytes of a file's constants by their type, the most first."""
    found: Counter[str] = Counter()
    for tensor in constants(graphs):
        found[tensor.type] += len(tensor.data)
    return dict(found.most_common())


def dequantized_bytes(graphs: list[Graph]) -> int:
    """Bytes of the float32 copies that a graph makes of its constants before it computes with them."""
    return sum(
        4 * graph.tensors[operator.outputs[0]].size
        for graph in graphs
        for operator in graph.operators
        if operator.name == "DEQUANTIZE" and graph.tensors[operator.inputs[0]].data is not None
    )


def _bytes_of(buffer: Any, content: bytes) -> np.ndarray | None:
    """The bytes of a buffer, which lie inside the flatbuffer or behind it; None for an empty one."""
    if buffer.offset > 1:  # 0 and 1 stand for nothing
        if buffer.offset + buffer.size > len(content):
            raise ValueError(f"a tensor would end at byte {buffer.offset + buffer.size} of {len(content)}")
        return np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
    return buffer.data if buffer.data is not None and len(buffer.data) else None


def _operator_name(code: Any, schema: Any) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)  # old files have only the second, of one byte
    if number == schema.BuiltinOperator.CUSTOM:
        return code.customCode.decode()
    return _name_of(schema.BuiltinOperator, number)


def _name_of(enumeration: Any, number: int) -> str:
    return next(name for name, value in vars(enumeration).items() if value == number)


def _graph(graph: Any, names: list[str], buffers: list[np.ndarray | None], schema: Any) -> Graph:
    tensors = [_tensor(tensor, buffers, schema) for tensor in graph.tensors]
    found = []
    for operator in graph.operators:
        options = operator.builtinOptions
        swapped = (options.adjX, options.adjY) if isinstance(options, schema.BatchMatMulOptionsT) else (False, False)
        sides = (() if side is None else tuple(int(i) for i in side) for side in (operator.inputs, operator.outputs))
        found.append(Operator(names[operator.opcodeIndex], *sides, swapped))
    return Graph(tensors, found)


def _tensor(tensor: Any, buffers: list[np.ndarray | None], schema: Any) -> Tensor:
    shape = () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
    kind, data, held = _name_of(schema.TensorType, tensor.type), buffers[tensor.buffer], tensor.quantization
    scales = np.asarray([] if held is None or held.scale is None else held.scale, dtype=np.float32)
    zeros = np.zeros(len(scales), np.int64) if held is None or held.zeroPoint is None else np.asarray(held.zeroPoint)
    found = Tensor(
        name=(tensor.name or b"").decode(),
        type=kind,
        shape=shape,
        buffer=tensor.buffer,
        data=data,
        scales=scales,
        zero_points=zeros,
        axis=0 if held is None else held.quantizedDimension,
        blocks=held is not None and isinstance(held.details, schema.BlockwiseQuantizationT),
    )
    if data is not None and (kind in DTYPES or kind == NIBBLES):
        needed = -(-found.size // 2) if kind == NIBBLES else found.size * np.dtype(DTYPES[kind]).itemsize
        if len(data) != needed:
            raise ValueError(f"tensor {found.name} has {len(data)} bytes, where its shape needs {needed}")
    return found
