"""The audit: what a loaded checkpoint really holds, against what its precision asked for.

Three questions are put to every linear layer of the original, and none is answered from names or from the manifest:

1. *Which format is it?* Each registered format says from the layer's class and tensors whether it is its own.
2. *What do its tensors stand for?* Their integers and scales are unpacked in plain torch, by the format's definition.
3. *Is that what the format promises?* Formats that round to nearest are held to their definition weight by weight
   (`rounding`), those that are calibrated to what they optimise (`calibrated`).

A fourth question is put to the kernel: *does it multiply with these weights?* (`kernel_probe`).

What is held in a float format, layers, all other parameters and buffers, must equal the original bit for bit.

Loaded model and original may be skeletons, into which weights come one layer at a time: `hold` brings those of a layer
at a path, or the parameter of a name, into both as long as they are looked at.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from bitbudget.errors import UserError, reason
from bitbudget.models import checkpoint
from bitbudget.models.audit import calibrated, kernel_probe
from bitbudget.models.audit import rounding as rounding_audit
from bitbudget.models.audit.audited import LayerAudit, by_group, faults_in_one_sentence, finite, refuse_faults
from bitbudget.models.checkpoint import linear_layers
from bitbudget.models.families import parts
from bitbudget.models.formats.base import Format, FormatSpec, Held, Layer, State
from bitbudget.models.groups import group_of
from bitbudget.registry import FORMATS, format_of

__all__ = ["LayerAudit", "by_group", "faults_in_one_sentence", "refuse_faults"]

Hold = Callable[[str], AbstractContextManager[None]]

UNKNOWN = "unknown"
CRASHES = (RuntimeError, AssertionError, ValueError, TypeError)  # of kernels on tensors that do not fit
# Settings of a configuration that may differ: a quantized head is no longer tied, and versions are no answers.
HOW_IT_IS_HELD = ("dtype", "torch_dtype", "transformers_version", "tie_word_embeddings", "architectures")


def recognise(layer: nn.Module) -> str:
    """The name of the format that a loaded layer really holds, or `unknown`.

    Raises `UserError` where two formats say of one layer that it is theirs: nothing could be concluded then.
    """
    mine = [name for name in FORMATS if format_of(name).recognises(layer)]
    if len(mine) > 1:
        raise UserError(
            f"the formats {' and '.join(mine)} both take a {type(layer).__name__} for their own: `recognises` of one "
            "of them has to tell it from the other."
        )
    return mine[0] if mine else UNKNOWN


def bytes_of(module: nn.Module, elsewhere: frozenset[int] = frozenset()) -> int:
    """Bytes that a layer's weights, scales and bias take in memory, each storage once.

    `elsewhere` are the addresses of storages that count in another place.
    """
    return sum(t.nbytes for t in _plain_tensors(module) if _address(t) not in elsewhere)


def _address(tensor: torch.Tensor) -> int:
    if tensor.is_mkldnn:  # oneDNN's own order, without a storage to be seen
        return id(tensor)
    return tensor.untyped_storage().data_ptr()


def _plain_tensors(module: nn.Module) -> list[torch.Tensor]:
    """Every plain tensor a module holds, one for each storage.

    Those inside tensor subclasses and bitsandbytes' states are among them, and those that GPTQModel's kernels keep as
    plain attributes: what they unpacked once, or packed in an order of their own.
    """
    found: dict[int, torch.Tensor] = {}
    for part in module.modules():
        values = [value for name, value in vars(part).items() if name not in ("_parameters", "_buffers", "_modules")]
        for value in (*part._parameters.values(), *part._buffers.values()):
            state = getattr(value, "quant_state", None)
            values += [value, *(getattr(scales, "absmax", None) for scales in (state, getattr(state, "state2", None)))]
            values += [getattr(value, name, None) for name in ("CB", "SCB")]
        values += [getattr(getattr(part, "state", None), name, None) for name in ("CB", "SCB")]
        for value in values:
            _collect(value, found)
    return list(found.values())


def _collect(value: Any, found: dict[int, torch.Tensor]) -> None:
    """Add the plain tensors in a value by the address of their storage."""
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            _collect(inner, found)
    elif hasattr(value, "__tensor_flatten__"):
        for name in value.__tensor_flatten__()[0]:
            _collect(getattr(value, name), found)
    elif isinstance(value, torch.Tensor) and value.numel():
        found.setdefault(_address(value), value)


@dataclass
class Weights:
    """What was found of a quantized layer's weights: relative Frobenius errors, and the fault in words."""

    relative: float | None = None
    promised: float | None = None
    allowed: float | None = None
    kernel: float | None = None
    fault: str | None = None


