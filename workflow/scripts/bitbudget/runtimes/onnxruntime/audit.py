"""What ONNX files hold of a group, against the original: weight by weight, and what the modules make of pictures.

Each weight is worked out in plain torch and held to what the format promises: floats bit for bit, integers to half a
step of the grid that is worked out of the original. What the file returns may be as far from what the original returns
as the format's definition is: the original with these weights, and with its inputs rounded as the format says, in plain
torch. The two need not agree in more than that: sums that are added up in another order round another way now and then,
which the rounding of each layer that follows makes larger.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import onnxruntime as ort
import torch
from torch import nn

from bitbudget.errors import UserError, reason
from bitbudget.models.audit.audited import LayerAudit, finite
from bitbudget.models.formats.base import GroupFile
from bitbudget.models.streaming import Streamed
from bitbudget.runtimes.onnxruntime import exporting, reaching, sessions, stored

if TYPE_CHECKING:
    from bitbudget.runtimes.onnxruntime.formats import Ort

WORTHLESS = 0.5  # relative error: what a range that cuts nearly everything off leaves
MARGIN = 1.5  # times the error of the definition: seen, 0.9 to 1.1
ROUNDED = 1e-4  # by how much a scale may differ, relatively: it is worked out in float32, as those here
UNUSED = "not in the file: no output depends on it"


def audited(
    fmt: Ort, one: GroupFile, original: Streamed, family: ModuleType, folder: Path, device: str
) -> tuple[list[LayerAudit], list[dict[str, Any]]]:
    """Layers, and other parameters with a row for what each module makes of made-up pictures."""
    (group,) = one.groups
    paths = reaching.modules_of(group, family, original.model)
    told = one.told["modules"]
    if sorted(paths) != sorted(told):
        raise UserError(f"{folder} holds other modules of the group {group} than the model has: make it again.")
    seen = reaching.calls(original, family, paths, reaching.made_up(folder, family))
    layers, others = [], []
    for path in paths:
        with exporting.in_float32(original, path) as module:
            mine, rest = _of_module(fmt, group, path, module, folder / told[path]["file"], told[path], device)
            fault, error, allowed = _output(fmt, module, path, mine, seen[path], folder / told[path]["file"], device)
        row = _row(path, group, f"onnxruntime {ort.__version__}, {sessions.providers(device)[0]}", fault=fault)
        layers += [layer for layer, _ in mine]
        others += [*rest, row | {"output_error": finite(error), "output_allowed": allowed}]
    return layers, others


def _of_module(
    fmt: Ort, group: str, path: str, module: nn.Module, file: Path, told: dict[str, Any], device: str
) -> tuple[list[tuple[LayerAudit, stored.Weight]], list[dict[str, Any]]]:
    """The layers of one file with what it holds of each, and the rows of its other parameters."""
    try:
        held, rest = stored.weights(file)
    except (LookupError, ValueError) as misfit:
        raise UserError(f"{file} does not hold weights as ONNX Runtime writes them ({reason(misfit)}).") from None
    used_by, kernel = _kernels(file, device), f"onnxruntime {ort.__version__}, {sessions.providers(device)[0]}"
    layers, others = [], []
    for name, value, twin in _parameters(module):
        full, one = f"{path}.{name}", held.pop(name, None)
        if one is None:
            others.append(_row(full, group, UNUSED if twin is None else f"the very values of {path}.{twin}"))
            continue
        operators = f"{'/'.join(sorted(used_by.get(name, {'constant'})))} ({kernel})"
        if one.scale is not None or (fmt.how is None and value.dim() > 1):
            layers.append((_layer(fmt, group, full, value, one, operators), one))
            continue
        size = {"dimensions": value.dim(), "parameters": value.numel(), "bytes": one.bytes, "storage": one.storage}
        fault = None if _same(one.values, value) else "differs from the original"
        others.append(_row(full, group, operators, fault=fault, **size))
    strange = "is a weight that the original does not have"
    others += [_row(f"{path}.{name}", group, kernel, fault=strange) for name in held]
    others.append(_row(f"{path} (constants)", group, kernel, bytes=rest, storage="constants"))
    if fmt.how and not layers:
        others.append(_row(path, group, kernel, fault=f"holds no weight in int8 where {fmt.name} was asked for"))
    return layers, others


def _parameters(module: nn.Module) -> Iterator[tuple[str, torch.Tensor, str | None]]:
    """The module's parameters by name, and of those that equal an earlier one (the file holds one for all) its name."""
    seen: dict[Any, str] = {}
    for name, value in module.named_parameters():
        key = exporting.content(value)
        yield name, value.detach(), seen.get(key)
        seen.setdefault(key, name)


def _kernels(file: Path, device: str) -> dict[str, set[str]]:
    """The operators that use each weight, in the graph that ONNX Runtime really runs."""
    found: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as place:
        ran = Path(place) / "ran.onnx"
        sessions.open_session(file, device, 1, ran)
        for name, operator in stored.kernels(ran):
            own = name.removesuffix(stored.CODES).removesuffix(exporting.TRANSPOSED)
            found.setdefault(own, set()).add(operator)
    return found


