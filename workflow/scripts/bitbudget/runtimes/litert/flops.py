"""Floating-point operations of one picture's way through a detector, from the shapes of its file's tensors.

A multiply-add is two operations. Counted are the operators that multiply with weights or matrices with each other, as
torch's counter does (bitbudget.measuring.flops); what else a file holds is listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

from bitbudget.runtimes.litert.flatbuffer import CONVERSIONS, Graph, Operator

Shapes = Mapping[int, tuple[int, ...]]

CONVENTION = (
    "a multiply-add is 2 FLOPs; convolutions, linear layers and matrix products are counted, other operators are not"
)


def _convolution(one: Operator, shapes: Shapes) -> int:
    """Weights [out, height, width, in of a group]: every output takes one filter."""
    return 2 * prod(shapes[one.outputs[0]]) * prod(shapes[one.inputs[1]][1:])


def _depthwise(one: Operator, shapes: Shapes) -> int:
    """Weights [1, height, width, out]: every output takes one filter of one channel."""
    return 2 * prod(shapes[one.outputs[0]]) * prod(shapes[one.inputs[1]][1:3])


def _transposed(one: Operator, shapes: Shapes) -> int:
    """Inputs: the output's shape, weights [out, height, width, in], and what is spread out by every filter."""
    out, height, width, _ = shapes[one.inputs[1]]
    return 2 * prod(shapes[one.inputs[2]]) * out * height * width


def _linear(one: Operator, shapes: Shapes) -> int:
    """Weights [out, in]."""
    return 2 * prod(shapes[one.outputs[0]]) * shapes[one.inputs[1]][1]


def _product(one: Operator, shapes: Shapes) -> int:
    """Matrices [..., rows, shared] and [..., shared, columns], either of them possibly transposed."""
    shared = shapes[one.inputs[0]][-2 if one.options.get("adjX") else -1]
    return 2 * prod(shapes[one.outputs[0]]) * shared


COUNTED: dict[str, Callable[[Operator, Shapes], int]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _linear,
    "BATCH_MATMUL": _product,
}


def count(graph: Graph, shapes: Shapes) -> tuple[dict[str, int], dict[str, int]]:
    """FLOPs by operator, and how many operators of each name were not counted; `shapes` are those of the tensors."""
    found: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for one in graph.operators:
        if one.name in COUNTED:
            found[one.name] += COUNTED[one.name](one, shapes)
        elif one.name not in CONVERSIONS:
            others[one.name] += 1
    return dict(found.most_common()), dict(others.most_common())


def hidden(graphs: list[Graph]) -> list[str]:
    """Operators that would be counted, but lie in graphs that another operator calls as often as it wants."""
    return sorted({one.name for graph in graphs[1:] for one in graph.operators if one.name in COUNTED})


def shapes_of(file: Path, spec: Mapping[str, Any]) -> dict[int, tuple[int, ...]]:
    """The shapes of the main graph's tensors, by their number, for an input of the size in `spec`.

    They are LiteRT's own, because those in a file are only placeholders where the size of its input is open.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(str(file), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    height, width = spec["size"]
    wanted = (1, height, width, 3) if spec["layout"] == "NHWC" else (1, 3, height, width)
    image = interpreter.get_input_details()[0]
    if tuple(image["shape"]) != wanted:
        interpreter.resize_tensor_input(image["index"], wanted, strict=True)
    interpreter.allocate_tensors()
    return {one["index"]: tuple(int(size) for size in one["shape"]) for one in interpreter.get_tensor_details()}
