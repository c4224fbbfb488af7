"""What a .tflite file holds: its tensors and operators, and which constants are weights, without running it.

The file is read with the schema that LiteRT ships. What its whole numbers stand for is worked out here in numpy, apart
from the libraries that write and run such files, so that nobody has to take their word for it.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bitbudget.errors import UserError
from bitbudget.models.tflite_identifier import check_identifier

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
    `open_shape` has -1 for each size that may change, and is empty where none may. `others` are the schema's other
    properties, where they are not the usual ones.
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
    open_shape: tuple[int, ...] = ()
    others: dict[str, Any] = field(default_factory=dict)

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
        scales, zeros = self.along(self.scales), self.along(self.zero_points)
        return ((numbers.astype(np.int64) - zeros) * scales.astype(np.float64)).astype(np.float32)

    def along(self, parts: np.ndarray) -> np.ndarray:
        """One number for the tensor, or for each place along `axis`, in a shape that can be multiplied with it."""
        shape = [1] * len(self.shape)
        if len(parts) > 1:
            shape[self.axis] = len(parts)
        return parts.reshape(shape)


@dataclass(frozen=True)
class Operator:
    """An operator: its name in LiteRT's schema, or its own where it is a custom one, and its tensors (-1: left out).

    `options` are all its options by their names in the schema: stride, padding, fused activation and the like.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)


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
    """The tensors and operators of one of a file's graphs, in its order.

    `inputs` and `outputs` are the tensors that go into it and come out of it; `signatures` are the names that
    signatures give to these, by the signature's own name.
    """

    def __init__(
        self,
        tensors: list[Tensor],
        operators: list[Operator],
        inputs: tuple[int, ...] = (),
        outputs: tuple[int, ...] = (),
        signatures: dict[str, dict[str, int]] | None = None,
    ):
        self.tensors, self.operators, self.inputs, self.outputs = tensors, operators, inputs, outputs
        self.signatures = signatures or {}
        self._makers = {out: operator for operator in operators for out in operator.outputs}

    def source(self, index: int) -> int:
        """The tensor that this one holds the values of: itself, or the first before all conversions (-1: none)."""
        seen = {index}
        while index >= 0 and (maker := self._makers.get(index)) and maker.name in CONVERSIONS:
            index = maker.inputs[0]
            if index in seen:
                raise ValueError(f"tensor {self.tensors[index].name} is made of itself")
            seen.add(index)
        return index

    def constant(self, index: int) -> tuple[int, bool] | None:
        """The number of the constant that a tensor is, and whether it is a converted copy; None where computed."""
        source = self.source(index)
        return None if source < 0 or self.tensors[source].data is None else (source, source != index)

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
        swapped = bool(operator.options.get(("adjX", "adjY")[operand]))
        return rank - 2 if swapped != (operand == 0) else rank - 1
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
        signatures = _signatures(model)
        return [
            _graph(graph, names, buffers, signatures.get(number, {}), schema)
            for number, graph in enumerate(model.subgraphs)
        ]
    except BROKEN as fault:
        raise UserError(f"{path} is cut off or damaged ({fault}): fetch or make it again.") from None


def operators(graphs: list[Graph]) -> dict[str, int]:
    """How many operators of each name a file has, the most frequent first."""
    return dict(Counter(operator.name for graph in graphs for operator in graph.operators).most_common())


def computed(graph: Graph) -> set[str]:
    """The names of the tensors that a graph is given or computes."""
    made = (index for operator in graph.operators for index in operator.outputs)
    return {graph.tensors[index].name for index in (*graph.inputs, *made) if index >= 0}


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
    found = next((name for name, value in vars(enumeration).items() if value == number), None)
    if found is None:
        raise ValueError(f"there is no {enumeration.__name__} {number}")
    return found


