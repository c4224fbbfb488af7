"""Checkpoints: a model whose module groups are held in the formats of a precision, on disk and back.

`transformers` takes one quantization method for a whole model and finds the layers to spare by matching names, which
has gone wrong without a word. Here every linear layer is replaced one by one, by its full path, so that any mixture of
formats can be made, and the checkpoint lists for each layer what was done to it.

A checkpoint stores what was quantized, and nothing that the snapshot of the original has: the rest is read from there
when it is loaded, in the float format of the precision. So the baseline is a reference to the snapshot. Layers are
quantized and stored one by one, and no more than one of the original's is in memory.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import logging
import os
import re
import shutil
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from tqdm import tqdm

from bitbudget import files, records
from bitbudget.errors import UserError, reason
from bitbudget.models import group_files, read_weights, readers
from bitbudget.models.audit.at_once import AUDITED
from bitbudget.models.calibration import quantizing
from bitbudget.models.families import parts
from bitbudget.models.formats.base import Calibration, FormatSpec, GroupFile, Layer, State
from bitbudget.models.groups import group_of
from bitbudget.models.streaming import Streamed, counted
from bitbudget.registry import format_of
from bitbudget.system import verified

log = logging.getLogger("bitbudget")

MANIFEST, SNAPSHOT = "checkpoint.json", "model.json"  # the records of a checkpoint, and of a snapshot
WEIGHTS = "weights-"  # how the names of weight files begin
SHARD_BYTES = 10**8  # so much waits in memory to be written, in pieces between which memory is lost
SWEPT = 10**9  # bytes of the original's weights, after which garbage is collected
MISFITS = (LookupError, ValueError, TypeError, RuntimeError, AttributeError, AssertionError)  # of libraries
NOT_COPIED = (SNAPSHOT, "config.json", AUDITED)  # and what the checkpoint writes itself
# The names of dtypes in safetensors' headers, in its order.
TYPES = {
    torch.uint8: "U8", torch.int8: "I8", torch.int16: "I16", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int32: "I32", torch.float32: "F32", torch.float64: "F64", torch.int64: "I64",
}  # fmt: skip


def original(folder: Path, family: ModuleType, dtype: str, device: str = "cpu") -> Streamed:
    """The model as its snapshot holds it, in this dtype, with its weights read when they are asked for.

    Raises `UserError` where the snapshot lacks weights, or is not what was fetched any more.
    """
    _hold_snapshot(folder)
    model = Streamed(folder, family.model_class(), getattr(torch, dtype), device)
    if (known := _recorded(folder)) is not None:
        for path in model.files:
            if path.name not in known:
                raise UserError(
                    f"{path} was not there when {folder} was fetched: move it elsewhere, or delete {folder} and run "
                    "the same command again."
                )
    return model


def load_original(folder: Path, family: ModuleType, dtype: str) -> nn.Module:
    """The model as its snapshot holds it, in this dtype, on the CPU, ready for inference.

    Raises `UserError` where the snapshot lacks weights, which transformers would draw at random, or is not what was
    fetched any more.
    """
    _hold_snapshot(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, report = family.model_class().from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True, output_loading_info=True
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise UserError(
            f"{folder} lacks {counted(missing)} of the model that its config.json describes: "
            "fetch it again, or name another revision."
        )
    return model.eval().requires_grad_(False)


def _hold_snapshot(folder: Path) -> None:
    verified.hold_folder(folder, SNAPSHOT)
    if not (folder / "config.json").is_file():  # transformers would ask the Hub for a model of this name
        raise UserError(f"{folder} holds no config.json: name the folder of a model that fetch_model.py fetched.")


def linear_layers(model: nn.Module, family: ModuleType, assignment: dict[str, FormatSpec]) -> Iterator[Layer]:
    """Every linear layer of an original model that torch runs, with its group and the group's format.

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
                # a language model may have a tower, which a text does not need
                if group in assignment and not format_of(assignment[group]["format"]).whole:
                    yield Layer(path, module, group, assignment[group])


