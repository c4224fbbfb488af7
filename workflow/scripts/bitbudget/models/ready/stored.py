"""The tensors in a folder's weight files, by the paths of the modules of the model that transformers builds of them.

Files may name modules otherwise than the model does; transformers' own table of names is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

# What a layer's tensors are called, below its path, by the methods that transformers loads.
OF_LAYER = re.compile(
    r"(?P<path>.+?)\.(?P<leaf>(weight(_packed|_scale|_scale_inv|_shape|_zero_point|_g_idx|_format|_global_scale)?"
    r"(\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..+))?)"
    r"|bias|qweight|qzeros|scales|g_idx|SCB|_weight_\w+|(input|output)_(scale|zero_point|global_scale))"
)


class StoredTensors:
    """What the weight files of a folder hold; a tensor is read when it is asked for, and not kept."""

    def __init__(self, folder: Path, model: nn.Module):
        """`model` is one of the same configuration, which may be on the meta device."""
        self._layers: dict[str, dict[str, Callable[[], torch.Tensor]]] = {}
        rename = _renaming(model)
        for name, read in _readers(folder):
            found = OF_LAYER.fullmatch(name)
            path, leaf = (found["path"], found["leaf"]) if found else name.rpartition(".")[::2]
            self._layers.setdefault(rename(f"{path}.weight").removesuffix(".weight"), {})[leaf] = read

    def state(self, path: str) -> dict[str, torch.Tensor]:
        """The tensors of the module at this path, by their names below it; empty where none are stored under it."""
        return {leaf: read() for leaf, read in self._layers.get(path, {}).items()}

    def parameter(self, name: str) -> torch.Tensor | None:
        """The parameter of this name; None where none is stored under it, as of one that is tied to another."""
        path, _, leaf = name.rpartition(".")
        read = self._layers.get(path, {}).get(leaf)
        return None if read is None else read()


def _renaming(model: nn.Module) -> Callable[[str], str]:
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightRenaming, rename_source_key

    found = get_model_conversion_mapping(model)
    renamings = [one for one in found if isinstance(one, WeightRenaming)]
    converters = [one for one in found if not isinstance(one, WeightRenaming)]
    known = dict.fromkeys(model.state_dict(), True)
    return lambda name: rename_source_key(name, renamings, converters, model.base_model_prefix, known)[0]


def _readers(folder: Path) -> list[tuple[str, Callable[[], torch.Tensor]]]:
    """Every stored tensor's name, and what reads it."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        return [
            (name, partial(torch.Tensor.detach, tensor))
            for path in sorted(folder.glob("pytorch_model*.bin"))
            for name, tensor in torch.load(path, map_location="cpu", weights_only=True, mmap=True).items()
        ]
    found = []
    for path in paths:
        with safe_open(path, framework="pt") as file:
            found += [(name, partial(_tensor, path, name)) for name in file.keys()]  # noqa: SIM118
    return found


def _tensor(path: Path, name: str) -> torch.Tensor:
    with safe_open(path, framework="pt") as file:
        return file.get_tensor(name)
