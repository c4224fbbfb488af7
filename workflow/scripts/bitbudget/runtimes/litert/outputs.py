"""What comes out of a detector's file beside the exported one, and how far that may be by the format's own rounding.

How far is worked out, not chosen: the exported graph is run once more in float32, with its weights and constants
rounded by the format's definition, and with what flows into and out of its whole-number operators rounded to 8 bits by
FAKE_QUANT. Its outputs are off by what the format costs on these pictures. The file's own may be off by FACTOR times
that: kernels round at other places, so that the two errors are alike in size and not in detail. Where all operators
compute in whole numbers it is STEP times as much, for their kernels may miss the nearest whole number by one.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from bitbudget import files
from bitbudget.runtimes.litert import probe
from bitbudget.runtimes.litert.activations import SMALLEST, Activations, Rounding, Span, scale_of, seen
from bitbudget.runtimes.litert.flatbuffer import Graph
from bitbudget.runtimes.litert.interpreter import MODEL, SPECIFICATION, Detector, threads_for
from bitbudget.runtimes.litert.preprocessing import prepare

FACTOR = 3
CLIPPED = 2  # a range that is narrower by more was not seen on pictures
STEP = 12**0.5  # a whole step beside the root mean square of what rounding to the nearest is off by
NEARLY = 1e-3  # relative: what another order of adding up may change in float32
CHOSEN = ("detr", "ssd")  # kinds of outputs whose rows were chosen among candidates: others may be in their place

Outputs = dict[str, list[np.ndarray]]  # by output, one array for each picture


def of_pictures(detector: Detector) -> Outputs:
    """The outputs for the test pictures, by name. Raises `UserError` where they cannot be decoded."""
    found: Outputs = {name: [] for name in detector.names}
    for picture in probe.pictures():
        pixels, place = prepare(picture, detector.spec["input"])
        outputs = detector.invoke(pixels)
        detector.decode(outputs, place, Path(probe.NAME), *picture.size)
        for name, output in zip(detector.names, outputs, strict=True):
            found[name].append(output)
    return found


def compare(found: Outputs, wanted: Outputs, kind: str) -> dict[str, float]:
    """How far each output is from the exported file's, relative to it: the root mean square over the pictures.

    `kind` is that of the specification's outputs. Of one picture it is the relative Frobenius error. Where rows were
    chosen among candidates it is the median over rows, each held against the nearest, and outputs without rows are left
    out. Names may change, the order does not.
    """
    errors: dict[str, list[float]] = {}
    for ours, theirs in zip(zip(*found.values(), strict=True), zip(*wanted.values(), strict=True), strict=True):
        arrays = [[np.nan_to_num(array.astype(np.float64)) for array in side] for side in (ours, theirs)]
        of_one = _chosen(*arrays) if kind in CHOSEN else [_relative(*pair) for pair in zip(*arrays, strict=True)]
        for name, error in zip(found, of_one, strict=True):
            if error is not None:
                errors.setdefault(name, []).append(error)
    return {name: float(np.sqrt(np.mean(np.square(parts)))) for name, parts in errors.items()}


def _relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / (np.linalg.norm(wanted) or 1.0))


def _chosen(found: list[np.ndarray], wanted: list[np.ndarray]) -> list[float | None]:
    """The error of each output (1, rows, ...) by the median over those rows that hold anything; None without rows."""
    counts = [array.shape[1] if array.ndim > 1 and len(array) == 1 else 0 for array in wanted]
    rows = max(counts)
    if not rows:
        return [None] * len(wanted)
    whole = [count == rows for count in counts]
    sizes = [float(np.sqrt(np.square(array).mean())) or 1.0 for array in wanted]
    ours, theirs = (
        [array.reshape(rows, -1) / size for array, size, kept in zip(side, sizes, whole, strict=True) if kept]
        for side in (found, wanted)
    )
    held = np.flatnonzero(np.concatenate(theirs, axis=1).any(axis=1))
    candidates = np.concatenate(ours, axis=1)
    nearest = [np.square(candidates - row).sum(1).argmin() for row in np.concatenate(theirs, axis=1)[held]]
    errors = (
        float(np.median(np.sqrt(np.square(our[nearest] - their[held]).mean(1)))) if len(held) else 0.0
        for our, their in zip(ours, theirs, strict=True)
    )
    return [next(errors) if kept else None for kept in whole]


def limits(exported: Path, activations: Activations, wanted: Outputs, kind: str) -> dict[str, float]:
    """The largest error of each output that is no fault; `wanted` are the outputs of the file in the folder `exported`.

    `activations` has that file's graph beside the one that is held against it.
    """
    if activations.rounding().nothing():
        return dict.fromkeys(compare(wanted, wanted, kind), NEARLY)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(exported / SPECIFICATION, folder / SPECIFICATION)
        (folder / MODEL).write_bytes(rounded(exported, activations))
        outputs = of_pictures(Detector(folder, threads_for(None)))
    factor = FACTOR * STEP if activations.everywhere else FACTOR
    return {output: factor * error + NEARLY for output, error in compare(outputs, wanted, kind).items()}


def rounded(exported: Path, activations: Activations) -> bytes:
    """The file in the folder `exported`, still in float32, with its numbers rounded where the format rounds them."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(exported / MODEL))
    main, rounding = model.subgraphs[0], activations.rounding()
    spans = _spans(rounding, exported, activations.original)
    copies = {index: _copied(main, index) for index in spans}
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FAKE_QUANT
    code.version = 2
    model.operatorCodes.append(code)

    def rounds(made: Iterable[int]) -> list[Any]:
        return [
            _fake_quant(schema, len(model.operatorCodes) - 1, index, copies[index], spans[index])
            for index in made
            if index in spans
        ]

    operators = rounds(map(int, main.inputs))
    for place, operator in enumerate(main.operators):
        given = [int(index) for index in operator.inputs]
        for operand, index in enumerate(given):
            if (place, operand) in rounding.constants:
                buffer = schema.BufferT()
                buffer.data = np.frombuffer(rounding.constants[place, operand].astype(np.float32).tobytes(), np.uint8)
                model.buffers.append(buffer)
                given[operand] = _copied(main, index, len(model.buffers) - 1)
            elif (place, operand) in rounding.operands or index in rounding.made:
                given[operand] = copies[index]
        operator.inputs = given
        operators += [operator, *rounds(map(int, operator.outputs))]
    main.operators = operators
    main.outputs = [copies[index] if index in rounding.made else index for index in map(int, main.outputs)]
    for end in (end for one in model.signatureDefs or [] if one.subgraphIndex == 0 for end in one.outputs or []):
        end.tensorIndex = copies[end.tensorIndex] if end.tensorIndex in rounding.made else end.tensorIndex
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _spans(rounding: Rounding, exported: Path, original: Graph) -> dict[int, Span]:
    """All ranges. One that nobody knows is the file's own, or what the test pictures reach where that is far wider."""
    if rounding.spans.keys() <= rounding.known:
        return rounding.spans
    given = files.read_json(exported / SPECIFICATION)["input"]
    pixels = (prepare(picture, given)[0] for picture in probe.pictures())
    here = seen(exported / MODEL, pixels, threads_for(None))
    found = dict(rounding.spans)
    for index in found.keys() - rounding.known:
        reached = here[original.tensors[index].name]
        if scale_of(reached)[0] > CLIPPED * scale_of(found[index])[0]:
            found[index] = reached
    return found


def _copied(graph: Any, index: int, buffer: int | None = None) -> int:
    """Add a tensor like the one at `index`, with another buffer where one is named; returns its place."""
    graph.tensors.append(copy.copy(graph.tensors[index]))
    if buffer is not None:
        graph.tensors[-1].buffer = buffer
    return len(graph.tensors) - 1


def _fake_quant(schema: Any, code: int, given: int, made: int, span: Span) -> Any:
    """The operator that rounds a tensor to the 256 levels of a range, and leaves it in float32."""
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [given], [made]
    operator.builtinOptionsType = schema.BuiltinOptions.FakeQuantOptions
    options = operator.builtinOptions = schema.FakeQuantOptionsT()
    options.min, options.max = min(span[0], 0.0), max(span[1], 0.0, min(span[0], 0.0) + SMALLEST)
    options.numBits, options.narrowRange = 8, False
    return operator