def audit_layer(
    layer: Layer,
    original: nn.Linear,
    device: str,
    tied: bool = False,
    state: Callable[[], State] | None = None,
    decided: str | None = None,
) -> LayerAudit:
    """Audit one layer against its original, whose dtype is the one that the layer computes in.

    `tied`: whether its matrix is another module's and counts there. For calibrated formats `state` reads what the
    checkpoint stores for the layer; `decided`: see `calibrated_audit.fault_of`.
    """
    asked, exact = layer.spec["format"], original.weight.detach()
    tied = tied and type(getattr(layer.module, "weight", None)) is nn.Parameter
    found = recognise(layer.module)
    fmt = format_of(found if found != UNKNOWN else asked)
    weights = Weights()
    if found != asked:
        weights.fault = f"holds {found} where {asked} was asked for"
    elif fmt.is_float:
        if not _same_bits(layer.module.weight, exact):
            weights.fault = f"holds {asked} as was asked, but other weights than the original"
        elif not _same_bits(layer.module.bias, original.bias):
            weights.fault = f"holds {asked} as was asked, but another bias than the original"
    else:
        weights = _audit_weights(layer, fmt, exact, device, state, decided)
        weights.fault = weights.fault or _bias_fault(layer.module, original, fmt.unit(exact.dtype, layer.spec), device)
    return LayerAudit(
        path=layer.path,
        group=layer.group,
        asked=asked,
        found=found,
        storage=fmt.storage(layer.module) if found != UNKNOWN else str(layer.module.weight.dtype),
        kernel=fmt.kernel(layer.module) if found != UNKNOWN else type(layer.module).__name__,
        parameters=0 if tied else exact.numel(),
        bytes=bytes_of(layer.module, frozenset([_address(layer.module.weight)]) if tied else frozenset()),
        relative_error=finite(weights.relative),
        promised_error=weights.promised,
        allowed_error=weights.allowed,
        kernel_error=finite(weights.kernel),
        fault=weights.fault,
    )


def _audit_weights(
    layer: Layer,
    fmt: Format,
    exact: torch.Tensor,
    device: str,
    state: Callable[[], State] | None,
    decided: str | None,
) -> Weights:
    """What a quantized layer's tensors stand for against the original, and its kernel against these."""
    found = Weights()
    try:
        held = _held(fmt.state(layer.module), fmt, layer.spec, exact)
        if fmt.calibrated:
            loaded, held = held, _held(state(), fmt, layer.spec, exact)
            if loaded is not None and not _alike(loaded, held, fmt.unit(exact.dtype, layer.spec)):
                found.fault = "was loaded with other integers, scales or zero points than the checkpoint stores"
                return found
    except (LookupError, ValueError, RuntimeError) as misfit:
        found.fault = f"does not hold the tensors of a {fmt.name} layer of its shape ({reason(misfit)})"
        return found
    rounding = rounding_audit.compare(held, exact, fmt, layer.spec, fmt.freedom(exact.dtype, device))
    found.relative, found.promised = rounding.relative_error, rounding.promised_error
    found.allowed = found.promised
    if fmt.rounds_to_nearest:
        found.fault = rounding_audit.fault_of(rounding, fmt)
        if fmt.calibrated:
            found.fault = found.fault or calibrated.other_decision(held, fmt, decided)
    else:
        found.allowed = None
        found.fault = calibrated.fault_of(held, exact, fmt, layer.spec, decided)
    if found.fault:
        return found
    try:
        multiplied = fmt.multiplied(held, layer.spec)
        found.kernel, most = kernel_probe.kernel_error(layer.module, multiplied, fmt, layer.spec, exact.dtype, device)
    except CRASHES as crash:
        found.fault = f"cannot be used, because its kernel fails on it ({reason(crash)})"
        return found
    if not found.kernel <= most:
        found.fault = (
            f"has a kernel whose sums are off by {found.kernel:.4f} from those of the weights that its tensors stand "
            f"for, where rounding explains {most:.4f}"
        )
    return found


