"""Checkpoints: a model whose module groups are held in the formats of a precision, on disk and back.

`transformers` takes one quantization method for a whole model and finds the layers to spare by matching names, which
has gone wrong without a word. Here every linear layer is replaced one by one, by its full path, so that any mixture of
formats can be made, and the checkpoint lists for each layer what was done to it.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from bitbudget import files, records
from bitbudget.errors import UserError, reason
from bitbudget.models import read_weights, readers
from bitbudget.models.calibration import quantizing
from bitbudget.models.families import parts
from bitbudget.models.formats.base import Calibration, FormatSpec, Layer, State
from bitbudget.models.groups import group_of
from bitbudget.registry import format_of
from bitbudget.system import verified

log = logging.getLogger("bitbudget")

MANIFEST, SNAPSHOT = "checkpoint.json", "model.json"  # the records of a checkpoint, and of a snapshot
WEIGHTS = "weights-"  # how the names of weight files begin
SHARD_BYTES = 5 * 10**9
MISFITS = (LookupError, ValueError, TypeError, RuntimeError, AttributeError, AssertionError)  # of libraries
NOT_COPIED = (SNAPSHOT, "config.json")  # and what the checkpoint writes itself


def load_original(folder: Path, family: ModuleType, dtype: str) -> nn.Module:
    """The model as its snapshot holds it, in this dtype, on the CPU, ready for inference.

    Raises `UserError` where the snapshot lacks weights, which transformers would draw at random, or is not what was
    fetched any more.
    """
    verified.hold_folder(folder, SNAPSHOT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, report = family.model_class().from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True, output_loading_info=True
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise UserError(
            f"{folder} lacks {_weights(missing)} of the model that its config.json describes: "
            "fetch it again, or name another revision."
        )
    return model.eval().requires_grad_(False)


def _weights(names: list[str]) -> str:
    """How many weights these are, and the first by its name."""
    return f"{len(names)} weights ({names[0]}, ...)" if len(names) > 1 else f"1 weight ({names[0]})"


def linear_layers(model: nn.Module, family: ModuleType, assignment: dict[str, FormatSpec]) -> Iterator[Layer]:
    """Every linear layer of an original model, with its group and the group's format.

    Those whose owner reads their matrix instead of calling them (`nn.MultiheadAttention`'s, Mamba's), or that multiply
    in a way of their own, cannot be replaced; they stay among the other parameters.
    """
    groups = parts.groups(family, model)
    for owner_path, owner in model.named_modules():
        for name, module in owner.named_children():
            if not isinstance(module, nn.Linear) or isinstance(module, NonDynamicallyQuantizableLinear):
                continue
            if type(module).forward is nn.Linear.forward and name not in read_weights.of(type(owner)):
                path = f"{owner_path}.{name}".lstrip(".")
                group = group_of(path, groups)
                if group in assignment:  # a language model may have a tower, which a text does not need
                    yield Layer(path, module, group, assignment[group])


def replace(model: nn.Module, path: str, new: nn.Module) -> None:
    """Put `new` in the place of the module at this path."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)


