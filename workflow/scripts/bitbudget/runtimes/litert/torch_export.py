"""Exporting a detector of transformers by LiteRT Torch, for one input size."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from bitbudget import contracts
from bitbudget.errors import UserError
from bitbudget.models import checkpoint
from bitbudget.runtimes.litert.silence import silenced

MODULE = re.compile(r"(\w+)\.(?:\w+\.)*[A-Z][A-Za-z0-9]*(?:_(\w+))?")  # package and class of a module, and its name
OURS = ("bitbudget", "litert_torch")  # packages of what is put around a model to export it


def load(source: Path, family: ModuleType) -> nn.Module:
    """The model of a snapshot, in float32. Raises `UserError` where weights are missing, or a library that it needs."""
    try:
        return checkpoint.load_original(source, family, "float32")
    except ImportError as fault:
        if "timm" not in str(fault):
            raise
        raise UserError(
            f"{source} has a backbone of the library timm, which is not installed: name a `branch` or `revision` in "
            "config/models.yaml whose backbone transformers builds itself (no_timm of facebook/detr-resnet-50 is one), "
            "or install timm."
        ) from None


def answer(model: nn.Module, family: ModuleType, given: dict[str, Any], pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What a model makes of an input in the form that `given` specifies, by the names of the outputs."""
    tensor = torch.from_numpy(pixels)
    with torch.no_grad():
        found = Detections(model, contracts.of(family, "PIXEL_MASK"))(
            tensor.permute(0, 3, 1, 2) if _channels_last(given) else tensor
        )
    return {name: value.numpy() for name, value in found.items()}


def write(model: nn.Module, family: ModuleType, given: dict[str, Any], out: Path) -> None:
    """Write the file of a model for the input that `given` specifies; `model` is used up."""
    wrapped = Detections(model, contracts.of(family, "PIXEL_MASK")).eval()
    sample = torch.zeros(1, 3, *given["size"])
    freeze(model, contracts.of(family, "FROZEN"), lambda: wrapped(sample))
    with silenced():
        import litert_torch

        if _channels_last(given):
            wrapped, sample = litert_torch.to_channel_last_io(wrapped, args=[0]), sample.permute(0, 2, 3, 1)
        litert_torch.convert(wrapped, (sample,)).export(str(out))
        shorten_names(out)


def _channels_last(given: dict[str, Any]) -> bool:
    return given["layout"] == "NHWC"


class Detections(nn.Module):
    """A detector that takes an image (1, 3, height, width) and gives nothing but `logits` and `boxes`, by query."""

    def __init__(self, model: nn.Module, pixel_mask: bool):
        super().__init__()
        self.model, self.pixel_mask = model, pixel_mask

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        mask = {"pixel_mask": torch.ones(1, *pixels.shape[2:], dtype=torch.long)} if self.pixel_mask else {}
        found = self.model(pixel_values=pixels, **mask)
        return {"logits": found.logits, "boxes": found.pred_boxes}


class Constant(nn.Module):
    """Gives what another module gave, whatever it is given."""

    def __init__(self, value: torch.Tensor):
        super().__init__()
        self.register_buffer("value", value.detach().clone())

    def forward(self, *_: Any, **__: Any) -> torch.Tensor:
        return self.value


def freeze(model: nn.Module, classes: tuple[str, ...], run: Callable[[], Any]) -> list[str]:
    """Put a constant in the place of every module of these classes that `run` calls; returns their paths.

    Such modules give the same for every image of one size: position embeddings, stretched to the size or worked out for
    it. Left in the graph they would be computed again for each image, and one computes in float64, which LiteRT does
    not have. A module that gives different things within one run is left as it is.
    """
    given: dict[str, list[torch.Tensor]] = {}
    hooks = [
        module.register_forward_hook(lambda _module, _args, value, path=path: given.setdefault(path, []).append(value))
        for path, module in model.named_modules()
        if type(module).__name__ in classes
    ]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    frozen = [path for path, values in given.items() if all(torch.equal(values[0], other) for other in values)]
    for path in frozen:
        checkpoint.replace(model, path, Constant(given[path][0]))
    return frozen


def shorten_names(path: Path) -> None:
    """Give the tensors of an exported file short names; inputs and outputs keep those that its signature gives them.

    LiteRT Torch names a tensor by all modules around it, each with package and class: in a small model of 8-bit weights
    that is every fifth byte, and would hide what a format saves.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    for graph in model.subgraphs:
        used: Counter[str] = Counter()
        for tensor in graph.tensors:
            name = short_name(tensor.name.decode())
            used[name] += 1
            tensor.name = (name if used[name] == 1 else f"{name};{used[name]}").encode()
    flatbuffer_utils.write_model(model, str(path))


def short_name(name: str) -> str:
    """The path in the model of the last module that a tensor's name names; a name without modules as it is."""
    parts = [MODULE.fullmatch(part) for part in name.rpartition(";;")[2].partition(";")[0].split("/")]
    if not all(parts):
        return name
    return ".".join(part[2] for part in parts if part[1] not in OURS and part[2])