def _signatures(model: Any) -> dict[int, dict[str, dict[str, int]]]:
    """The signatures of each graph, by the graph's number: name of the signature, name of an end, its tensor."""
    found: dict[int, dict[str, dict[str, int]]] = {}
    for one in model.signatureDefs or []:
        ends = {
            f"{kind} {end.name.decode()}": int(end.tensorIndex)
            for kind in ("inputs", "outputs")
            for end in getattr(one, kind) or []
        }
        found.setdefault(one.subgraphIndex, {})[(one.signatureKey or b"").decode()] = ends
    return found


def _graph(
    graph: Any,
    names: list[str],
    buffers: list[np.ndarray | None],
    signatures: dict[str, dict[str, int]],
    schema: Any,
) -> Graph:
    tensors = [_tensor(tensor, buffers, schema) for tensor in graph.tensors]
    found = []
    for operator in graph.operators:
        sides = [_numbers(side) for side in (operator.inputs, operator.outputs)]
        if not all(-1 <= index < len(tensors) for side in sides for index in side):
            raise ValueError(f"an operator {names[operator.opcodeIndex]} has a tensor that there is not")
        found.append(Operator(names[operator.opcodeIndex], *sides, _options(operator, schema)))
    made = Graph(tensors, found, _numbers(graph.inputs), _numbers(graph.outputs), signatures)
    ends = (index for one in signatures.values() for index in one.values())
    if not all(0 <= index < len(tensors) for index in (*made.inputs, *made.outputs, *ends)):
        raise ValueError("a graph has an input or output that there is not")
    for index in range(len(tensors)):
        made.source(index)
    return made


def _numbers(array: Any) -> tuple[int, ...]:
    return () if array is None else tuple(int(one) for one in array)


# Options whose numbers stand for names, and the schema's list of these.
NAMED = {"fusedActivationFunction": "ActivationFunctionType", "padding": "Padding"}


def _options(operator: Any, schema: Any) -> dict[str, Any]:
    """All that an operator's entry says beside its tensors, with the schema's names; what is left out is not there."""
    found: dict[str, Any] = {}
    for part in (operator.builtinOptions, operator.builtinOptions2):
        if part is not None:
            found |= {"options": type(part).__name__} | _plain(part)
    for key, enumeration in NAMED.items():
        if key in found:
            found[key] = _name_of(getattr(schema, enumeration), found[key])
    for key in ("customOptions", "intermediates", "mutatingVariableInputs"):
        value = _plain(getattr(operator, key))
        if value is not None and value != []:
            found[key] = value
    return found


def _plain(value: Any) -> Any:
    """An object of the schema as dicts, lists and numbers."""
    if hasattr(value, "__dict__"):
        return {key: _plain(part) for key, part in vars(value).items()}
    if isinstance(value, np.ndarray | list):
        return [_plain(part) for part in (value.tolist() if isinstance(value, np.ndarray) else value)]
    return value


def _tensor(tensor: Any, buffers: list[np.ndarray | None], schema: Any) -> Tensor:
    shape = () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
    kind, data, held = _name_of(schema.TensorType, tensor.type), buffers[tensor.buffer], tensor.quantization
    scales = np.asarray([] if held is None or held.scale is None else held.scale, dtype=np.float32)
    zeros = np.asarray([] if held is None or held.zeroPoint is None else held.zeroPoint, dtype=np.int64)
    if len(zeros) < 2 or not len(scales):
        zeros = np.full(len(scales), zeros[0] if len(zeros) else 0)
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
        open_shape=_numbers(tensor.shapeSignature),
        others={key: _plain(getattr(tensor, key)) for key in ("isVariable", "sparsity") if getattr(tensor, key)},
    )
    if len(zeros) != len(scales):
        raise ValueError(f"tensor {found.name} has {len(scales)} scales and {len(zeros)} zero points")
    if data is not None and (kind in DTYPES or kind == NIBBLES):
        needed = -(-found.size // 2) if kind == NIBBLES else found.size * np.dtype(DTYPES[kind]).itemsize
        if len(data) != needed:
            raise ValueError(f"tensor {found.name} has {len(data)} bytes, where its shape needs {needed}")
    return found