def quantize(
    model: nn.Module,
    family: ModuleType,
    assignment: dict[str, FormatSpec],
    device: str,
    calibration: Calibration | None = None,
) -> tuple[dict[str, FormatSpec], dict[str, torch.Tensor]]:
    """Quantize a model: the layers of calibrated formats all at once, then the others one by one; `model` is used up.

    Returns the specification of every quantized layer by its path, and all tensors of the checkpoint by name.
    Raises `UserError` that names the layers a format cannot take, before any work is done, and where a format needs
    items to calibrate on and there are none.
    """
    chosen = [la for la in linear_layers(model, family, assignment) if not format_of(la.spec["format"]).is_float]
    _refuse_impossible(chosen, device, model.dtype)
    ready = _calibrated(chosen, calibration, model.dtype, device)
    _untie_head(model, {la.path for la in chosen})
    tensors: dict[str, torch.Tensor] = {}
    for layer in chosen:
        state = ready.pop(layer.path, None)
        if state is None:
            fmt = format_of(layer.spec["format"])
            state = fmt.state(fmt.quantize(layer.module.to(device), layer.spec))
        tensors |= {f"{layer.path}.{key}": value.detach().cpu().contiguous() for key, value in state.items()}
        replace(model, layer.path, nn.Identity())  # frees the original's memory, and leaves the rest to be listed
    for name, value in model.named_parameters():
        tensors[name] = value.detach().contiguous()
    kept = model.state_dict().keys()  # persistent buffers only; the others are made anew with the model
    tensors |= {name: value.detach().contiguous() for name, value in model.named_buffers() if name in kept}
    return {la.path: la.spec for la in chosen}, tensors


def _calibrated(
    layers: list[Layer], calibration: Calibration | None, dtype: torch.dtype, device: str
) -> dict[str, State]:
    """What a checkpoint stores for the layers of calibrated formats, which share a pass over the model."""
    mine = [layer for layer in layers if format_of(layer.spec["format"]).calibrated]
    if not mine:
        return {}
    if calibration is None:
        raise UserError(f"{mine[0].spec['format']} needs items to calibrate on: name them with --calibration.")
    return quantizing.quantize(mine, calibration, dtype, device)


def _refuse_impossible(layers: list[Layer], device: str, dtype: torch.dtype) -> None:
    _refuse_unusable([layer.spec for layer in layers], device, dtype)
    for name in dict.fromkeys(layer.spec["format"] for layer in layers):
        needed = format_of(name).least_capability
        if device == "cuda" and torch.cuda.get_device_capability() < needed:
            raise UserError(
                f"{name} has no kernel for this GPU ({torch.cuda.get_device_name()}), which would have to be of "
                f"compute capability {needed[0]}.{needed[1]} or later; set `device: cpu` in the study, or leave "
                f"{name} out."
            )
    for layer in layers:
        shape = layer.module.in_features, layer.module.out_features
        reason = format_of(layer.spec["format"]).refusal(*shape, layer.spec, device)
        if reason:
            raise UserError(
                f"{layer.spec['format']} cannot take {layer.path} (group {layer.group}): {reason}; "
                "choose another group size or another format for this group in config/precisions.yaml or in the study."
            )


def _refuse_unusable(specs: Iterable[FormatSpec], device: str, dtype: torch.dtype) -> None:
    """Raise `UserError` for the first format that runs on no kernel of this machine."""
    distinct = {files.hash_of(spec): spec for spec in specs}
    for spec in distinct.values():
        reason = format_of(spec["format"]).unusable(spec, device, dtype)
        if reason:
            raise UserError(f"{spec['format']} cannot be used on this machine's {device}: {reason}.")


def _untie_head(model: nn.Module, quantized: set[str]) -> None:
    """A head that shares its matrix with the embeddings gets its own when it is quantized; they keep theirs."""
    head = model.get_output_embeddings()
    if head is not None and head.weight is model.get_input_embeddings().weight:
        path = next(path for path, module in model.named_modules() if module is head)
        if path in quantized:
            head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
            # some configurations take over what their text part says
            for config in (model.config, model.config.get_text_config()):
                config.tie_word_embeddings = False


