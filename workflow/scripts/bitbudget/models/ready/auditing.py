"""What a ready checkpoint holds, as far as that can be told without having made it.

Of every linear layer of the original: what the checkpoint's tensors stand for, worked out in plain torch; how far that
is from the original's weights, beside what rounding to the nearest value at these bits and groups would do; and whether
the kernel that runs here multiplies with it. A checkpoint of other shapes, or with a kernel that computes something
else, is refused. Weights that are strangers to the original's are told: a rotation of the weights (QuaRot, SpinQuant)
looks the same and keeps the function, and the study's own quality tells the two apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from bitbudget.errors import UserError, reason
from bitbudget.models import checkpoint, readers
from bitbudget.models.audit import checkpoint_audit, kernel_probe
from bitbudget.models.audit.audited import LayerAudit, by_group, finite
from bitbudget.models.families import parts
from bitbudget.models.formats import gptq_kernels, grid
from bitbudget.models.formats.base import Format, Held, Layer
from bitbudget.models.formats.ready import AsIs
from bitbudget.models.groups import Groups, group_of
from bitbudget.models.ready import comparing
from bitbudget.models.ready.decoding import Stored, decode
from bitbudget.models.ready.stored import StoredTensors

REMEDY = "compare it as a model of its own, in config/models.yaml"
CRASHES = (RuntimeError, AssertionError, ValueError, TypeError)  # of kernels on tensors that do not fit
NO_SETTINGS = ("dtype", "torch_dtype", "transformers_version", "architectures", "quantization_config", "use_cache")
FAR = 2.0  # times the distance of rounding to nearest from which a layer is remarked on
NEAR_16_BITS = 2.0**-8  # a layer stored in fewer bits of float is not another layer
NAMED = 3  # layers that a remark names


def audit(
    folder: Path, model: nn.Module, source: Path, family: ModuleType, made: Mapping[str, Any], device: str
) -> dict[str, Any]:
    """Groups, layers, other parameters and remarks of a loaded checkpoint, for its record.

    `source` is the snapshot of the original, `made` the checkpoint's manifest. Raises `UserError` where the checkpoint
    is not of this model, or cannot be run as it is stored.
    """
    with torch.device("meta"):
        skeleton = family.model_class().from_config(readers.load_configuration(source))
    mine, theirs = (_Weights(StoredTensors(place, skeleton), skeleton) for place in (folder, source))
    quantization = made["ready"]["quantization_config"] or {}
    places = parts.groups(family, skeleton)
    assignment = {group: {"format": AsIs.name} for group in places}
    asked = list(checkpoint.linear_layers(skeleton, family, assignment))
    elsewhere = frozenset(_address(value) for _, value in _outside(model, [layer.path for layer in asked]))
    found = [_audited(layer, model, mine, theirs, quantization, elsewhere, device, made) for layer in asked]
    layers = [one.layer for one in found]
    others = _other_parameters(model, theirs, places, [layer.path for layer in asked])
    groups = by_group(layers, others)
    for name, group in groups.items():
        group["coverage"] = _coverage(name, found, others)
    return {
        "groups": groups,
        "layers": layers,
        "other_parameters": others,
        "remarks": [
            origin(made["ready"]),
            *made["ready"]["remarks"],
            *remarks(found, others),
            *_settings(model.config, source),
            *_activations(quantization),
        ],
    }


@dataclass(frozen=True)
class Found:
    """A layer, and its distance from the original's; None for one that keeps the original's weights as they were."""

    layer: LayerAudit
    distance: comparing.Distance | None
    quantized: bool


class _Weights:
    """Stored tensors by layer; a head that is tied to the embeddings has theirs."""

    def __init__(self, tensors: StoredTensors, skeleton: nn.Module):
        self.parameter, self._tensors = tensors.parameter, tensors
        head, embeddings = skeleton.get_output_embeddings(), skeleton.get_input_embeddings()
        paths = {id(module): path for path, module in skeleton.named_modules()}
        self._tied = {paths[id(head)]: paths[id(embeddings)]} if head is not None else {}

    def state(self, path: str) -> dict[str, torch.Tensor]:
        return self._tensors.state(path) or self._tensors.state(self._tied.get(path, path))


def _audited(
    layer: Layer,
    model: nn.Module,
    mine: _Weights,
    theirs: _Weights,
    quantization: Mapping[str, Any],
    elsewhere: frozenset[int],
    device: str,
    made: Mapping[str, Any],
) -> Found:
    name, path, shape = made["ready"]["checkpoint"], layer.path, (layer.module.out_features, layer.module.in_features)
    try:
        module = model.get_submodule(path)
    except AttributeError:
        raise UserError(f"{name} has no layer {path}, so it is no checkpoint of this model: {REMEDY}.") from None
    held_shape = (getattr(module, "out_features", shape[0]), getattr(module, "in_features", shape[1]))
    vocabulary = module is model.get_output_embeddings()
    if held_shape != shape and not (vocabulary and held_shape[1] == shape[1]):
        raise UserError(
            f"{path} of {name} is {' x '.join(map(str, held_shape))}, and the model's is "
            f"{' x '.join(map(str, shape))}, so it is no checkpoint of this model: {REMEDY}."
        )
    try:  # some kernels put their tensors into an order and a dtype of their own when they first run
        with torch.no_grad():
            module(torch.zeros(1, shape[1], dtype=getattr(torch, made["dtype"]), device=device))
    except CRASHES as crash:
        raise UserError(f"{path} of {name} cannot be used here: its kernel fails on it ({reason(crash)}).") from None
    exact = decode(theirs.state(path), shape, {})
    try:
        held = decode(mine.state(path), held_shape, quantization) or _subclass(module)
    except (LookupError, ValueError, RuntimeError) as misfit:
        raise UserError(f"{path} of {name} does not hold the tensors of its method ({reason(misfit)}).") from None
    quantized = held is None or held.rounded is not None
    kernel_error = None if held is None else _kernel_error(module, held, made, device, path)
    distance = yardstick = None
    if exact is not None and held is None:
        distance = comparing.Distance(_probed(module, exact.weights, made, device))
    elif exact is not None:
        rows = min(shape[0], held_shape[0])
        pair = held.weights[:rows], exact.weights[:rows]
        if quantized:
            yardstick = comparing.relative_distance(held.rounded(exact.weights), exact.weights)
            distance = comparing.distance(*pair, yardstick)
        elif (apart := comparing.relative_distance(*pair)) > NEAR_16_BITS:
            distance = comparing.Distance(apart)
    tied = type(getattr(module, "weight", None)) is nn.Parameter and _address(module.weight) in elsewhere
    dtype = _largest(module).dtype
    storage = held.storage if held else f"as {made['ready']['method']} stores it"
    if quantized and dtype.is_floating_point and dtype.itemsize > 1:
        storage = f"{str(dtype).removeprefix('torch.')} in memory, made of {storage} when it is loaded"
    audited = LayerAudit(
        path=path,
        group=layer.group,
        asked=AsIs.name,
        found=held.format if held else str(made["ready"]["method"]),
        storage=storage,
        kernel=f"{type(module).__module__}.{type(module).__name__}",
        parameters=0 if tied else held_shape[0] * held_shape[1],
        bytes=checkpoint_audit.bytes_of(module, elsewhere),
        relative_error=None if distance is None else finite(distance.relative),
        promised_error=yardstick,
        allowed_error=None,
        kernel_error=finite(kernel_error),
        fault=None,
    )
    return Found(audited, distance, quantized)


def _subclass(module: nn.Module) -> Stored | None:
    """What a weight that is a tensor subclass of torchao's stands for, as it says itself."""
    weight = getattr(module, "weight", None)
    if not hasattr(weight, "__tensor_flatten__"):
        return None
    kind = type(weight).__name__
    bits = next((bits for bits in (8, 4) if f"int{bits}" in kind.lower()), None)
    size = weight.block_size[-1] % module.in_features if hasattr(weight, "block_size") else 0
    rounded = None if bits is None else lambda exact: grid.symmetric(exact, bits, size).nearest(exact)
    name = kind if bits is None else f"torchao-int{bits}"
    return Stored(weight.dequantize().detach().float().cpu(), name, f"torchao's {kind}", rounded)