def replace(model: nn.Module, path: str, new: nn.Module) -> None:
    """Put `new` in the place of the module at this path."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)


def quantize(
    model: Streamed,
    family: ModuleType,
    assignment: dict[str, FormatSpec],
    device: str,
    calibration: Calibration | None = None,
) -> tuple[dict[str, FormatSpec], Iterator[tuple[str, torch.Tensor]]]:
    """Quantize the layers of an original model: those of calibrated formats all at once, then the others one by one.

    Returns the specification of every quantized layer by its path, and the tensors that stand for them by name, which
    are made one layer after the other. Raises `UserError` that names the layers a format cannot take, before any work
    is done, and where a format needs items to calibrate on and there are none.
    """
    layers = linear_layers(model.model, family, assignment)
    chosen = [layer for layer in layers if not format_of(layer.spec["format"]).is_float]
    _refuse_impossible(chosen, device, model.model.dtype)
    at_once = [layer for layer in chosen if format_of(layer.spec["format"]).calibrated]
    biases = [name for layer in at_once for name in model.named(layer.path) if name.endswith(".bias")]
    with model.holding(biases):  # their matrices come with the whole model, which calibrating has to load
        ready = _calibrated(at_once, calibration, model.model.dtype, device)
    _untie_head(model.model, {layer.path for layer in chosen})
    return {layer.path: layer.spec for layer in chosen}, _one_by_one(model, chosen, ready, device)


def _one_by_one(
    model: Streamed, layers: list[Layer], ready: dict[str, State], device: str
) -> Iterator[tuple[str, torch.Tensor]]:
    for path, state in ready.items():
        yield from _named(path, state)
    for layer in gone_through([layer for layer in layers if layer.path not in ready], "quantize"):
        fmt = format_of(layer.spec["format"])
        with model.holding(model.named(layer.path)):
            state = fmt.state(fmt.quantize(layer.module.to(device), layer.spec))
        yield from _named(layer.path, state)


def _named(path: str, state: State) -> Iterator[tuple[str, torch.Tensor]]:
    yield from ((f"{path}.{key}", value.detach().cpu().contiguous()) for key, value in state.items())


def gone_through(layers: list[Layer], what: str) -> Iterator[Layer]:
    """Layers one after the other, with a bar of progress over the bytes of their weights.

    What was made of some is swept away now and then: bitsandbytes' 4-bit layers refer to themselves, and scripts have
    the garbage collector wait long.
    """
    total, waste = sum(layer.module.weight.nbytes for layer in layers), 0
    with tqdm(total=total, desc=what, unit="B", unit_scale=True, mininterval=1, disable=not layers) as bar:
        for layer in layers:
            size = layer.module.weight.nbytes
            yield layer
            bar.update(size)
            waste += size
            if waste > SWEPT:
                gc.collect()
                waste = 0


def _calibrated(
    layers: list[Layer], calibration: Calibration | None, dtype: torch.dtype, device: str
) -> dict[str, State]:
    """What a checkpoint stores for layers of calibrated formats, which share a pass over the model."""
    if not layers:
        return {}
    if calibration is None:
        raise UserError(f"{layers[0].spec['format']} needs items to calibrate on: name them with --calibration.")
    return quantizing.quantize(layers, calibration, dtype, device)


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
                "choose another group size or another format for this group in config/precisions.yaml or in the study, "
                "or leave the precision out."
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
            # some configurations take over what their text part says
            for config in (model.config, model.config.get_text_config()):
                config.tie_word_embeddings = False


def save(
    folder: Path,
    source: Path,
    model: Streamed,
    tensors: Iterable[tuple[str, torch.Tensor]],
    layers: dict[str, FormatSpec],
    wholes: Sequence[GroupFile] = (),
    elsewhere: Collection[str] = (),
) -> dict[str, Any]:
    """Write a checkpoint of the original `model` in `source`, and return what its manifest says of it.

    `wholes` are files that are there already, and `elsewhere` the names of the parameters that they hold.

    The manifest is written by the caller, last: a folder without one is not a checkpoint. `checkpoint_hash` covers
    weights, here and in the snapshot, layers, configuration, and the processor's files.
    """
    with files.naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in (MANIFEST, AUDITED):
            (folder / name).unlink(missing_ok=True)
        for left in [*folder.glob(f"{WEIGHTS}*"), *folder.glob(f".{WEIGHTS}*")]:  # by an attempt that was cut off
            left.unlink()
        for path in sorted(source.iterdir()):
            if path.name not in NOT_COPIED and _is_copied(path.name):
                shutil.copyfile(path, folder / path.name)
        model.model.config.save_pretrained(folder)
    try:
        kept = _kept(model.model, tuple(f"{path}." for path in layers))
        shapes = [*_write(folder, tensors), *((name, value) for name, value in kept if name not in elsewhere)]
    except OSError:  # a full disk gets its room back
        for left in folder.glob(f"{WEIGHTS}*"):
            left.unlink()
        raise
    files.flush_all(folder)
    snapshot = {"folder": os.path.relpath(source, folder), "files": _snapshot_files(source, model.files)}
    made = described(folder, layers, snapshot, wholes)
    size = sum(made["files"][name]["bytes"] for name in group_files.names(made))
    return made | {"size_on_disk_bytes": size + (file_bytes(shapes) if shapes else 0)}


def _write(folder: Path, tensors: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    """Write tensors into files of `SHARD_BYTES`; yields each by name, without its values, when it is written.

    Each stack of layers begins a file, so that its files are another precision's as well, whatever else that quantizes.
    """
    shard: dict[str, torch.Tensor] = {}
    number, stack = 0, ""

    def write() -> Iterator[tuple[str, torch.Tensor]]:
        nonlocal number
        number += 1
        with files.written_whole(folder / f"{WEIGHTS}{number:05d}.safetensors") as temporary:
            save_file(shard, temporary)
        yield from ((name, tensor.to("meta")) for name, tensor in shard.items())
        shard.clear()

    for name, tensor in tensors:
        full = sum(t.nbytes for t in shard.values()) + tensor.nbytes > SHARD_BYTES
        if shard and (full or _stack(name) != stack):
            yield from write()
        shard[name], stack = tensor, _stack(name)
    if shard:
        yield from write()


def _stack(name: str) -> str:
    """The stack that a layer belongs to: its path before the layer's number."""
    return re.split(r"\.\d+\.", name)[0]