def _held(state: State | None, fmt: Format, spec: FormatSpec, exact: torch.Tensor) -> Held | None:
    if state is None:
        return None
    shape = tuple(exact.shape)
    held = fmt.held(state, shape, spec)
    if tuple(held.codes.shape) != shape:
        raise ValueError(f"{' x '.join(map(str, held.codes.shape))} instead of {' x '.join(map(str, shape))}")
    return held


def _alike(loaded: Held, stored: Held, unit: float) -> bool:
    """Whether two hold the same, but for scales that were rounded to the model's dtype when they were loaded."""
    return (
        torch.equal(loaded.codes, stored.codes)
        and torch.equal(loaded.grid.zero, stored.grid.zero)
        and torch.allclose(loaded.grid.scale, stored.grid.scale, rtol=unit, atol=calibrated.HALF_STEP)
        and (stored.factors is None or torch.equal(loaded.factors, stored.factors))
    )


def _bias_fault(layer: nn.Module, original: nn.Linear, unit: float, device: str) -> str | None:
    """What is wrong with what a layer makes of an input of zeros: its bias, rounded to its kernel's dtype at most."""
    try:
        with torch.no_grad():
            zeros = torch.zeros(1, layer.in_features, dtype=original.weight.dtype, device=device)
            found = layer(zeros)[0].cpu().double()
    except CRASHES as crash:
        return f"cannot be used, because adding its bias fails ({reason(crash)})"
    wanted = torch.zeros_like(found) if original.bias is None else original.bias.detach().cpu().double()
    same = torch.allclose(found, wanted, rtol=unit, atol=0, equal_nan=True)
    return None if same else "adds another bias than the original"


def audit_layers(
    model: nn.Module,
    original: nn.Module,
    family: ModuleType,
    assignment: dict[str, FormatSpec],
    device: str,
    states: Callable[[str], State] | None = None,
    decided: Mapping[str, str] | None = None,
    inputs: Callable[[], Mapping[str, torch.Tensor]] | None = None,
    hold: Hold = nullcontext,
) -> list[LayerAudit]:
    """Audit every linear layer of the original where it stands in the loaded model.

    `assignment` gives every group's format as the study asks for it. For calibrated formats `states` reads what the
    checkpoint stores for the layer at a path, and `decided`, by path: see `calibrated_audit.fault_of`. Where nothing
    else is wrong, the outputs of calibrated layers are looked at too, on the `inputs` by path.
    """
    layers = list(linear_layers(original, family, assignment))
    found, elsewhere = [], {id(value) for _, value in _others(model, [layer.path for layer in layers])}
    for layer in checkpoint.gone_through(layers, "audit"):
        tied = id(getattr(model.get_submodule(layer.path), "weight", None)) in elsewhere
        with hold(layer.path):
            loaded = replace(layer, module=model.get_submodule(layer.path))
            state = functools.partial(states, layer.path) if states else None
            exact = original.get_submodule(layer.path)
            found.append(audit_layer(loaded, exact, device, tied, state, (decided or {}).get(layer.path)))
    if inputs is None or any(layer.fault for layer in found):
        return found
    seen = inputs()
    for number, layer in enumerate(layers):
        fmt = format_of(layer.spec["format"])
        if fmt.calibrated and layer.path in seen:
            with hold(layer.path):
                exact = layer.module.weight
                held = fmt.held(states(layer.path), tuple(exact.shape), layer.spec)
                fault = calibrated.output_fault_of(held, exact, seen[layer.path], fmt, layer.spec)
            if fault:
                found[number] = replace(found[number], fault=fault)
                break  # what comes after it sees wrong inputs
    return found