class _Kernel(Format):
    """A kernel as `kernel_probe` asks for it, whose coarsest dtype is known from its tensors."""

    def __init__(self, unit: float):
        self._unit = unit

    def unit(self, dtype: torch.dtype, options: dict[str, Any]) -> float:
        return self._unit


def _kernel_error(module: nn.Module, held: Stored, made: Mapping[str, Any], device: str, path: str) -> float | None:
    """How far the kernel's sums are from those of the stored weights; None where it rounds its inputs by fixed scales.

    Raises `UserError` where rounding does not explain it.
    """
    if held.rounded is None or getattr(module, "input_scale", None) is not None:
        return None
    dtype = getattr(torch, made["dtype"])
    units = {torch.finfo(t.dtype).eps / 2 for t in (torch.empty(0, dtype=dtype), *_floats(module))}
    if held.format == "bnb-int8":
        units.add(2.0**-11)  # activations pass through float16
    if held.format.startswith(("bnb-nf4", "bnb-fp4", "awq")) or _activations(made["ready"]["quantization_config"]):
        units.add(2.0**-8)  # bfloat16, or 8 bits
    weights = held.weights
    if "torch_int8" in type(module).__module__:
        weights = gptq_kernels.as_multiplied(Held(weights, None), "torch-int8").weights()
    error, most = kernel_probe.kernel_error(module, Held(weights, None), _Kernel(max(units)), {}, dtype, device)
    if not error <= most:
        raise UserError(
            f"{path} of {made['ready']['checkpoint']} is multiplied here by {type(module).__name__}, whose sums are "
            f"off by {error:.4f} from those of the stored weights, where rounding explains {most:.4f}: leave this "
            "precision out, or run it where another kernel runs it."
        )
    return error


