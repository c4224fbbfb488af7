"""From the crops of pictures to embeddings: the tower, 2 x 2 patches merged, separators between lines, a projector."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionModel

from bitbudget.models.native.phi3_v.configuration import Phi3VConfig

DEPTH = 4  # patches that are merged into one embedding


class Tower(CLIPVisionModel):
    """CLIP, of which what the layer `chosen` gives is used; the last one is run for nothing, as it always was."""

    def __init__(self, config: Any, chosen: int) -> None:
        super().__init__(config)
        self.chosen = chosen

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Patches (crops, positions, width) of crops (crops, 3, side, side), without the class token."""
        hidden = chosen = self.pre_layrnorm(self.embeddings(pixel_values))
        for number, layer in enumerate(self.encoder.layers, start=1):
            hidden = layer(hidden, None)
            chosen = hidden if number == self.chosen else chosen
        return chosen[:, 1:]


class Pictures(nn.Module):
    """What the files call `vision_embed_tokens`, with the names that its weights have there."""

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__()
        width = config.vision_config.hidden_size * DEPTH
        self.side, self.order = config.vision_config.image_size, config.order
        self.img_processor = nn.ModuleDict({"vision_model": Tower(config.vision_config, config.tower_layer)})
        self.glb_GN = nn.Parameter(torch.zeros(1, 1, width))
        self.sub_GN = nn.Parameter(torch.zeros(1, 1, 1, width))
        self.img_projection = nn.Sequential(
            nn.Linear(width, config.hidden_size), nn.GELU(), nn.Linear(config.hidden_size, config.hidden_size)
        )

    def forward(self, pixel_values: Tensor, image_sizes: Tensor) -> tuple[Tensor, ...]:
        """The embeddings of each picture, (its tokens, hidden size).

        `pixel_values` (crops, 3, side, side): of each picture the whole, then its crops line by line; `image_sizes`
        (pictures, 2): height and width that the crops of each make up, in pixels. Raises `ValueError` where these do
        not belong together.
        """
        grids = [(height // self.side, width // self.side) for height, width in image_sizes.tolist()]
        counts = [1 + rows * columns for rows, columns in grids]
        if sum(counts) != pixel_values.shape[0]:
            raise ValueError(f"image_sizes stand for {sum(counts)} crops, and there are {pixel_values.shape[0]}")
        merged = _merge(self.img_processor["vision_model"](pixel_values))
        found = [self._lines(crops, *grid) for crops, grid in zip(merged.split(counts), grids, strict=True)]
        return self.img_projection(torch.cat(found)).split([len(one) for one in found])

    def _lines(self, crops: Tensor, rows: int, columns: int) -> Tensor:
        """One picture's embeddings, (tokens, width), from (1 + rows x columns, lines, columns of a crop, width)."""
        whole, parts = crops[0], crops[1:].unflatten(0, (rows, columns))
        put = parts.transpose(1, 2).flatten(0, 1).flatten(1, 2)  # lines and columns of the picture, width
        first, second = (put, whole) if self.order == "sub_glb" else (whole, put)
        return torch.cat([self._ended(first), self.glb_GN[0], self._ended(second)])

    def _ended(self, grid: Tensor) -> Tensor:
        """A grid's lines (lines, columns, width) one after another, (tokens, width), each with its separator."""
        ends = self.sub_GN[0].expand(len(grid), 1, -1)
        return torch.cat([grid, ends], dim=1).flatten(0, 1)


def _merge(patches: Tensor) -> Tensor:
    """Neighbours 2 x 2 put into channels: (crops, side², width) to (crops, side / 2, side / 2, 4 x width)."""
    half = round(patches.shape[1] ** 0.5) // 2
    grid = patches.unflatten(1, (half, 2, half, 2))
    return grid.transpose(2, 3).flatten(3)