def _kept(model: nn.Module, quantized: tuple[str, ...]) -> Iterator[tuple[str, torch.Tensor]]:
    """What a precision keeps of the original: parameters and persistent buffers, each once."""
    kept = model.state_dict().keys()
    found = [*model.named_parameters(), *((name, value) for name, value in model.named_buffers() if name in kept)]
    yield from ((name, value) for name, value in found if not name.startswith(quantized))


def file_bytes(tensors: Iterable[tuple[str, torch.Tensor]]) -> int:
    """The size of a safetensors file that holds these tensors, by name: the same for every way of storing them.

    Eight bytes, a header in JSON that is filled up to whole eights, and the tensors (safetensors' format.md).
    """
    order, end, header = list(TYPES), 0, {}
    for name, tensor in sorted(tensors, key=lambda one: (-order.index(one[1].dtype), one[0])):
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    length = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + length + -length % 8 + end


def _snapshot_files(source: Path, weights: list[Path]) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of the snapshot's files of weights, as its record has them, which was held to them."""
    known = _recorded(source)
    return {path.name: _facts(path) if known is None else known[path.name] for path in sorted(weights)}


def _recorded(source: Path) -> dict[str, dict[str, Any]] | None:
    """The files of a snapshot as its record has them; None where it has none."""
    return records.read(source / SNAPSHOT, ("files",))["files"] if (source / SNAPSHOT).exists() else None