def _floats(module: nn.Module) -> list[torch.Tensor]:
    return [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point() and t.dtype.itemsize > 1]


def _probed(module: nn.Module, exact: torch.Tensor, made: Mapping[str, Any], device: str) -> float:
    """The relative distance of weights that only their kernel knows, from what it makes of random signs."""
    signs = torch.randint(0, 2, (kernel_probe.PROBES, exact.shape[1]), generator=torch.Generator().manual_seed(0))
    signs = (2 * signs - 1).to(getattr(torch, made["dtype"]))
    with torch.no_grad():
        found = module(signs.to(device)).cpu().float()
    if getattr(module, "bias", None) is not None:
        found = found - module.bias.detach().cpu().float()
    return comparing.relative_distance(found, signs.float() @ exact.T)


def _largest(module: nn.Module) -> torch.Tensor:
    return max((*module.parameters(), *module.buffers()), key=lambda tensor: tensor.numel() * tensor.dtype.itemsize)


def _other_parameters(model: nn.Module, theirs: _Weights, places: Groups, below: list[str]) -> list[dict[str, Any]]:
    """Every parameter outside the linear layers, with its distance from the original's where there is one."""
    rows = []
    for name, value in _outside(model, below):
        exact, plain = theirs.parameter(name), value.detach().cpu()
        distance = None
        if exact is not None and exact.shape[1:] == plain.shape[1:]:
            count = min(len(exact), len(plain)) if plain.dim() else 1
            pair = [one.float().reshape(-1, 1) if one.dim() < 2 else one.float() for one in (plain, exact)]
            distance = comparing.relative_distance(*(one[:count] for one in pair))
        rows.append(
            {
                "path": name,
                "group": group_of(name, places),
                "storage": str(value.dtype).removeprefix("torch."),
                "kernel": type(model.get_submodule(name.rpartition(".")[0])).__name__,
                "dimensions": value.dim(),
                "parameters": value.numel(),
                "bytes": value.nbytes,
                "relative_error": finite(distance),
                "fault": None,
            }
        )
    return rows


