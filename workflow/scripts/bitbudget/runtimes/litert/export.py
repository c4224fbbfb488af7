"""From a model to the .tflite file that everything else starts from, and what goes into it and comes out of it.

Models of transformers are exported by LiteRT Torch in float32, and the file is held against the model on a test
picture. SavedModels and Keras models were converted by TensorFlow (`tensorflow_export`), in an environment of its own.
A ready .tflite file is taken as it is.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bitbudget import contracts, files
from bitbudget.errors import UserError
from bitbudget.runtimes.litert import flatbuffer, probe
from bitbudget.runtimes.litert.interpreter import MODEL, SPECIFICATION, Detector, threads_for
from bitbudget.runtimes.litert.preprocessing import prepare
from bitbudget.runtimes.litert.spec import complete
from bitbudget.runtimes.litert.tensorflow_export import CONVERSION, OUTPUTS
from bitbudget.system import verified

log = logging.getLogger("bitbudget")

CLOSE = 1e-3  # differences in logits and in shares of the input that only say that numbers were added in another order
STRAY = 0.05  # share of queries without a counterpart that is explained by a choice among nearly equal scores


def export(
    source: Path, family: ModuleType, entry: dict[str, Any], out: Path, converted: Path | None = None
) -> dict[str, Any]:
    """Write a model's file and specification into `out`, and return what its record says of them.

    `source` is the folder that fetch_model made, `entry` the model's part of config/models.yaml, and `converted` the
    folder that convert_detector made of a SavedModel or Keras model. Raises `UserError` where the model cannot be
    exported, or its file does not fit the specification.
    """
    verified.hold_folder(source, "model.json")
    out.mkdir(parents=True, exist_ok=True)
    wanted, compared, told = None, compare, {}
    if contracts.of(family, "SOURCE") == "transformers":
        from bitbudget.runtimes.litert import torch_export

        model = torch_export.load(source, family)
        found = _specify(with_own(family.detector(model.config.to_dict(), _processor(source)), entry), out)
        pixels, place = prepare(probe.picture(), found["input"])
        wanted = torch_export.answer(model, family, found["input"], pixels)
        torch_export.write(model, family, found["input"], out / MODEL)
    else:
        found = _specify(entry["detector"], out)
        pixels, place = prepare(probe.picture(), found["input"])
        if converted is not None:
            verified.hold_folder(converted, CONVERSION)
            told = {"converter": files.read_json(converted / CONVERSION)["converter"]}
            with np.load(converted / OUTPUTS) as held:
                wanted, compared = dict(held), compare_in_order
        _from_tflite(source if converted is None else converted, source, out / MODEL)
    graphs = flatbuffer.read(out / MODEL)
    detector = Detector(out, threads_for(None))
    outputs = dict(zip(detector.names, detector.invoke(pixels), strict=True))
    detector.decode(list(outputs.values()), place, Path(probe.NAME), *probe.picture().size)
    if unnamed := set(wanted or ()) ^ set(outputs if wanted else ()):
        names = ", ".join(sorted(unnamed))
        if converted is None:
            raise UserError(f"{out / MODEL} has other outputs than its model ({names}): choose another model.")
        log.warning(
            "the outputs of %s have other names than TensorFlow's (%s), so they were not compared", MODEL, names
        )
    weights = {weight.tensor.buffer: weight.tensor.size for graph in graphs for weight in graph.weights()}
    return {
        "files": {MODEL: {"bytes": (out / MODEL).stat().st_size, "sha256": files.sha256_of(out / MODEL)}},
        "detector": found,
        "outputs": {name: list(array.shape) for name, array in outputs.items()},
        "operators": flatbuffer.operators(graphs),
        "tensor_types": flatbuffer.bytes_by_type(graphs),
        "weights": sum(weights.values()),
        "parity": compared(wanted, outputs, out / MODEL) if wanted and not unnamed else None,
    } | told


def with_own(derived: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """A family's specification with what the user's entry says in its place."""
    own = entry.get("detector", {})
    return derived | own | {"input": derived["input"] | own.get("input", {})}


def compare(wanted: dict[str, np.ndarray], found: dict[str, np.ndarray], file: Path) -> dict[str, Any]:
    """How far a file's outputs (1, queries, ...) are from those of the model that it was exported from.

    Queries have no order: RT-DETR takes those with the best scores, and kernels that add up in another order may swap
    two whose scores differ in the last digit. So each query of the model is held against the nearest of the file's.
    Raises `UserError` where too many have none that is near.
    """
    ours, theirs = (np.concatenate([side[name][0] for name in wanted], axis=-1) for side in (wanted, found))
    gaps = np.stack([np.abs(theirs - query).max(-1) for query in ours])
    nearest, near = gaps.argmin(1), gaps.min(1) <= CLOSE  # not where one is NaN
    stray = float((~near).mean())
    said = f"{stray:.1%} of the queries that the model gives for {probe.NAME} are not among those of {file}"
    if stray > STRAY:
        raise UserError(f"{said}, so the export has gone wrong: choose another model, or hand over a .tflite file.")
    if stray:
        log.warning("%s: it takes others of nearly the same score", said)
    return {
        "max_abs_difference": {
            name: float(np.abs(wanted[name][0] - found[name][0][nearest])[near].max()) for name in wanted
        },
        "limit": CLOSE,
        "stray_queries": stray,
    }


def compare_in_order(wanted: dict[str, np.ndarray], found: dict[str, np.ndarray], file: Path) -> dict[str, Any]:
    """The same where every row has its place. Raises `UserError` for outputs that are other numbers, or not as many."""
    gaps = {}
    for name, exact in wanted.items():
        gaps[name] = float(np.abs(found[name] - exact).max(initial=0)) if found[name].shape == exact.shape else np.inf
        if not gaps[name] <= CLOSE * max(1.0, float(np.abs(exact).max(initial=0))):
            raise UserError(
                f"output {name} of {file} is off by {gaps[name]:.3g} from what TensorFlow gives for {probe.NAME}, so "
                "the conversion has gone wrong: hand over a .tflite file of the model, with family tflite."
            )
    return {"max_abs_difference": gaps, "limit": CLOSE, "stray_queries": 0.0}


def _specify(given: dict[str, Any], out: Path) -> dict[str, Any]:
    """Complete a specification and write it down."""
    found = complete(given)
    files.write_json(out / SPECIFICATION, found)
    return found


def _processor(source: Path) -> dict[str, Any]:
    path = source / "preprocessor_config.json"
    return files.read_json(path) if path.exists() else {}


def _from_tflite(folder: Path, source: Path, out: Path) -> None:
    """Take over the file in a folder. Raises `UserError`, which says where it came from, for one that is not whole."""
    try:
        flatbuffer.read(folder / MODEL)
    except UserError as fault:
        origin = files.read_json(source / "model.json")["source"]
        raise UserError(f"{str(fault).rstrip('.')} (it came from {origin}).") from None
    with files.written_whole(out) as temporary:
        shutil.copyfile(folder / MODEL, temporary)