def described(
    folder: Path, layers: dict[str, FormatSpec], snapshot: dict[str, Any], wholes: Sequence[GroupFile] = ()
) -> dict[str, Any]:
    """What the manifest says of the files of a checkpoint as they are now, with these layers quantized."""
    held = [*_weight_files(folder), *(folder / name for one in wholes for name in one.files)]
    made: dict[str, Any] = {"files": {path.name: _facts(path) for path in held}, "snapshot": snapshot, "layers": layers}
    if wholes:
        made["group_files"] = group_files.as_json(wholes)
    return made | {
        "copied": {name: _facts(folder / name) for name in _copied(folder)},
        "checkpoint_hash": _hash(folder, made),
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


def _hash(folder: Path, made: dict[str, Any]) -> str:
    """The hash that covers a checkpoint: its weights (as its manifest has them), layers, configuration and copies."""
    config = files.read_json(folder / "config.json")
    if isinstance(config, dict):  # as it is in every checkpoint that is not damaged
        config = {k: v for k, v in config.items() if k[:1] != "_"}
    copied = {name: files.sha256_of(folder / name) for name in _copied(folder)}
    weights = {"files": made["files"], "snapshot": made["snapshot"]["files"], "layers": made["layers"]}
    weights |= {key: made[key] for key in ("group_files",) if key in made}
    return files.hash_of(weights | {"config": config, "copied": copied})


def _hold(folder: Path, made: dict[str, Any]) -> None:
    """Raise `UserError` where a checkpoint, or the snapshot that it refers to, is not what it was when it was made."""
    remedy = f"delete {folder} and run the same command again, which makes the checkpoint anew"
    for name, facts in (made.get("copied", {}) | made["files"]).items():  # earlier manifests list no copies
        verified.hold(folder / name, facts, remedy)
    if _hash(folder, made) != made["checkpoint_hash"]:
        raise UserError(
            f"{folder} has changed since it was made ({MANIFEST}, config.json, or a file that was added): {remedy}."
        )
    source = _snapshot(folder, made)
    if not source.is_dir():
        raise UserError(f"{folder} needs the model's snapshot {source}, which is not there any more: {remedy}.")
    known = _recorded(source) or {}
    for name, facts in made["snapshot"]["files"].items():
        damaged = known.get(name) == facts  # else it was fetched anew, and is another
        verified.hold(source / name, facts, f"delete {source} and run the same command again" if damaged else remedy)


def _snapshot(folder: Path, made: dict[str, Any]) -> Path:
    """The snapshot that a checkpoint refers to, whose place is given relative to the checkpoint's."""
    return Path(os.path.normpath(folder / made["snapshot"]["folder"]))


def manifest(folder: Path) -> dict[str, Any]:
    """The record of a checkpoint. Raises `UserError` where the folder holds none, or a damaged one."""
    path = folder / MANIFEST
    if not path.exists():
        raise UserError(f"{folder} is not a whole checkpoint ({MANIFEST} is missing): delete it and make it again.")
    return records.read(path, ("files", "layers", "dtype", "device", "checkpoint_hash"))


def _of_somebody(made: dict[str, Any]) -> bool:
    """Whether a checkpoint is a ready one as a whole, and refers to no snapshot for what it does not hold."""
    return "ready" in made and "snapshot" not in made


class Opened:
    """A checkpoint as `load` loads it, of which only the layers that are asked for are in memory.

    Raises `UserError` where its files, or the snapshot's, are missing, cut off or changed, or do not hold exactly what
    the model needs.
    """

    def __init__(self, folder: Path, family: ModuleType, device: str):
        self.folder, self.device, self.made = folder, device, manifest(folder)
        layers = self.made["layers"]
        if _of_somebody(self.made):
            raise UserError(f"{folder} is a ready checkpoint: audit it with audit_ready.py.")
        if "snapshot" not in self.made:
            raise UserError(f"{folder} was made by an earlier version: delete it and run the same command again.")
        _hold(folder, self.made)
        for name in {spec["format"] for spec in layers.values()}:
            if format_of(name).device_bound and self.made["device"] != device:
                raise UserError(
                    f"{folder} holds {name} as it was packed for {self.made['device']}, which {device} cannot read: "
                    "delete it and make it again here."
                )
        config, dtype = readers.load_configuration(folder), getattr(torch, self.made["dtype"])
        _refuse_unusable(layers.values(), device, dtype)
        source = _snapshot(folder, self.made)
        self._weights = Streamed(source, family.model_class(), dtype, device, config, layers)
        self.model = self._weights.model
        self.wholes = group_files.read(self.made)
        self.elsewhere = group_files.parameters(self.wholes, self.model, family)
        if sorted(path.name for path in self._weights.files) != sorted(self.made["snapshot"]["files"]):
            raise UserError(f"{source} has other files of weights than when {folder} was made: delete {folder}.")
        below = tuple(f"{path}." for path in layers)
        for name in (name for file in _weight_files(folder) for name in _names_in(file)):
            if not (below and name.startswith(below)):
                raise UserError(
                    f"{folder} holds {name}, which is of no layer that was quantized: "
                    "delete the checkpoint and make it again."
                )

    def fill(self) -> None:
        """Bring everything into memory."""
        layers = self.made["layers"]
        below = tuple(f"{path}." for path in layers)
        names = [name for name, _ in self.model.named_parameters() if not (below and name.startswith(below))]
        self._weights.fill(name for name in names if name not in self.elsewhere)
        for path in layers:
            replace(self.model, path, self._restored(path))

    @contextlib.contextmanager
    def holding(self, path: str) -> Iterator[None]:
        """Have the layer at this path, or the parameter of this name, in its place as long as the block lasts."""
        if path in self.made["layers"]:
            shell = self.model.get_submodule(path)
            replace(self.model, path, self._restored(path))
            try:
                yield
            finally:
                replace(self.model, path, shell)
        else:
            with self._weights.holding(self._weights.named(path)):
                yield

    def _restored(self, path: str) -> nn.Module:
        """The quantized layer at this path, made of what is stored for it."""
        spec, state = self.made["layers"][path], stored_state(self.folder, path)
        if not state:
            raise UserError(f"{self.folder} lacks the weights of {path}: delete the checkpoint and make it again.")
        try:
            layer = format_of(spec["format"]).restore(self.model.get_submodule(path), state, spec, self.device)
        except MISFITS as misfit:
            raise UserError(
                f"{self.folder} does not hold {path} as {spec['format']} stores it ({reason(misfit)}): "
                "delete the checkpoint and make it again."
            ) from None
        return layer.eval().requires_grad_(False)


def load(folder: Path, family: ModuleType, device: str) -> nn.Module:
    """Load a checkpoint for inference. Raises `UserError` as `Opened` does."""
    from bitbudget.models.ready import loading

    made = manifest(folder)
    if _of_somebody(made):
        return loading.load(folder, made, family, device)
    opened = Opened(folder, family, device)
    opened.fill()
    readers.keep_ends(folder, opened.model)
    opened.model.eval().requires_grad_(False)
    return group_files.put(opened.wholes, opened.model, family, folder, device)


def stored_state(folder: Path, path: str) -> State:
    """The tensors that a checkpoint stores for the layer at this path, by their names below it."""
    prefix, found = f"{path}.", {}
    for file in _weight_files(folder):  # the record would be read and checked for each layer
        mine = [name for name in _names_in(file) if name.startswith(prefix)]
        if mine:
            with safe_open(file, framework="pt", backend="pread") as opened:
                found |= {name.removeprefix(prefix): opened.get_tensor(name) for name in mine}
    return found


def _weight_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{WEIGHTS}*.safetensors"))


def _names_in(path: Path) -> tuple[str, ...]:
    """The names of the tensors in a file of weights. Raises `UserError` where it is none."""
    try:
        return _names_at(path, path.stat().st_mtime_ns)
    except SafetensorError as fault:
        raise UserError(
            f"{path} is damaged ({reason(fault)}): delete {path.parent} and make the checkpoint again."
        ) from None


@functools.lru_cache(maxsize=256)
def _names_at(path: Path, changed: int) -> tuple[str, ...]:
    with safe_open(path, framework="pt") as file:
        return tuple(file.keys())