def _layer(fmt: Ort, group: str, path: str, exact: torch.Tensor, one: stored.Weight, kernel: str) -> LayerAudit:
    found = relative = promised = allowed = fault = None
    if one.scale is None:
        found = fmt.name if fmt.how is None else one.storage
        fault = None if _same(one.values, exact) else "differs from the original"
    elif fmt.how is None or one.values.shape != exact.shape:
        found, fault = one.storage, f"is held as {one.storage} {tuple(one.values.shape)}, not {tuple(exact.shape)}"
    else:
        found, (scale, zero, low, high) = fmt.name, grid(exact, one.storage)
        nearest = ((exact / scale).round() + zero).clamp(low, high) - zero
        relative, promised = (exporting.relative(value, exact) for value in (one.values, nearest * scale))
        allowed = promised * (1 + ROUNDED) + ROUNDED / 100
        gaps, steps = (one.values - exact).abs(), scale * (0.5 if one.storage == "int8" else 1)
        if not torch.allclose(one.scale, scale, rtol=ROUNDED, atol=0):
            fault = "has other scales than its format gives these weights"
        elif not (gaps <= steps * (1 + ROUNDED) + exact.abs() * 1e-6).all():
            fault = f"holds weights that are up to {(gaps / scale).max():.2f} steps from the original's"
        elif not relative <= allowed:
            fault = f"has weights with a relative error of {relative:.4f}, where its format promises {promised:.4f}"
    return LayerAudit(
        path=path.removesuffix(".weight"), group=group, asked=fmt.name, found=found, storage=one.storage,
        kernel=kernel, parameters=exact.numel(), bytes=one.bytes, relative_error=finite(relative),
        promised_error=finite(promised), allowed_error=finite(allowed), fault=fault,
    )  # fmt: skip


def grid(exact: torch.Tensor, kind: str) -> tuple[torch.Tensor, torch.Tensor, int, int]:
    """Scales, zero points (out, 1), least and largest integer that ONNX Runtime's quantizer gives weights (out, in).

    int8 is symmetric about zero; uint8 reaches from each row's least to its largest weight, zero among them. As
    `compute_scale_zp` of onnxruntime.quantization.quant_utils has it.
    """
    if kind == "int8":
        scale = exact.abs().amax(1, keepdim=True) / 127
        zero, low, high = torch.zeros_like(scale), -127, 127
    else:
        least, largest = exact.amin(1, keepdim=True).clamp(max=0), exact.amax(1, keepdim=True).clamp(min=0)
        scale, low, high = (largest - least) / 255, 0, 255
    scale = torch.where(scale < torch.finfo(torch.float32).tiny, torch.ones_like(scale), scale)
    return scale, zero if kind == "int8" else (-least / scale).round(), low, high


def _output(
    fmt: Ort,
    module: nn.Module,
    path: str,
    layers: list[tuple[LayerAudit, stored.Weight]],
    calls: list[reaching.Call],
    file: Path,
    device: str,
) -> tuple[str | None, float, float]:
    """What is wrong with what a file returns, its largest relative error against the original, and what is allowed.

    `module` is the original in float32; its weights become the stored ones.
    """
    session = sessions.open_session(file, device, torch.get_num_threads())
    exact = [exporting.outputs_of(module, call, path) for call in calls]
    if fmt.how is not None:
        _round(module, path, layers)
    error = allowed = 0.0
    for call, right in zip(calls, exact, strict=True):
        try:
            made = sessions.run(session, list(call.tensors().values()))
        except sessions.FAILURES as failure:
            return f"cannot be run ({reason(failure)[:200]})", float("inf"), 0.0
        defined = right if fmt.how is None else exporting.outputs_of(module, call, path)
        for found, wanted, original in zip(made, defined, right, strict=True):
            here = exporting.relative(found, original)
            most = min(exporting.CLOSE + MARGIN * exporting.relative(wanted, original), WORTHLESS)
            if not here <= most:
                fault = f"returns what is {here:.2e} from the original's, where rounding explains {most:.2e}"
                return fault, here, most
            error, allowed = max(error, here), max(allowed, most)
    return None, error, allowed


def _round(module: nn.Module, path: str, layers: list[tuple[LayerAudit, stored.Weight]]) -> None:
    """Have a module compute as its format is defined: with the stored weights, and inputs that are rounded."""
    alike: dict[Any, stored.Weight] = {}
    for layer, one in layers:
        name = layer.path.removeprefix(f"{path}.").removeprefix(path)
        inner = module.get_submodule(name) if isinstance(_at(module, name), nn.Module) else None
        value = inner.weight if inner is not None else module.get_parameter(name)
        alike[exporting.content(value)] = one
    for inner in module.modules():
        for name, value in list(inner.named_parameters(recurse=False)):
            one = alike.get(exporting.content(value)) if value.dim() == 2 else None
            if one is None:
                continue
            value.data = one.values.clone()
            if isinstance(inner, nn.Linear) and name == "weight":
                inner.register_forward_pre_hook(lambda _, given, how=one.rounding: (how.applied(given[0]), *given[1:]))


def _at(module: nn.Module, name: str) -> Any:
    for part in filter(None, name.split(".")):
        module = getattr(module, part)
    return module


def _same(found: torch.Tensor, exact: torch.Tensor) -> bool:
    """Whether a file holds these very values, in whatever shape."""
    return found.numel() == exact.numel() and exporting.content(found) == exporting.content(exact)


def _row(path: str, group: str, kernel: str, fault: str | None = None, **more: Any) -> dict[str, Any]:
    nothing = {"storage": "", "dimensions": 0, "parameters": 0, "bytes": 0}
    return {"path": path, "group": group, "kernel": kernel, **nothing, **more, "fault": fault}
