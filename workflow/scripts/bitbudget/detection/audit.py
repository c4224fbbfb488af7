"""The audit of a detector's file: what it really holds, against what its precision asked for.

The file is read without its libraries' help (see `flatbuffer`) and held against the exported one, operator by operator:
a format changes how constants are held and puts conversions between operators, but leaves the operators as they are.

Of every operator's weights three things are asked. *Which format are they?* That follows from the type that they are
stored in, and from what the operator makes of them. *Do they lie as kernels read them?* One scale for each output
channel (for each place along any one dimension, where they become floats first), and no zero points. *Are they the
model's?* The exported weights are rounded here by the format's definition, to the nearest of 2^bits - 1 levels between
minus and plus a channel's largest magnitude, and the relative Frobenius error of the file's weights may be 1.1 times
that of the definition at most. In a float format every weight must be the exported one, or that made float16.

All other constants must be the exported ones to the last bit. Where whole numbers are computed with (litert-int8-full)
those that meet them are whole numbers too, and must lie within half a step of their own scale.

In the end the file is run on a test picture, and what comes out must be numbers that can be decoded. How operators are
wired, their options, and the ranges of what flows between them are not compared: `output_errors`, the outputs beside
the exported file's, shows what these come to, and no limit is set to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from bitbudget import files
from bitbudget.audited import LayerAudit, by_group, finite, refuse_faults
from bitbudget.detection import flatbuffer, probe
from bitbudget.detection.flatbuffer import Graph, Tensor, Weight
from bitbudget.detection.interpreter import MODEL, Detector, threads_for
from bitbudget.detection.preprocessing import prepare
from bitbudget.errors import UserError
from bitbudget.formats.litert import AS_IS, FORMATS

GROUP = "detector"
ENDLESS = 1e30  # constants beyond it stand for infinity, which no whole number does
SINGLE = 2**-21  # relative to a constant: what working with it and its scale in float32 may round, and no more


@dataclass(frozen=True)
class Constant:
    """A constant of a file as an operator takes it, with the exported one in the same place.

    `place` is the operator's place in the file, and `number` its place among those that compute. `weight` says how it
    is used where it is weights. A constant that no computing operator takes has nothing but its tensor.
    """

    tensor: Tensor
    exported: Tensor | None = None
    operator: str = ""
    place: int = -1
    number: int = -1
    weight: Weight | None = None

    @property
    def path(self) -> str:
        """What records call it: by its name in the exported file, and by the operator that takes it."""
        name = (self.exported or self.tensor).name
        return f"{name} (operator {self.number})" if self.operator else name


def audit(exported: Path, made: Path, precision: str, spec: dict[str, Any]) -> dict[str, Any]:
    """What a record says of the checkpoint in the folder `made`; the folder `exported` has what it was made from.

    `spec` is the format that was asked for, with its options. Raises `UserError` where the checkpoint is not that.
    """
    if spec["format"] == AS_IS and files.sha256_of(exported / MODEL) != files.sha256_of(made / MODEL):
        raise UserError(
            f"precision {precision} is not what its name says: {made / MODEL} is another file than the model's."
        )
    graphs = flatbuffer.read(made / MODEL)
    detector = Detector(made, threads_for(None))
    layers, others = hold(flatbuffer.read(exported / MODEL), graphs, precision, spec, detector.delegated())
    refuse_faults(precision, layers, others)
    return {
        "weights_bytes_in_memory": sum(flatbuffer.bytes_by_type(graphs).values()),
        "dequantized_bytes": flatbuffer.dequantized_bytes(graphs),
        "groups": by_group(layers, others),
        "layers": [asdict(layer) for layer in layers],
        "other_parameters": others,
        "operators": flatbuffer.operators(graphs),
        "tensor_types": flatbuffer.bytes_by_type(graphs),
        "delegate": detector.delegates(),
        "probe": f"what comes out for {probe.NAME} is finite and has the shapes that its specification says",
        "output_errors": compare(try_out(detector), try_out(Detector(exported, threads_for(None)))),
    }


def hold(
    originals: list[Graph], graphs: list[Graph], precision: str, spec: dict[str, Any], delegated: set[int]
) -> tuple[list[LayerAudit], list[dict[str, Any]]]:
    """Every constant of a file against the exported one: the weights, and the others.

    `delegated` are the places of the operators of the first graph that XNNPACK runs. Raises `UserError` where the file
    does not compute what the exported one does.
    """
    layers, others = [], []
    counted: set[int] = set()  # buffers, which tensors may share
    if len(originals) != len(graphs):
        raise _other_operators(precision)
    for main, (original, graph) in enumerate(zip(originals, graphs, strict=True)):
        for constant in constants(original, graph, precision):
            runs = "XNNPACK" if main == 0 and constant.place in delegated else "LiteRT"
            new = constant.tensor.buffer not in counted
            counted.add(constant.tensor.buffer)
            about = {
                "path": constant.path,
                "group": GROUP,
                "storage": constant.tensor.storage,
                "kernel": f"{constant.operator} ({runs})" if constant.operator else "none",
                "parameters": constant.tensor.size if new else 0,
                "bytes": len(constant.tensor.data) if new else 0,
            }
            if constant.weight:
                layers.append(LayerAudit(**about, **of_weights(constant.exported, constant.weight, spec)))
            else:
                others.append(about | {"fault": fault_of_other(constant, spec)})
    return layers, others


def constants(original: Graph, graph: Graph, precision: str) -> Iterator[Constant]:
    """The constants of a graph, weights first: each once for every exported constant whose place it takes.

    Raises `UserError` where the operators are not the original's, or compute what is constant there.
    """
    wanted, found = original.computing(), graph.computing()
    weights = {(weight.place, weight.operand): weight for weight in graph.weights()}
    pairs: dict[tuple[int, int], Constant] = {}
    if [operator.name for _, operator in wanted] != [operator.name for _, operator in found]:
        raise _other_operators(precision)
    for number, ((_, before), (place, after)) in enumerate(zip(wanted, found, strict=True)):
        for operand, indices in enumerate(zip_longest(before.inputs, after.inputs, fillvalue=-1)):
            source, held = original.constant(indices[0]), graph.constant(indices[1])
            if (source is None) != (held is None):
                raise _other_operators(precision)
            if source and held:
                weight, key = weights.get((place, operand)), (source[0], held[0])
                if weight or key not in pairs:
                    tensors = graph.tensors[held[0]], original.tensors[source[0]]
                    pairs[key] = Constant(*tensors, after.name, place, number, weight)
    yield from sorted(pairs.values(), key=lambda constant: constant.weight is None)
    taken = {index for _, index in pairs}
    yield from (Constant(t) for index, t in enumerate(graph.tensors) if t.data is not None and index not in taken)


def _other_operators(precision: str) -> UserError:
    return UserError(
        f"precision {precision} is not what its name says: its file does not have the operators of the exported one, "
        "in the same order and on the same constants."
    )


def of_weights(exported: Tensor, weight: Weight, spec: dict[str, Any]) -> dict[str, Any]:
    """What a layer's record says of its format and its errors, given the exported weights."""
    fmt = FORMATS[spec["format"]]
    asked, found = (AS_IS, AS_IS) if fmt.name == AS_IS else (fmt.weights_of(weight.operator), recognise(weight))
    relative = promised = allowed = None
    if found != asked:
        fault = f"holds {found} ({weight.tensor.storage}) where {asked} was asked for"
    elif found == AS_IS:
        fault = None
    elif FORMATS[found].is_float:
        with np.errstate(over="ignore"):  # half precision makes infinity of large weights, and so must the file
            exact = exported.values().astype(weight.tensor.numbers().dtype)
        same = exact.shape == weight.tensor.shape and exact.tobytes() == weight.tensor.data.tobytes()
        fault = None if same else f"holds {asked} as was asked, but other weights than the exported file"
    else:
        fault = _layout_fault(exported, weight)
        if fault is None:
            exact, size = exported.values(), float(np.linalg.norm(exported.values())) or 1.0
            promised = float(np.linalg.norm(rounded(exact, FORMATS[found].bits, weight.tensor.axis) - exact)) / size
            relative = float(np.linalg.norm(weight.tensor.values() - exact)) / size
            allowed = 1.1 * promised
            if not relative <= allowed:  # also where it is NaN
                fault = f"has weights that are off by {relative:.3f}, where {found} promises {promised:.3f} for them"
    errors = {"relative_error": finite(relative), "promised_error": promised, "allowed_error": allowed}
    return {"asked": asked, "found": found, **errors, "fault": fault}


