"""Tiny .tflite files, written operator by operator, so that tests need no converter and know every number."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from bitbudget import files

Op = schema.BuiltinOperator
TYPES = {"float32": schema.TensorType.FLOAT32, "int8": schema.TensorType.INT8, "uint8": schema.TensorType.UINT8}
TYPES |= {"int32": schema.TensorType.INT32}


class Graph:
    """A model with one graph, to which tensors and operators are added in order."""

    def __init__(self):
        self.model, self.main = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.buffers, self.model.operatorCodes = 3, [schema.BufferT()], []
        self.model.subgraphs = [self.main]
        self.main.tensors, self.main.operators, self.main.inputs, self.main.outputs = [], [], [], []

    def tensor(self, name, shape, dtype="float32", data=None, scale=None, zero_point=0, open_shape=None):
        """Add a tensor, constant where it has data, quantized where it has a scale; returns its number."""
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = name.encode(), TYPES[dtype], 0
        tensor.shape = np.int32(shape)
        if open_shape:
            tensor.shapeSignature = np.int32(open_shape)
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype=dtype).tobytes(), dtype=np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        if scale:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = np.float32([scale]), np.int64([zero_point])
        self.main.tensors.append(tensor)
        return len(self.main.tensors) - 1

    def op(self, code, inputs, output, options=None, custom=None):
        """Add an operator that makes the tensor `output`; returns `output`."""
        operator_code, operator = schema.OperatorCodeT(), schema.OperatorT()
        operator_code.builtinCode, operator_code.deprecatedBuiltinCode = code, min(code, 127)
        operator_code.version, operator_code.customCode = 1, custom
        self.model.operatorCodes.append(operator_code)
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = np.int32(inputs), np.int32([output])
        if options:
            operator.builtinOptions = getattr(schema, f"{options}T")()
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        self.main.operators.append(operator)
        return output

    def flattened(self, tensor, size, **how):
        """The tensor as one row of so many numbers."""
        shape = self.tensor("row_shape", (2,), "int32", [1, size])
        return self.op(Op.RESHAPE, [tensor, shape], self.tensor("row", (1, size), **how))

    def linear(self, row, weights, name, **how):
        """A row times the transposed weights, [out, in]."""
        constant = self.tensor(f"{name}/weights", weights.shape, data=weights)
        return self.op(
            Op.FULLY_CONNECTED, [row, constant, -1], self.tensor(f"{name}/product", (1, len(weights))),
            "FullyConnectedOptions",
        )  # fmt: skip

    def output(self, tensor, name, shape, **how):
        """The tensor in this shape as the next output of the model."""
        to = self.tensor(f"{name}/shape", (len(shape),), "int32", shape)
        self.main.outputs.append(self.op(Op.RESHAPE, [tensor, to], self.tensor(name, shape, **how)))

    def signature(self, **outputs):
        """Name the outputs in a signature; each is a place among the outputs."""
        one = schema.SignatureDefT()
        one.signatureKey, one.subgraphIndex, one.inputs, one.outputs = b"serving_default", 0, [], []
        for name, place in outputs.items():
            called = schema.TensorMapT()
            called.name, called.tensorIndex = name.encode(), self.main.outputs[place]
            one.outputs.append(called)
        self.model.signatureDefs = [one]

    def bytes(self):
        """The file."""
        self.main.inputs, self.main.outputs = np.int32(self.main.inputs), np.int32(self.main.outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def detr(size=8, queries=5, classes=3, *, extra=None, custom=None, seed=0, nan=False):
    """Logits and boxes of queries, each a random linear map of the image's pixels, [1, size, size, 3].

    `extra` is an operator between the maps and the logits; `nan` makes one weight of them NaN.
    """
    generator, graph = np.random.default_rng(seed), Graph()
    pixels = size * size * 3
    graph.main.inputs = [graph.tensor("image", (1, size, size, 3))]
    row = graph.flattened(graph.main.inputs[0], pixels)
    weights = generator.normal(size=(queries * (classes + 1), pixels)).astype(np.float32) / 5
    if nan:
        weights[0, 0] = np.nan
    logits = graph.linear(row, weights, "logits")
    if extra is not None:
        logits = graph.op(extra, [logits], graph.tensor("extra", (1, queries * (classes + 1))), custom=custom)
    graph.output(logits, "logits", (1, queries, classes + 1))
    boxes = graph.linear(row, generator.normal(size=(queries * 4, pixels)).astype(np.float32) / 5, "boxes")
    boxes = graph.op(Op.LOGISTIC, [boxes], graph.tensor("shares", (1, queries * 4)))
    graph.output(boxes, "boxes", (1, queries, 4))
    return graph


def copying(shape, dtype="float32", scale=None, zero_point=0, open_shape=None):
    """A model whose one output is its input, as one row."""
    graph, size = Graph(), int(np.prod(shape))
    how = {"dtype": dtype, "scale": scale, "zero_point": zero_point}
    graph.main.inputs = [graph.tensor("image", shape, **how, open_shape=open_shape)]
    to = graph.tensor("shape", (2,), "int32", [1, -1])
    graph.main.outputs = [graph.op(Op.RESHAPE, [graph.main.inputs[0], to], graph.tensor("row", (1, size), **how))]
    return graph


DETR = {
    "input": {
        "size": [8, 8], "resize": "stretch", "padding": 114, "layout": "NHWC", "colour": "RGB",
        "mean": [127.5] * 3, "std": [127.5] * 3,
    },
    "outputs": {"kind": "detr", "logits": 0, "boxes": 1, "activation": "softmax"},
    "classes": {"ids": "identity", "offset": 1, "names": []},
    "nms": None, "score_threshold": 0, "max_detections": 100,
}  # fmt: skip


def checkpoint(folder: Path, graph: Graph | bytes, spec=DETR, name="model.tflite") -> Path:
    """A checkpoint's folder with this model and specification, and a record with its size."""
    folder.mkdir(parents=True, exist_ok=True)
    content = graph if isinstance(graph, bytes) else graph.bytes()
    (folder / name).write_bytes(content)
    (folder / "detector.json").write_text(json.dumps(spec))
    held = {name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}}
    hashed = files.hash_of({"files": held, "detector": spec})
    record = {"checkpoint_hash": hashed, "files": held, "size_on_disk_bytes": len(content)}
    (folder / "checkpoint.json").write_text(json.dumps(record))
    return folder
