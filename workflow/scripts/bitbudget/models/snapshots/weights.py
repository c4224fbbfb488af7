"""Whether a snapshot's weights are those of the model that its config.json describes, and are numbers."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from bitbudget import contracts
from bitbudget.errors import UserError, reason
from bitbudget.models.snapshots.small_files import AGAIN

NUMBER = re.compile(r"\.\d+(?=\.)")
HEADS = ("lm_head.weight", "embed_out.weight")
EMBEDDINGS = ("embed_tokens.weight", "embed_in.weight")


def check(folder: Path, family: ModuleType) -> list[str]:
    """Hold the weights against the model. Returns the names of those that it has no use for, such as a training head.

    Raises `UserError` for weights that are missing, of another shape or type, not finite, or of a part that the model
    would have if config.json were right: a layer too many, a bias where it says that there is none.
    """
    import torch

    for path in sorted(folder.glob("pytorch_model*.bin")):
        _check_pickle(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, report = family.model_class().from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, device_map="meta",
                output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
    except ImportError as fault:
        if "timm" in str(fault) and contracts.of(family, "detector"):
            return []  # export_detector says so, and may have another environment
        raise UserError(f"the model in {folder} needs a package that is missing: {reason(fault)}.") from None
    except Exception as fault:  # whatever the class of some model type raises for a value of some type
        raise UserError(
            f"transformers cannot build a model of config.json and weights in {folder} ({reason(fault)}): {AGAIN}."
        ) from None
    _refuse(folder, sorted(report["missing_keys"]), "lacks {} of the model that its config.json describes")
    wrong = sorted(f"{name}: {_shape(held)}, not {_shape(asked)}" for name, held, asked in report["mismatched_keys"])
    _refuse(folder, wrong, "holds {} of another shape than its config.json describes")
    surplus = sorted(report["unexpected_keys"])
    _refuse(folder, _wanted(model, surplus), "holds {} of parts that its config.json leaves out")
    if report["error_msgs"]:
        raise UserError(f"the weights in {folder} cannot be read ({report['error_msgs'][0]}): {AGAIN}.")
    _check_values(folder, {name.rpartition(".")[2] for name, _ in model.named_parameters()})
    _check_tying(folder, model)
    return surplus


def _refuse(folder: Path, names: list[str], what: str) -> None:
    if names:
        number = f"{len(names)} weight{'s' * (len(names) != 1)}"
        more = ", ..." if len(names) > 1 else ""
        raise UserError(
            f"{folder} {what.format(number)} ({names[0]}{more}): config.json and weights are not of one model; {AGAIN}."
        )


def _shape(size: Any) -> str:
    return " x ".join(map(str, size)) or "one number"


def _wanted(model: Any, surplus: list[str]) -> list[str]:
    """Those of the model's surplus weights that belong to it: of a layer beyond its last, or inside one of its layers.

    A module's buffers (rotary frequencies, position numbers) are made anew and may be stored; whole modules that the
    model lacks (a vision tower's classification head) are left out by design.
    """
    known = {NUMBER.sub(".*", name) for name, _ in model.named_parameters(remove_duplicate=False)}
    leaves = {
        path: set(module._buffers)
        for path, module in model.named_modules()
        if path and module._parameters and not list(module.children())
    }

    def inside(name: str) -> bool:
        parts = name.split(".")
        owners = (".".join(parts[:k]) for k in range(1, len(parts)))
        return any(path in leaves and parts[path.count(".") + 1] not in leaves[path] for path in owners)

    return [name for name in surplus if NUMBER.sub(".*", name) in known or inside(name)]


def _check_pickle(path: Path) -> None:
    """Check that a file of pickled weights holds tensors and nothing that runs."""
    import torch

    try:
        torch.load(path, map_location="meta", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} holds Python objects that could run code, and not tensors alone: convert it to safetensors where "
            "you trust it, or name a repository that has them."
        ) from None
    except Exception as fault:
        raise UserError(f"{path} cannot be read as weights ({reason(fault)}): {AGAIN}.") from None


def _tensors(folder: Path) -> Iterator[tuple[Path, str, Callable[[], Any]]]:
    """Every stored tensor: its file, its name, and what reads it."""
    import torch
    from safetensors import safe_open

    stored = sorted(folder.glob("*.safetensors"))
    for path in stored:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield path, name, partial(file.get_tensor, name)
    for path in [] if stored else sorted(folder.glob("pytorch_model*.bin")):
        for name, tensor in torch.load(path, map_location="cpu", weights_only=True, mmap=True).items():
            yield path, name, partial(torch.Tensor.detach, tensor)


def _check_values(folder: Path, leaves: set[str]) -> None:
    """Check that weights are floating-point numbers, and finite. Buffers, such as masks, may be anything."""
    import torch

    for path, name, read in _tensors(folder):
        if name.rpartition(".")[2] not in leaves:
            continue
        tensor = read()
        if name.endswith(".bias") and tensor.dim() > 1:
            continue  # a causal mask, as GPT-NeoX's older files have it
        if not tensor.dtype.is_floating_point or tensor.dtype.itemsize == 1:
            raise UserError(
                f"{path} holds {name} as {str(tensor.dtype).removeprefix('torch.')}, so the model is quantized "
                "already: name the original model in 16 or 32 bits here, and this one as a precision of a study, as "
                "{name: …, checkpoint: …}."
            )
        # a sum is several times as fast, and is not finite where a value is not
        if not tensor.sum(dtype=torch.float32).isfinite() and not tensor.isfinite().all():
            raise UserError(f"{path} holds values in {name} that are not finite (NaN or infinity): {AGAIN}.")


def _check_tying(folder: Path, model: Any) -> None:
    """Check that a head that config.json ties to the embeddings is not stored as another matrix."""
    tied = model.get_expanded_tied_weights_keys(all_submodels=True)  # by config.json alone, whatever was loaded
    if not any(name.endswith(HEADS) for name in tied):
        return
    matrices = [read() for _, name, read in _tensors(folder) if name.endswith((*HEADS, *EMBEDDINGS))]
    if len(matrices) == 2 and not matrices[0].equal(matrices[1]):
        raise UserError(
            f"{folder / 'config.json'} ties the head to the embeddings, and the weights hold another matrix for it: "
            "set tie_word_embeddings to false there, or take the original model."
        )