def recognise(weight: Weight) -> str:
    """The name of the format that an operator's weights are in, or `unknown`."""
    if weight.dequantized:
        use = "dequantized"
    elif weight.tensor.type == "FLOAT32":
        use = "plain"
    else:
        use = {"FLOAT32": "dynamic", "INT8": "static"}.get(weight.result)
    return next((f.name for f in FORMATS.values() if (f.type, f.use) == (weight.tensor.type, use)), "unknown")


def rounded(weights: np.ndarray, bits: int, axis: int) -> np.ndarray:
    """Weights rounded to whole multiples of a channel's step, its largest magnitude / (2^(bits-1) - 1)."""
    rest = tuple(k for k in range(weights.ndim) if k != axis)
    top = 2 ** (bits - 1) - 1
    step = np.abs(weights).max(rest, keepdims=True).astype(np.float64) / top
    step[step == 0] = 1
    return np.clip(np.rint(weights / step), -top, top) * step


def _layout_fault(exported: Tensor, weight: Weight) -> str | None:
    """What is wrong with how quantized weights lie, or None."""
    tensor = weight.tensor
    if tensor.shape != exported.shape:
        return f"has the shape {tensor.shape}, where the exported file has {exported.shape}"
    # where they become floats first, scales may lie along any dimension
    axis = tensor.axis if weight.dequantized else weight.axis
    if tensor.blocks or len(tensor.scales) != tensor.shape[axis] or tensor.axis != axis:
        return (
            f"has {len(tensor.scales)} scales along dimension {tensor.axis}, where kernels read {tensor.shape[axis]} "
            f"along dimension {axis}"
        )
    if tensor.zero_points.any():
        return "has zero points other than 0, which kernels do not read"
    return None


