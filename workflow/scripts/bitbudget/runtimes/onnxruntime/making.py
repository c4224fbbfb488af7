"""Module groups as ONNX files in a checkpoint, and those files in the modules' places."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import onnxruntime as ort
from torch import nn

from bitbudget.errors import UserError
from bitbudget.models.calibration.walk import suit
from bitbudget.models.formats.base import Calibration, GroupFile
from bitbudget.models.groups import PROJECTOR, VISION
from bitbudget.models.streaming import Streamed
from bitbudget.runtimes import stand_in
from bitbudget.runtimes.onnxruntime import exporting, quantizing, reaching, sessions
from bitbudget.runtimes.onnxruntime.module import OrtModule

if TYPE_CHECKING:
    from bitbudget.runtimes.onnxruntime.formats import Ort

GROUPS = (VISION, PROJECTOR)  # a decoder would need its cache as well


class Made(NamedTuple):
    """The names of files, and what is told of them."""

    files: tuple[str, ...]
    told: dict[str, Any]


def make(
    fmt: Ort,
    groups: Sequence[str],
    original: Streamed,
    family: ModuleType,
    source: Path,
    folder: Path,
    device: str,
    calibration: Calibration | None,
) -> Made:
    """Write the files of a group of the original, whose snapshot is `source`.

    They are exported with what reaches the modules when the model sees made-up pictures; a calibrated format is given
    what reaches them of the calibration images. Raises `UserError` where it cannot be done.
    """
    (group,) = groups
    if group not in GROUPS:
        raise UserError(
            f"{fmt.name} holds {' and '.join(GROUPS)}, which a model calls once for a picture, and not {group}: give "
            f"{group} another format."
        )
    if fmt.calibrated and calibration is None:
        raise UserError(f"{fmt.name} needs images to calibrate on: name them with --calibration.")
    sessions.providers(device)
    paths = reaching.modules_of(group, family, original.model)
    seen = reaching.calls(original, family, paths, reaching.made_up(source, family))
    if fmt.calibrated:
        anew = calibration.model()  # its configuration is set to the study's processor
        suit(calibration.inputs, anew.model)
        calibration.report.setdefault("layers", {})  # it has nothing to tell of each
    names, modules = [], {}
    for number, path in enumerate(paths, start=1):
        file = folder / f"{group}{f'-{number}' * (len(paths) > 1)}.onnx"
        with exporting.in_float32(original, path) as module, tempfile.TemporaryDirectory(dir=folder) as place:
            exported = Path(place) / file.name if fmt.how else file
            signature, told = exporting.export(module, path, seen[path], exported)
            if fmt.how:
                weights = quantizing.weight_type()
                passes = reaching.stream(anew, family, [path], calibration.inputs) if fmt.calibrated else ()
                inputs = _arrays(exported, (one[path] for one in passes))
                told |= quantizing.quantize(exported, file, fmt.how, weights, inputs)
        names += [one.name for one in (file, file.with_name(file.name + exporting.DATA)) if one.exists()]
        modules[path] = {"file": file.name, "signature": signature.as_json(), **told}
    return Made(tuple(names), {"onnxruntime": ort.__version__, "modules": modules})


def _arrays(file: Path, calls: Iterable[reaching.Call]) -> Iterator[dict[str, Any]]:
    """The inputs of a file for these calls."""
    used = {one.name for one in sessions.open_session(file, "cpu", 1).get_inputs()}
    for call in calls:
        given = ((sessions.name_of(n), value) for n, value in enumerate(call.tensors().values()))
        yield {name: sessions.as_array(value) for name, value in given if name in used}


def put(one: GroupFile, model: nn.Module, folder: Path, device: str) -> nn.Module:
    """The model with these files in the places of their modules, each under all of its paths."""
    for path, told in one.told["modules"].items():
        shell = model.get_submodule(path)
        new = OrtModule(folder / told["file"], told["signature"], shell, model.dtype, device, path)
        stand_in.put(new, shell, model)
    return model
