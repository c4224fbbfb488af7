"""The audit of a detector's file: what it really holds, against what its precision asked for.

The file is read without its libraries' help (see `flatbuffer`) and held against the exported one, operator by operator.
*Is it the same network?* The operators, their options, what each takes and makes, and all shapes must be the exported
ones (`wiring`). *Are its weights what the format says?* Their format, how they lie, and every number (`weights`).
*Are its other constants the exported ones?* To the last bit; where whole numbers are computed with (litert-int8-full)
those that meet them are whole numbers too, and must be the nearest ones. *Does what flows between operators have the
scales of what was seen on the calibration images?* See `activations`.

In the end the file is run on test pictures. What comes out must be numbers that can be decoded, and no further from
the exported file's outputs than the format's own rounding explains (`outputs`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bitbudget import files, registry
from bitbudget.errors import UserError
from bitbudget.models.audit.audited import LayerAudit, by_group, refuse_faults
from bitbudget.models.formats.litert import AS_IS
from bitbudget.runtimes.litert import flatbuffer, outputs, probe
from bitbudget.runtimes.litert.activations import ENDLESS, Activations, Ranges, halved
from bitbudget.runtimes.litert.flatbuffer import Tensor, Weight
from bitbudget.runtimes.litert.interpreter import MANIFEST, MODEL, SPECIFICATION, Detector, threads_for
from bitbudget.runtimes.litert.weights import of_weights
from bitbudget.runtimes.litert.wiring import Fault, OtherOperatorsError, Wiring

GROUP = "detector"
LIMITS = {"INT8": (-128, 127), "INT32": (-(2**31), 2**31 - 1)}  # the types that constants are rounded to
SINGLE = 2**-21  # relative to a constant: what working with it and its scale in float32 may round, and no more


@dataclass(frozen=True)
class Constant:
    """A constant of a file as an operator takes it, with the exported one in the same place.

    `place` is the operator's place in the file, and `number` its place among those that compute. `weight` says how it
    is used where it is weights. A constant that no computing operator takes has nothing but its tensor. `graph` is the
    number of the file's graph that has it, and `facts` what was found of it.
    """

    tensor: Tensor
    exported: Tensor | None = None
    operator: str = ""
    place: int = -1
    number: int = -1
    weight: Weight | None = None
    graph: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """What records call it: by its name in the exported file, and by the operator that takes it."""
        name = (self.exported or self.tensor).name
        return f"{name} (operator {self.number})" if self.number >= 0 else name


def audit(
    exported: Path, made: Path, precision: str, spec: dict[str, Any], ranges: Ranges | None = None
) -> dict[str, Any]:
    """What a record says of the checkpoint in the folder `made`; the folder `exported` has what it was made from.

    `spec` is the format that was asked for, with its options, and `ranges` are those seen on the calibration images;
    without them, those that the checkpoint's own record has. Raises `UserError` where the checkpoint is not that.
    """
    if spec["format"] == AS_IS:
        _refuse_another_file(exported, made, MODEL, precision)
    graphs, calibrated = flatbuffer.read(made / MODEL), registry.format_of(spec["format"]).calibrated
    source = "those of the calibration images, seen again"
    if calibrated and ranges is None:
        ranges, source = recorded_ranges(made), "those of the calibration images, as the checkpoint's record has them"
    # before LiteRT sees the file, which ends the process on some that are wrong
    found, activations = hold(flatbuffer.read(exported / MODEL), graphs, precision, spec, ranges)
    _refuse_another_file(exported, made, SPECIFICATION, precision)
    detector = Detector(made, threads_for(None))
    layers, others = records(found, detector.delegated())
    kind, given = detector.spec["outputs"]["kind"], outputs.of_pictures(detector)
    wanted = outputs.of_pictures(Detector(exported, threads_for(None)))
    errors = outputs.compare(given, wanted, kind)
    limits = outputs.limits(exported, activations, wanted, kind)
    far = [
        (f"output {name}", f"is off by {errors[name]:.3g}, where the format's rounding explains {limit:.3g}")
        for name, limit in limits.items()
        if not errors[name] <= limit  # also where it is NaN
    ]
    refuse_faults(precision, [], _as_records(far))
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
        "output_errors": errors,
        "output_limits": limits,
        "not_held": not_held(spec, ranges),
        **({"ranges": source} if calibrated and ranges is not None else {}),
    }


def _refuse_another_file(exported: Path, made: Path, name: str, precision: str) -> None:
    if files.sha256_of(exported / name) != files.sha256_of(made / name):
        raise UserError(
            f"precision {precision} is not what its name says: {made / name} is another file than the model's."
        )


def recorded_ranges(made: Path) -> Ranges | None:
    """The ranges that a checkpoint's record has of its calibration images; None where it has none."""
    record = files.read_json(made / MANIFEST) if (made / MANIFEST).exists() else {}
    found = record.get("calibration", {}).get("ranges")
    return found and {name: (float(least), float(largest)) for name, (least, largest) in found.items()}