def _outside(model: nn.Module, below: list[str]) -> list[tuple[str, nn.Parameter]]:
    prefixes = tuple(f"{path}." for path in below)
    return [(name, value) for name, value in model.named_parameters() if not name.startswith(prefixes)]


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _coverage(group: str, found: list[Found], others: list[dict[str, Any]]) -> float | None:
    """The share of a group's weights that are quantized; None where none is."""
    mine = [one for one in found if one.layer.group == group]
    held = sum(one.layer.parameters for one in mine if one.quantized)
    rest = sum(o["parameters"] for o in others if o["group"] == group and o["dimensions"] > 1)
    total = sum(one.layer.parameters for one in mine) + rest
    return held / total if held else None


def origin(ready: Mapping[str, Any]) -> str:
    """Where a ready checkpoint comes from and how it was quantized, in a clause."""
    commit = f" at {ready['revision'][:8]}" if ready["source"].startswith("https:") else ""
    how = f"quantized by {ready['method']}" if ready["method"] else "not quantized"
    return f"ready checkpoint {ready['checkpoint']}{commit}, {how}"


def remarks(found: list[Found], others: list[dict[str, Any]]) -> list[str]:
    """What stands out, in clauses."""
    quantized = [one for one in found if one.quantized]
    left = [one.layer.path for one in found if not one.quantized]
    strange = [one.layer.path for one in found if one.distance and one.distance.strange]
    scaled = [one.layer.path for one in found if one.distance and one.distance.scaled]
    far = [
        one.layer.path
        for one in quantized
        if one.layer.promised_error and FAR * one.layer.promised_error < one.distance.relative <= comparing.STRANGE
    ]
    moved = [one for one in found if not one.quantized and one.distance]
    changed = [other for other in others if (other["relative_error"] or 0) > NEAR_16_BITS]
    told = []
    if quantized and left:
        told.append(f"{_named(left, 'linear layer')} not quantized")
    if strange:
        told.append(
            f"the weights of {_named(strange, 'linear layer', verb=False)} have nothing in common with the original's: "
            "they were rotated on purpose, or are of another model"
        )
    if scaled:
        told.append(
            f"the weights of {_named(scaled, 'linear layer', verb=False)} were scaled along rows and columns, as AWQ "
            "and SmoothQuant do; these factors are taken out of their distances from the original's"
        )
    if far:
        told.append(
            f"{_named(far, 'linear layer')} more than {FAR:g} times as far from the original's weights as rounding to "
            "the nearest value would be"
        )
    if moved and not strange:
        most = max(one.distance.relative for one in moved)
        names = [one.layer.path for one in moved]
        told.append(f"{_named(names, 'linear layer')} other than the original's (relative distance up to {most:.2g})")
    if changed:
        most = max(other["relative_error"] for other in changed)
        names = [other["path"] for other in changed]
        told.append(f"{_named(names, 'other parameter')} not the original's (relative distance up to {most:.2g})")
    return told


def _named(paths: list[str], what: str, verb: bool = True) -> str:
    shown = ", ".join(paths[:NAMED]) + (", …" if len(paths) > NAMED else "")
    are = (" is" if len(paths) == 1 else " are") if verb else ""
    return f"{len(paths)} {what}{'s' * (len(paths) != 1)} ({shown}){are}"


def _settings(config: Any, source: Path) -> list[str]:
    """Settings of the configuration that are not the original's, in one clause."""
    mine, theirs = (_flat(one.to_dict()) for one in (config, readers.load_configuration(source)))
    told = [
        f"{key} is {mine.get(key)!r} and not {theirs.get(key)!r}"
        for key in sorted(mine.keys() & theirs.keys())
        if mine[key] != theirs[key]
    ]
    return [f"its configuration differs: {'; '.join(told[:NAMED])}"] if told else []


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for key, value in ((str(key), value) for key, value in config.items()):
        if key.startswith("_") or key.endswith("_token_id") or key in NO_SETTINGS:
            continue
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _activations(quantization: Mapping[str, Any] | None) -> list[str]:
    """That inputs of layers are rounded too, in a clause; empty where weights alone are."""
    groups = (quantization or {}).get("config_groups") or {}
    kinds = {
        f"{group['input_activations'].get('type', 'int')}{group['input_activations'].get('num_bits')}"
        for group in groups.values()
        if isinstance(group, dict) and group.get("input_activations")
    }
    return [f"what goes into its layers is rounded to {', '.join(sorted(kinds))} as well"] if kinds else []