def fault_of_other(constant: Constant, spec: dict[str, Any]) -> str | None:
    """What is wrong with a constant that is no weights, or None."""
    tensor, exported = constant.tensor, constant.exported
    if exported is None:
        return None
    if tensor.type == exported.type:
        return None if tensor.data.tobytes() == exported.data.tobytes() else "differs from the exported file"
    if not FORMATS[spec["format"]].calibrated or tensor.shape != exported.shape or not len(tensor.scales):
        return f"holds {tensor.storage} where {exported.storage} was asked for"
    held, exact = tensor.values(), exported.values()
    exact = np.where(np.abs(exact) < ENDLESS, exact, held)
    along = [-1 if k == tensor.axis else 1 for k in range(exact.ndim)] if len(tensor.scales) > 1 else [1] * exact.ndim
    off = (np.abs(held - exact) - SINGLE * np.abs(exact)) / tensor.scales.reshape(along)
    worst = float(off.max(initial=0))
    return None if worst <= 0.5 else f"is off by {worst:.1f} steps of its scale from the exported file"


def try_out(detector: Detector) -> dict[str, np.ndarray]:
    """The outputs for the test picture, by name. Raises `UserError` where they cannot be decoded."""
    pixels, place = prepare(probe.picture(), detector.spec["input"])
    outputs = detector.invoke(pixels)
    detector.decode(outputs, place, Path(probe.NAME), *probe.picture().size)
    return dict(zip(detector.names, outputs, strict=True))


def compare(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> dict[str, float]:
    """How far each output is from the exported file's, as a relative Frobenius error; recorded, and held to no limit.

    No format promises anything of outputs, and a model that chooses among queries (RT-DETR) may choose others.
    """
    pairs = zip(found, found.values(), wanted.values(), strict=True)  # names may change, the order does not
    return {name: float(np.linalg.norm(a - b) / (np.linalg.norm(b) or 1.0)) for name, a, b in pairs}
