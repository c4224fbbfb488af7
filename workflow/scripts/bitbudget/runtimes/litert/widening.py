"""A .tflite file whose constants lie in float16, in float32: nothing is lost, and other formats can be made of it.

Converters keep such constants in half precision, each before an operator DEQUANTIZE. Every float16 is a float32, so the
constant takes the place of what that operator makes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bitbudget.runtimes.litert.interpreter import MODEL, SPECIFICATION


@contextmanager
def in_float32(exported: Path) -> Iterator[Path]:
    """An exported detector's folder, or while in use a copy without float16 where its file has constants in that."""
    content = widened(exported / MODEL)
    if content is None:
        yield exported
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / MODEL).write_bytes(content)
        shutil.copyfile(exported / SPECIFICATION, folder / SPECIFICATION)
        yield folder


def widened(path: Path) -> bytes | None:
    """The file with its float16 constants in float32; None for a file that has none before a DEQUANTIZE."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    half, conversion = schema.TensorType.FLOAT16, schema.BuiltinOperator.DEQUANTIZE
    found = False
    for graph in model.subgraphs:
        kept = []
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            source = graph.tensors[operator.inputs[0]] if len(operator.inputs) else None
            constant = source is not None and source.type == half and _data(model, source) is not None
            if max(code.builtinCode, code.deprecatedBuiltinCode) != conversion or not constant:
                kept.append(operator)
                continue
            buffer = schema.BufferT()
            wide = np.frombuffer(_data(model, source), np.float16).astype(np.float32)
            buffer.data = np.frombuffer(wide.tobytes(), np.uint8)
            model.buffers.append(buffer)
            graph.tensors[operator.outputs[0]].buffer = len(model.buffers) - 1
            found = True
        graph.operators = kept
        taken = {int(index) for operator in kept for index in operator.inputs} | {int(index) for index in graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            if tensor.type == half and index not in taken:
                tensor.buffer = 0  # nobody reads it any more
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {one.buffer for one in model.metadata or []}
    for number, buffer in enumerate(model.buffers):
        if number not in used:
            buffer.data, buffer.offset, buffer.size = None, 0, 0
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)) if found else None


def _data(model: object, tensor: object) -> bytes | None:
    data = model.buffers[tensor.buffer].data
    return None if data is None or not len(data) else bytes(data)