def other_parameters(
    model: nn.Module,
    original: nn.Module,
    family: ModuleType,
    layers: list[LayerAudit],
    hold: Hold = nullcontext,
    elsewhere: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Every parameter outside the linear layers (norms, embeddings, convolutions), held against the original.

    `original` is in the float format that was asked for; parameters `elsewhere` are none that torch runs. Group,
    storage type, bytes, and the fault or None.
    """
    rows, paths = [], [layer.path for layer in layers]
    there, groups = dict(_others(original, paths)).keys(), parts.groups(family, original)
    for name in (name for name, _ in _others(model, paths) if name not in elsewhere):
        with hold(name) if name in there else nullcontext():
            value = model.get_parameter(name)
            rows.append(
                {
                    "path": name,
                    "group": group_of(name, groups),
                    "storage": _dtype_name(value),
                    "kernel": type(model.get_submodule(name.rpartition(".")[0])).__name__,
                    "dimensions": value.dim(),
                    "parameters": value.numel(),
                    "bytes": value.nbytes,
                    "fault": _fault_of_float(value, original.get_parameter(name) if name in there else None),
                }
            )
    return rows


def _fault_of_float(value: torch.Tensor, exact: torch.Tensor | None) -> str | None:
    if exact is None:
        return "is a parameter that the original does not have"
    if value.dtype != exact.dtype:
        return f"holds {_dtype_name(value)} where {_dtype_name(exact)} was asked for"
    return None if _same_bits(value, exact) else "differs from the original"


def changed_elsewhere(model: nn.Module, original: nn.Module, layers: list[LayerAudit]) -> list[dict[str, Any]]:
    """What else decides on answers and is not the original's: buffers, settings of the configuration, what is missing.

    Rows as those of `other_parameters`, of faults alone.
    """
    below = tuple(f"{layer.path}." for layer in layers)
    found = {name: value for name, value in model.named_buffers() if not name.startswith(below)}
    held, wanted = (dict(_others(one, [layer.path for layer in layers])) for one in (model, original))
    faults = dict.fromkeys(wanted.keys() - held.keys(), "is a parameter of the original that is missing")
    for name, exact in original.named_buffers():
        if name.startswith(below):
            continue
        if name not in found or found[name].dtype != exact.dtype or not _same_bits(found[name], exact):
            faults[name] = "is a buffer that differs from the original's"
    mine, theirs = (_settings(one.config.to_dict()) for one in (model, original))
    for key in sorted(mine.keys() | theirs.keys()):
        if mine.get(key) != theirs.get(key):
            faults[f"config.{key}"] = f"is {mine.get(key)!r} where the original has {theirs.get(key)!r}"
    return _elsewhere(faults)


def changed_on_disk(
    folder: Path, source: Path, dtype: str, assignment: dict[str, FormatSpec], layers: list[LayerAudit]
) -> list[dict[str, Any]]:
    """What a checkpoint's files say otherwise than the study and the snapshot `source`.

    These are the float format, the options of each quantized layer, and the processor's and tokenizer's files. Rows as
    those of `other_parameters`, of faults alone.
    """
    made, faults = checkpoint.manifest(folder), {}
    if made["dtype"] != dtype:
        faults["the model"] = f"was made for {made['dtype']} where {dtype} was asked for"
    held = {group: one["spec"] for one in made.get("group_files", ()) for group in one["groups"]}
    for layer in layers:
        found = held.get(layer.group) if format_of(layer.asked).whole else made["layers"].get(layer.path)
        asked, found = assignment[layer.group], found or {}
        for key in () if layer.fault or format_of(layer.asked).is_float else asked:
            if found.get(key) != asked[key]:
                faults[layer.path] = f"was made with {key} {found.get(key)} where {asked[key]} was asked for"
    faults |= dict.fromkeys(checkpoint.other_copies(folder, source), "is not as the model's snapshot has it")
    return _elsewhere(faults)


def _elsewhere(faults: dict[str, str]) -> list[dict[str, Any]]:
    nothing = {"storage": "", "kernel": "", "parameters": 0, "bytes": 0}
    return [{"path": path, "group": "elsewhere", **nothing, "fault": fault} for path, fault in faults.items()]


def _settings(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings of a configuration by their dotted names, without those of how and by what it is held."""
    found = {}
    for key, value in config.items():
        if key in HOW_IT_IS_HELD or str(key).startswith("_"):
            continue
        found |= _settings(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _others(model: nn.Module, paths: list[str]) -> list[tuple[str, nn.Parameter]]:
    """The parameters that lie below none of these paths; one that modules share stands under its first name."""
    below = tuple(f"{path}." for path in paths)
    return [(name, value) for name, value in model.named_parameters() if not name.startswith(below)]


def _same_bits(found: torch.Tensor | None, exact: torch.Tensor | None) -> bool:
    """Whether two tensors of one dtype hold the same, also where that is not a number; or neither is there."""
    if found is None or exact is None or found.shape != exact.shape:
        return found is exact
    return torch.equal(*(t.detach().to(exact.device).reshape(-1).view(torch.uint8) for t in (found, exact)))


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