def save(
    folder: Path, source: Path, model_config: Any, tensors: dict[str, torch.Tensor], layers: dict[str, FormatSpec]
) -> dict[str, Any]:
    """Write a checkpoint that loads without the original, and return what its manifest says of it.

    The manifest is written by the caller, last: a folder without one is not a checkpoint. Weight files hold 5 GB at
    most. `checkpoint_hash` covers weights, layers, configuration, and the processor's files.
    """
    with files.naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        for left in [*folder.glob(f"{WEIGHTS}*"), *folder.glob(f".{WEIGHTS}*")]:  # by an attempt that was cut off
            left.unlink()
        for path in sorted(source.iterdir()):
            if path.name not in NOT_COPIED and _is_copied(path.name):
                shutil.copyfile(path, folder / path.name)
        model_config.save_pretrained(folder)
    shards: list[dict[str, torch.Tensor]] = [{}]
    room = SHARD_BYTES
    for name, tensor in sorted(tensors.items()):
        if shards[-1] and tensor.nbytes > room:
            shards.append({})
            room = SHARD_BYTES
        shards[-1][name] = tensor
        room -= tensor.nbytes
    for number, shard in enumerate(shards, start=1):
        with files.written_whole(folder / f"{WEIGHTS}{number:05d}.safetensors") as temporary:
            save_file(shard, temporary)
    files.flush_all(folder)
    return described(folder, layers)


def described(folder: Path, layers: dict[str, FormatSpec]) -> dict[str, Any]:
    """What the manifest says of the files of a checkpoint as they are now, with these layers quantized."""
    weights = {path.name: _facts(path) for path in sorted(folder.glob(f"{WEIGHTS}*.safetensors"))}
    return {
        "files": weights,
        "copied": {name: _facts(folder / name) for name in _copied(folder)},
        "size_on_disk_bytes": sum(f["bytes"] for f in weights.values()),
        "layers": layers,
        "checkpoint_hash": _hash(folder, weights, layers),
    }


