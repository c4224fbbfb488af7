"""The audit of a GGUF file: each tensor against the original's parameter, held to what its type promises."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from bitbudget.errors import reason
from bitbudget.models.audit.audited import LayerAudit, finite
from bitbudget.models.families import parts
from bitbudget.models.groups import DECODER, VISION, group_of
from bitbudget.models.ready.comparing import STRANGE
from bitbudget.models.streaming import Streamed
from bitbudget.runtimes.llama_cpp import library, names, probe, promises, stored, tower
from bitbudget.runtimes.llama_cpp.converting import language_names
from bitbudget.runtimes.llama_cpp.converting_vision import seeing_names
from bitbudget.runtimes.llama_cpp.names import Arrangement
from bitbudget.runtimes.llama_cpp.stored import Stored

log = logging.getLogger("bitbudget")

BLOCK = re.compile(r"^(v\.)?blk\.\d+\.")
FLOATS = ("F32", "F16", "BF16")
# The most that the probe may find. Kernels of quantized types round what they multiply with to 8 bits, which leaves .01
# to .1, most in models with very large activations; a wrong order of rows leaves .5 and more.
MOST = {True: 0.05, False: 0.3}  # by whether all matrices are floats
ALWAYS_FLOATS = ("ffn_gate_inp", "ssm_", "position_embd", "token_types", "patch_embd")  # matrices that llama.cpp keeps


def audit(
    path: Path, fmt: Any, original: Streamed, family: ModuleType, device: str
) -> tuple[list[LayerAudit], list[dict[str, Any]]]:
    """What the file at `path` holds: matrices, and rows of other parameters (see `GroupFormat.audited`)."""
    file = stored.read(path)
    config = original.model.config.get_text_config()
    wanted = names.mapped(language_names(original, family), file.architecture, file.blocks)
    layers, others, ways = _tensors(file, wanted, fmt, original, family, config)
    known = {one for tensors in wanted.values() for one in tensors}
    others += _more(file, known, original, wanted, config, fmt)
    strange = any((one.relative_error or 0) > STRANGE for one in layers)  # whose rows may be in any order
    if not strange and not any(one.fault for one in layers) and not any(row["fault"] for row in others):
        others += _probed(path, original, ways, device)
    return layers, others


def audit_seeing(
    path: Path, told: dict[str, Any], fmt: Any, original: Streamed, family: ModuleType, device: str
) -> tuple[list[LayerAudit], list[dict[str, Any]]]:
    """The same of a file of a vision tower and projector, with a row for the embeddings that it makes of a picture."""
    file = stored.read(path)
    own = {name: name for name in seeing_names(original, family)}
    wanted = names.mapped(own, file.architecture, file.blocks)
    layers, others, _ = _tensors(file, wanted, fmt, original, family, original.model.config.vision_config)
    strange = file.tensors.keys() - {one for tensors in wanted.values() for one in tensors}
    others += [_row(name, VISION, file.tensors[name], "is a tensor that the original has not") for name in strange]
    if any(one.fault for one in layers) or any(row["fault"] for row in others):
        return layers, others
    error, allowed = tower.error(path, told, original, family, path.parent, device), tower.allowed(fmt.types)
    fault = None if error <= allowed else tower.too_far(error, allowed)
    row = _row(path.name, VISION, None, fault) | {"kernel": library.kernel()}
    return layers, [*others, row | {"output_error": finite(error), "output_allowed": allowed}]


Ways = dict[str, list[tuple[Stored, Arrangement, tuple[int, ...]]]]


def _tensors(
    file: stored.File,
    wanted: dict[str, tuple[str, ...]],
    fmt: Any,
    original: Streamed,
    family: ModuleType,
    config: Any,
) -> tuple[list[LayerAudit], list[dict[str, Any]], Ways]:
    """What a file's tensors hold of the parameters, and how each tensor is laid out."""
    groups = parts.groups(family, original.model)
    layers, others, ways, laid = [], [], {}, {}
    for name, tensors in wanted.items():
        group = group_of(name, groups)
        missing = [there for there in tensors if there not in file.tensors]
        if missing or not tensors:
            others.append(
                _row(
                    name,
                    group,
                    None,
                    f"is missing from the file ({missing[0]})" if missing else "has no place in a GGUF file",
                )
            )
            continue
        with original.holding([name]):
            exact = original.model.get_parameter(name).detach()
            unit = torch.finfo(exact.dtype).eps
            values = exact.float().cpu().numpy()
        halves = np.split(values, len(tensors), axis=-2) if len(tensors) > 1 else [values]
        for there, half in zip(tensors, halves, strict=True):
            held = file.tensors[there]
            if there in names.BY_TOKEN and len(half) > held.shape[0]:
                half = half[: held.shape[0]]  # Gemma's converter leaves rows out that no token has
            way, found = _compare(held, half, config, unit)
            found = found if fmt.promises else _told(found)
            ways.setdefault(name, []).append((held, way, half.shape))
            if values.ndim > 1:
                laid[there] = way.name
                layers.append(_layer(name.removesuffix(".weight"), group, held, found, fmt, there))
            else:
                others.append(_row(name, group, held, found.fault) | {"relative_error": finite(found.relative_error)})
    laid = laid if fmt.promises else {}
    others += [_row(name, DECODER, file.tensors[name], fault) for name, fault in _laid_otherwise(laid).items()]
    return layers, others, ways


def _told(found: promises.Held) -> promises.Held:
    """What is held of weights that were made by somebody else: how far they are is told, and is no fault."""
    return dataclasses.replace(found, fault=None) if np.isfinite(found.relative_error) else found