def not_held(spec: dict[str, Any], ranges: Ranges | None) -> list[str]:
    """What could not be held against anything, and why."""
    fmt = registry.format_of(spec["format"])
    if fmt.name == AS_IS:
        return [
            "A ready file is held to be the model's, byte for byte. What its weights were rounded from, and which "
            "ranges its whole numbers should have had, is not known: a file that was quantized wrongly passes."
        ]
    if fmt.calibrated and ranges is None:
        return [
            "The checkpoint records no ranges of its calibration images, so its scales are held to its outputs alone."
        ]
    return []


def hold(
    originals: list[flatbuffer.Graph],
    graphs: list[flatbuffer.Graph],
    precision: str,
    spec: dict[str, Any],
    ranges: Ranges | None,
) -> tuple[list[Constant], Activations]:
    """Every constant of a file, the weights of each graph first, and what flows in the first graph.

    Raises `UserError` where the file does not compute what the exported one does, or not in the numbers that the format
    says.
    """
    found: list[Constant] = []
    checked: list[Activations] = []
    if len(originals) != len(graphs):
        raise _other_operators(precision, f"it has {len(graphs)} graphs, where the exported one has {len(originals)}")
    for main, (original, graph) in enumerate(zip(originals, graphs, strict=True)):
        try:
            wiring = Wiring(original, graph, registry.format_of(spec["format"]).free_options)
        except OtherOperatorsError as fault:
            raise _other_operators(precision, str(fault)) from None
        refuse_faults(precision, [], _as_records(wiring.faults()))
        checked.append(Activations(wiring, spec, ranges if main == 0 else None))
        found += [replace(one, graph=main, facts=_facts(one, spec)) for one in constants(wiring)]
    faults = [(one.path, one.facts["fault"]) for one in found]
    refuse_faults(precision, [], _as_records([*faults, *(fault for one in checked for fault in one.faults())]))
    return found, checked[0]


def _facts(constant: Constant, spec: dict[str, Any]) -> dict[str, Any]:
    if constant.weight:
        return of_weights(constant.exported, constant.weight, spec)
    return {"fault": fault_of_other(constant, spec)}


def records(found: list[Constant], delegated: set[int]) -> tuple[list[LayerAudit], list[dict[str, Any]]]:
    """What a record says of the weights and of the other constants.

    `delegated` are the places of the operators of the first graph that XNNPACK runs. Tensors may share their bytes,
    which count once.
    """
    layers, others = [], []
    counted: set[int] = set()
    for one in found:
        runs = "XNNPACK" if one.graph == 0 and one.place in delegated else "LiteRT"
        new = one.tensor.buffer not in counted
        counted.add(one.tensor.buffer)
        about = {
            "path": one.path,
            "group": GROUP,
            "storage": one.tensor.storage,
            "kernel": f"{one.operator} ({runs})" if one.operator else "none",
            "parameters": one.tensor.size if new else 0,
            "bytes": len(one.tensor.data) if new else 0,
        } | one.facts
        if one.weight:
            layers.append(LayerAudit(**about))
        else:
            others.append(about)
    return layers, others