def _facts(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": files.sha256_of(path)}


def _is_copied(name: str) -> bool:
    return Path(name).suffix in (".json", ".txt", ".model", ".jinja") and "index.json" not in name


def _copied(folder: Path) -> list[str]:
    """The files of a checkpoint that are a copy of the snapshot's: the processor's."""
    names = sorted(path.name for path in folder.iterdir())
    return [name for name in names if _is_copied(name) and name not in (*NOT_COPIED, MANIFEST)]


def other_copies(folder: Path, source: Path) -> list[str]:
    """The names of the copied files of a checkpoint that are not those of the snapshot `source`, or missing."""
    wanted = {path.name for path in source.iterdir() if path.name not in NOT_COPIED and _is_copied(path.name)}
    return sorted(
        name
        for name in wanted | set(_copied(folder))
        if not all((one / name).is_file() for one in (folder, source))
        or files.sha256_of(folder / name) != files.sha256_of(source / name)
    )


def _hash(folder: Path, weights: dict[str, Any], layers: dict[str, FormatSpec]) -> str:
    """The hash that covers a checkpoint: its weights (as its manifest has them), layers, configuration and copies."""
    config = files.read_json(folder / "config.json")
    if isinstance(config, dict):  # as it is in every checkpoint that is not damaged
        config = {k: v for k, v in config.items() if k[:1] != "_"}
    copied = {name: files.sha256_of(folder / name) for name in _copied(folder)}
    return files.hash_of({"files": weights, "layers": layers, "config": config, "copied": copied})


def _hold(folder: Path, made: dict[str, Any]) -> None:
    """Raise `UserError` where a checkpoint is not what it was when its manifest was written."""
    remedy = f"delete {folder} and run the same command again, which makes the checkpoint anew"
    for name, facts in (made.get("copied", {}) | made["files"]).items():  # earlier manifests list no copies
        verified.hold(folder / name, facts, remedy)
    if _hash(folder, made["files"], made["layers"]) != made["checkpoint_hash"]:
        raise UserError(
            f"{folder} has changed since it was made ({MANIFEST}, config.json, or a file that was added): {remedy}."
        )


def manifest(folder: Path) -> dict[str, Any]:
    """The record of a checkpoint. Raises `UserError` where the folder holds none, or a damaged one."""
    path = folder / MANIFEST
    if not path.exists():
        raise UserError(f"{folder} is not a whole checkpoint ({MANIFEST} is missing): delete it and make it again.")
    return records.read(path, ("files", "layers", "dtype", "device", "checkpoint_hash"))


def load(folder: Path, family: ModuleType, device: str) -> nn.Module:
    """Load a checkpoint for inference, without the original model.

    Raises `UserError` where its files are missing, cut off or changed, or do not hold exactly what the model needs.
    """
    from accelerate import init_empty_weights
    from transformers.initialization import no_init_weights

    from bitbudget.models.ready import loading

    made = manifest(folder)
    if "ready" in made:
        return loading.load(folder, made, family, device)
    _hold(folder, made)
    for name in {spec["format"] for spec in made["layers"].values()}:
        if format_of(name).device_bound and made["device"] != device:
            raise UserError(
                f"{folder} holds {name} as it was packed for {made['device']}, which {device} cannot read: "
                "delete it and make it again here."
            )
    config = readers.load_configuration(folder)
    dtype = getattr(torch, made["dtype"])
    _refuse_unusable(made["layers"].values(), device, dtype)
    # Parameters have shapes only, buffers are real: what is not in the checkpoint (rotary frequencies) is made here.
    with no_init_weights(), init_empty_weights(include_buffers=False):
        model = family.model_class().from_config(config, dtype=dtype)
    tensors = _read_weights(folder, made)
    for path, spec in made["layers"].items():
        prefix = f"{path}."
        state = {key.removeprefix(prefix): tensors.pop(key) for key in list(tensors) if key.startswith(prefix)}
        if not state:
            raise UserError(f"{folder} lacks the weights of {path}: delete the checkpoint and make it again.")
        try:
            replace(model, path, format_of(spec["format"]).restore(model.get_submodule(path), state, spec, device))
        except MISFITS as misfit:
            raise UserError(
                f"{folder} does not hold {path} as {spec['format']} stores it ({reason(misfit)}): "
                "delete the checkpoint and make it again."
            ) from None
    for name in list(tensors):
        if not _set_tensor(model, name, tensors.pop(name), device):
            raise UserError(
                f"{folder} holds {name}, which the model does not have in this shape: "
                "delete the checkpoint and make it again."
            )
    model.tie_weights()
    empty = [name for name, p in model.named_parameters() if p.is_meta]
    if empty:
        raise UserError(f"{folder} lacks {_weights(empty)}: delete the checkpoint and make it again.")
    for name, buffer in model.named_buffers():
        if buffer.device.type != device:
            _set_tensor(model, name, buffer, device)
    readers.keep_ends(folder, model)
    return model.eval().requires_grad_(False)


def stored_state(folder: Path, path: str) -> State:
    """The tensors that a checkpoint stores for the layer at this path, by their names below it."""
    prefix, found = f"{path}.", {}
    for name in sorted(folder.glob(f"{WEIGHTS}*.safetensors")):  # the record would be read and checked for each layer
        with safe_open(name, framework="pt") as file:
            found |= {key.removeprefix(prefix): file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118
    return found


def _read_weights(folder: Path, made: dict[str, Any]) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for name in made["files"]:
        try:
            tensors |= load_file(folder / name)
        except SafetensorError as fault:
            raise UserError(
                f"{folder / name} is damaged ({reason(fault)}): delete {folder} and make the checkpoint again."
            ) from None
    return tensors


def _set_tensor(model: nn.Module, name: str, value: torch.Tensor, device: str) -> bool:
    """Put a parameter or buffer in its place; False where the model has no place of this name and shape."""
    parent, _, leaf = name.rpartition(".")
    try:
        module = model.get_submodule(parent)
    except AttributeError:
        return False
    places = module._parameters if leaf in module._parameters else module._buffers
    if places.get(leaf) is None or places[leaf].shape != value.shape:
        return False
    value = value.to(device)
    places[leaf] = nn.Parameter(value, requires_grad=False) if places is module._parameters else value
    return True
