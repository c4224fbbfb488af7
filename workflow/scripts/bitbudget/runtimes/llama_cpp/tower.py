"""Vision tower and projector of a torch model, with their work done by llama.cpp.

transformers cuts a picture into tiles, as ever. In the tower's place stands what makes pixels of each tile again and
has llama.cpp encode them, projection included; what it gives goes through the projector's place as it is. So prompts
have the tokens and image tokens that they have in transformers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from bitbudget.errors import UserError, reason
from bitbudget.models.families import parts
from bitbudget.models.groups import PROJECTOR, VISION
from bitbudget.models.streaming import Streamed
from bitbudget.runtimes import stand_in
from bitbudget.runtimes.llama_cpp import reached
from bitbudget.runtimes.llama_cpp.decoder import Picture
from bitbudget.runtimes.llama_cpp.mtmd import Encoder
from bitbudget.runtimes.stand_in import StandIn

REMEDY = "give vision another format"
# The most by which embeddings of a picture may differ: a table of GELU and inputs rounded to 16 bits leave .001 to .01,
# and 8-bit weights and inputs .01 to .05.
FLOATS, QUANTIZED = 0.05, 0.1


class Tower(StandIn):
    """The tower: tiles (tiles, 3, height, width) in, embeddings (tiles, tokens, width) out.

    `told` has the `size` of a tile, and the `mean` and `std` by which a processor normalises its pixels.
    """

    def __init__(self, path: Path, told: dict[str, Any], shell: nn.Module, width: int, dtype: torch.dtype, device: str):
        super().__init__(shell, dtype, device)
        self.path, self.width, self.size, self._encoder = path, width, told["size"], None
        # by which transformers sees where the model is, and in which dtype, where all other weights are elsewhere
        self.place = nn.Parameter(torch.empty(0, dtype=dtype, device=device), requires_grad=False)
        self._mean, self._std = (np.asarray(told[key]).reshape(-1, 1, 1) for key in ("mean", "std"))

    def forward(self, pixel_values: torch.Tensor, **more: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        shape, masks = tuple(pixel_values.shape[1:]), [one for one in more.values() if isinstance(one, torch.Tensor)]
        if shape != (3, self.size, self.size) or not all(bool(one.all()) for one in masks):
            raise UserError(
                f"{self.path.name} encodes tiles of {self.size} x {self.size} pixels without a margin, and this one is "
                f"of {' x '.join(map(str, shape[1:]))}: {REMEDY}."
            )
        found = np.stack([self.encoder().encode(tile) for tile in self._pixels(pixel_values)])
        return BaseModelOutputWithPooling(last_hidden_state=torch.from_numpy(found).to(self._device, self._dtype))

    def encoder(self) -> Encoder:
        """The file, opened for as many threads as torch has now."""
        threads = torch.get_num_threads()
        if self._encoder is None or self._encoder.threads != threads:
            if self._encoder is not None:
                self._encoder.close()
            self._encoder = Encoder(self.path, self.width, threads, self._device.type)
        return self._encoder

    def _pixels(self, values: torch.Tensor) -> np.ndarray:
        """The bytes (tiles, height, width, 3) that were normalised to these values."""
        pixels = (values.float().cpu().numpy() * self._std + self._mean) * 255
        return pixels.round().clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


class Through(StandIn):
    """The projector: what the tower gives is projected already."""

    def forward(self, given: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return given


def put(path: Path, told: dict[str, Any], model: nn.Module, family: ModuleType, device: str) -> nn.Module:
    """The model with tower and projector in this file.

    Raises `UserError` where it has not one of each.
    """
    tower, projector = (model.get_submodule(one) for one in places(model, family))
    width = model.config.get_text_config().hidden_size
    stand_in.put(Tower(path, told, tower, width, model.dtype, device), tower, model)
    stand_in.put(Through(projector, model.dtype, device), projector, model)
    return model


def places(model: nn.Module, family: ModuleType) -> tuple[str, str]:
    """The paths of a model's tower and of its projector."""
    groups = parts.groups(family, model)
    found = [groups.get(group, ()) for group in (VISION, PROJECTOR)]
    if [len(one) for one in found] != [1, 1]:
        raise UserError(
            f"llama.cpp encodes the pictures of a model with one vision tower and one projector, and those of type "
            f"{model.config.model_type} have {len(found[0])} and {len(found[1])} modules of them: {REMEDY}."
        )
    return found[0][0], found[1][0]


def error(path: Path, told: dict[str, Any], original: Streamed, family: ModuleType, source: Path, device: str) -> float:
    """The relative error of the embeddings that this file makes of one small picture, to those of the original.

    Raises `UserError` where it does not make as many of them.
    """
    with reached.trying(original, family, source) as (model, inputs):
        exact = _embeddings(model, inputs)
        with _in_place(path, told, model, family, device):
            try:
                found = _embeddings(model, inputs)
            except (RuntimeError, ValueError) as fault:  # of other numbers of embeddings and of image tokens
                raise UserError(
                    f"llama.cpp does not encode pictures as a model of type {model.config.model_type} does "
                    f"({reason(fault)}): {REMEDY}."
                ) from None
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def allowed(types: tuple[str, ...]) -> float:
    """The most that `error` may be of a file of these types."""
    return FLOATS if set(types) <= {"F16", "BF16"} else QUANTIZED


def too_far(error: float, most: float) -> str:
    """What is wrong with a file of such an error, in a clause."""
    return f"gives embeddings of a picture that are off by {error:.2f} from the original's, where {most} is right"


def _embeddings(model: nn.Module, inputs: dict[str, Any]) -> np.ndarray:
    prompts = reached.runs(model, inputs)
    return np.concatenate([run.embeddings for prompt in prompts for run in prompt if isinstance(run, Picture)])


@contextlib.contextmanager
def _in_place(path: Path, told: dict[str, Any], model: nn.Module, family: ModuleType, device: str) -> Iterator[None]:
    """Have a model's tower and projector in a file for a while."""
    here = places(model, family)
    before = [model.get_submodule(one) for one in here]
    put(path, told, model, family, device)
    try:
        yield
    finally:
        for place, module in zip(here, before, strict=True):
            stand_in.put(module, model.get_submodule(place), model)