def _compare(held: Stored, exact: np.ndarray, config: Any, unit: float) -> tuple[Arrangement, promises.Held]:
    """The arrangement of the original that a tensor holds, and how well; the nearest one where none fits."""
    found = []
    for way in names.arrangements(exact.shape, config):
        if _without_ones((there := way.there(exact)).shape) == _without_ones(held.shape):
            one = _held(held, np.ascontiguousarray(there).reshape(held.shape), unit)
            if not one.fault:
                return way, one
            found.append((one.relative_error, way, one))
    if not found:
        shape = " x ".join(map(str, held.shape))
        wrong = f"has {shape} weights where the original has {' x '.join(map(str, exact.shape))}"
        return names.AS_IT_IS, promises.Held(np.inf, 0, 0, wrong)
    _, way, one = min(found, key=lambda row: row[0] if np.isfinite(row[0]) else np.inf)
    return way, one


def _laid_otherwise(laid: dict[str, str]) -> dict[str, str]:
    """The fault of each tensor whose rows are in another order than those of the same matrix in most other blocks."""
    usual: dict[str, Counter[str]] = {}
    for name, way in laid.items():
        usual.setdefault(BLOCK.sub("", name), Counter())[way] += 1
    return {
        name: f"has its rows in another order ({way}) than that of most other blocks"
        for name, way in laid.items()
        if way != usual[BLOCK.sub("", name)].most_common(1)[0][0]
    }


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size > 1)


def _held(held: Stored, exact: np.ndarray, unit: float) -> promises.Held:
    rows = exact.reshape(-1, exact.shape[-1])
    found = []
    try:
        for part, values in held.parts():
            size, values = float(np.linalg.norm(rows[part])), values.reshape(rows[part].shape)
            found.append((len(values), size, promises.hold(values, rows[part], held.kind, unit)))
    except NotImplementedError:
        return promises.Held(np.inf, 0, 0, f"is in {held.kind}, which the package gguf cannot read")
    return promises.joined(found)


def _layer(path: str, group: str, held: Stored, found: promises.Held, fmt: Any, there: str) -> LayerAudit:
    fault, falls_back = found.fault, held.shape[-1] % 256 != 0
    floats = held.kind in FLOATS and any(part in there for part in ALWAYS_FLOATS)
    mine = held.kind in fmt.types if fmt.promises else held.kind not in FLOATS
    if fmt.promises and not fault and not mine and not falls_back and not floats:
        fault = f"is in {held.kind}, which a {fmt.name} file does not use"
    return LayerAudit(
        path=path,
        group=group,
        asked=fmt.name,
        found=fmt.name if mine else f"gguf {held.kind}",
        storage=held.kind,
        kernel=f"{library.kernel()}: {held.kind}",
        parameters=int(np.prod(held.shape)),
        bytes=held.nbytes,
        relative_error=finite(found.relative_error),
        promised_error=finite(found.promised_error),
        allowed_error=finite(found.allowed_error),
        fault=fault,
    )


def _row(path: str, group: str, held: Stored | None, fault: str | None) -> dict[str, Any]:
    return {
        "path": path,
        "group": group,
        "storage": held.kind if held else "",
        "kernel": library.kernel() if held else "",
        "dimensions": len(held.shape) if held else 0,
        "parameters": int(np.prod(held.shape)) if held else 0,
        "bytes": held.nbytes if held else 0,
        "fault": fault,
    }


def _more(
    file: stored.File, known: set[str], original: Streamed, wanted: dict[str, tuple[str, ...]], config: Any, fmt: Any
) -> list[dict[str, Any]]:
    """Tensors that are no parameter's: worked out of settings, a second copy of tied embeddings, or a fault."""
    rows = []
    for name in file.tensors.keys() - known:
        held, fault = file.tensors[name], "is a tensor that the original does not have"
        if name in names.EXTRA:
            fault = None
        elif name == "output.weight":
            [first] = [one for one, there in wanted.items() if there == ("token_embd.weight",)]
            with original.holding([first]):
                exact = original.model.get_parameter(first).detach()
                found = _compare(held, exact.float().cpu().numpy(), config, torch.finfo(exact.dtype).eps)[1]
            fault = found.fault if fmt.promises else _told(found).fault
        rows.append(_row(name, DECODER, held, fault))
    return rows


def _probed(path: Path, original: Streamed, ways: Ways, device: str) -> list[dict[str, Any]]:
    """The probe's fault, as a row, or nothing."""

    def values(name: str) -> np.ndarray | None:
        name = next((one for one in original.same_as(name) if one in ways), name)  # a tied head's is the embeddings'
        if name not in ways:
            return None
        back = [way.back(held.values().reshape(way.there(np.empty(shape)).shape)) for held, way, shape in ways[name]]
        whole = back[0] if len(back) == 1 else np.concatenate(back, axis=-2)
        shape = original.model.get_parameter(name).shape
        return np.pad(whole, [(0, wanted - had) for wanted, had in zip(shape, whole.shape, strict=True)])

    try:
        error = probe.error(path, original, values, device)
    except (RuntimeError, ValueError, TypeError, LookupError) as fault:
        return [_row(path.name, DECODER, None, f"cannot be compared with the original ({reason(fault)})")]
    log.info("logits of llama.cpp differ by %.4f from those of the original with the same weights", error)
    most = MOST[all(held.kind in FLOATS for halves in ways.values() for held, _, _ in halves)]
    if error <= most:
        return []
    wrong = f"gives logits that are off by {error:.2f} from the original's with the same weights, where {most} is right"
    return [_row(path.name, DECODER, None, wrong)]