def _as_records(faults: Iterable[Fault]) -> list[dict[str, Any]]:
    return [{"path": path, "fault": fault} for path, fault in faults]


def constants(wiring: Wiring) -> Iterator[Constant]:
    """The constants of a graph, weights first: each once for every exported constant whose place it takes."""
    original, graph = wiring.original, wiring.graph
    weights = {(weight.place, weight.operand): weight for weight in graph.weights()}
    pairs: dict[tuple[int, int], Constant] = {}

    def meet(wanted: int, found: int, operator: str = "", place: int = -1, operand: int = -1, number: int = -1) -> None:
        source, held = original.constant(wanted), graph.constant(found)
        if source and held:
            weight, key = weights.get((place, operand)), (source[0], held[0])
            if weight or key not in pairs:
                tensors = graph.tensors[held[0]], original.tensors[source[0]]
                pairs[key] = Constant(*tensors, operator, place, number, weight)

    for pair in wiring.pairs:
        for operand, ends in enumerate(zip(pair.before.inputs, pair.after.inputs, strict=False)):
            meet(*ends, pair.after.name, pair.place, operand, pair.number)
    for ends in zip(original.outputs, graph.outputs, strict=True):
        meet(*ends, "output")
    yield from sorted(pairs.values(), key=lambda constant: constant.weight is None)
    taken = {index for _, index in pairs}
    yield from (Constant(t) for index, t in enumerate(graph.tensors) if t.data is not None and index not in taken)


def _other_operators(precision: str, where: str) -> UserError:
    return UserError(
        f"precision {precision} is not what its name says: its file does not have the operators of the exported one "
        f"({where})."
    )


def fault_of_other(constant: Constant, spec: dict[str, Any]) -> str | None:
    """What is wrong with a constant that is no weights, or None.

    Whether the scale of one that was rounded is right is for `activations` to say.
    """
    tensor, exported = constant.tensor, constant.exported
    if exported is None:
        return None
    if tensor.shape != exported.shape or tensor.others != exported.others:
        return f"has the shape {tensor.shape}, where the exported file has {exported.shape}"
    if tensor.type == exported.type:
        same = tensor.data.tobytes() == exported.data.tobytes() and tensor.storage == exported.storage
        return None if same else "differs from the exported file"
    fmt = registry.format_of(spec["format"])
    if fmt.made_of and fmt.is_float and (exported.type, tensor.type) == ("FLOAT32", "FLOAT16"):
        same = tensor.data.tobytes() == halved(exported).tobytes()
        return None if same else "holds other numbers than the exported file's in half precision"
    if not fmt.calibrated or tensor.type not in LIMITS or tensor.blocks or not len(tensor.scales):
        return f"holds {tensor.storage} where {exported.storage} was asked for"
    if len(tensor.scales) not in (1, tensor.shape[tensor.axis] if tensor.axis < len(tensor.shape) else 1):
        return f"has {len(tensor.scales)} scales for the shape {tensor.shape}"
    exact = exported.values().astype(np.float64)
    scales, zeros = tensor.along(tensor.scales).astype(np.float64), tensor.along(tensor.zero_points)
    with np.errstate(invalid="ignore"):
        nearest = np.clip(exact / scales + zeros, *LIMITS[tensor.type])
        off = np.abs(tensor.numbers() - nearest) - SINGLE * np.abs(nearest - zeros)
    off = off[np.abs(exact) < ENDLESS]
    worst = float(off.max(initial=0))
    return None if worst <= 0.5 else f"is off by {worst:.1f} steps of its scale from the exported file"
