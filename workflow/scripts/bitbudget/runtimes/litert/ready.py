"""What a ready .tflite file holds, beside the file that the model's other precisions are made of.

Nothing was asked of it, so nothing of it is a fault but a file that LiteRT cannot run by the model's specification. Its
weights are compared where both files have the same operators with weights of the same shapes, in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bitbudget.models.audit.audited import by_group, finite
from bitbudget.models.formats.litert import AS_IS
from bitbudget.runtimes.litert import flatbuffer, outputs, probe, weights
from bitbudget.runtimes.litert.audit import GROUP, Constant, records
from bitbudget.runtimes.litert.interpreter import MODEL, Detector, threads_for

BITS = {"INT8": 8, "UINT8": 8, "INT4": 4}


def audit(exported: Path, made: Path, ready: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of the checkpoint in the folder `made`, with `ready` of its manifest and what stands out."""
    graphs, original = flatbuffer.read(made / MODEL), flatbuffer.read(exported / MODEL)[0]
    detector, theirs = Detector(made, threads_for(None)), [one.tensor for one in original.weights()]
    mine = list(graphs[0].weights())
    alike = [one.tensor.shape for one in mine] == [one.shape for one in theirs]
    found = [
        Constant(
            one.tensor, None, one.operator, one.place, number, one, 0, _facts(one, theirs[number] if alike else None)
        )
        for number, one in enumerate(mine)
    ]
    used = {one.tensor.buffer for one in mine}
    rest = [one for one in flatbuffer.constants(graphs) if one.buffer not in used]
    layers, others = records(found + [Constant(one, facts={"fault": None}) for one in rest], detector.delegated())
    groups = by_group(layers, others)
    quantized = sum(one.tensor.size for one in mine if one.tensor.type in BITS)
    groups[GROUP]["coverage"] = quantized / sum(one.tensor.size for one in mine) if quantized else None
    told = [f"ready checkpoint {ready['checkpoint']}"]
    if not alike:
        told.append("its weights have other shapes, or another order, than the model's, and are not compared with them")
    errors = {}
    try:
        pair = (outputs.of_pictures(one) for one in (detector, Detector(exported, threads_for(None))))
        errors = outputs.compare(*pair, detector.spec["outputs"]["kind"])
    except ValueError:
        told.append("its outputs have other shapes than the model's, and are not compared with them")
    return {
        "weights_bytes_in_memory": sum(flatbuffer.bytes_by_type(graphs).values()),
        "dequantized_bytes": flatbuffer.dequantized_bytes(graphs),
        "groups": groups,
        "layers": [asdict(layer) for layer in layers],
        "other_parameters": others,
        "operators": flatbuffer.operators(graphs),
        "tensor_types": flatbuffer.bytes_by_type(graphs),
        "delegate": detector.delegates(),
        "probe": f"what comes out for {probe.NAME} is finite and has the shapes that its specification says",
        "output_errors": errors,
        "output_limits": {},
        "not_held": ["A ready file is held to nothing: which ranges its whole numbers should have had is not known."],
        "ready": {**ready, "remarks": told},
    }


def _facts(weight: flatbuffer.Weight, exact: flatbuffer.Tensor | None) -> dict[str, Any]:
    """What a layer's record says of its format, and of its distance from the model's weights where these are known."""
    named, relative, promised = weights.recognise(weight), None, None
    if exact is not None:
        values = exact.values().astype(np.float64)
        size = float(np.linalg.norm(values)) or 1.0
        relative = finite(float(np.linalg.norm(weight.tensor.values() - values)) / size)
        if weight.tensor.type in BITS:
            nearest = weights.rounded(values, BITS[weight.tensor.type], weight.tensor.axis)
            promised = float(np.linalg.norm(nearest - values)) / size
    return {
        "asked": AS_IS,
        "found": named if named != "unknown" else weight.tensor.type.lower(),
        "relative_error": relative or None,
        "promised_error": promised,
        "allowed_error": None,
        "fault": None,
    }
