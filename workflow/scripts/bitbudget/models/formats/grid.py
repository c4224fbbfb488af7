"""Grids: which values the weights of a group can take, in plain torch. Kernels and checkpoints are held against these.

A group is a run of weights of one row that share a scale. A grid belongs to a matrix (out, in): it says for each group
what its values are, and `nearest` rounds a matrix to them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch

# The sixteen NormalFloat values: quantiles of the standard normal distribution, scaled into [-1, 1].
# Dettmers et al. 2023 (QLoRA, arXiv 2305.14314), appendix E.
NF4 = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)


def grouped(weight: torch.Tensor, group_size: int) -> torch.Tensor:
    """(out, in) seen as (out, groups, group_size); 0 means one group a row.

    Rows that do not fill whole groups are taken as if zeros followed.
    """
    rows, columns = weight.shape
    size = group_size or columns
    padded = torch.nn.functional.pad(weight, (0, -columns % size))
    return padded.reshape(rows, -1, size)


def spread(of_groups: torch.Tensor, group_size: int, columns: int) -> torch.Tensor:
    """What holds for groups, (out, groups, 1), for each of their weights, (out, columns)."""
    return of_groups.expand(-1, -1, group_size or columns).reshape(len(of_groups), -1)[:, :columns]


class Grid(Protocol):
    """The values that the weights of each group can take.

    `scale` and `offset` are (out, groups, 1) in float32; `group_size` 0 means one group a row.
    """

    scale: torch.Tensor
    offset: torch.Tensor
    group_size: int

    def nearest(self, weight: torch.Tensor) -> torch.Tensor:
        """The values nearest to `weight` (out, in), in float32."""
        ...

    def values(self, codes: torch.Tensor) -> torch.Tensor:
        """What stored integers (out, in) stand for, in float32."""
        ...

    def rows(self, part: slice | torch.Tensor) -> Self:
        """The grid of these rows alone: a slice, or True for each of them."""
        ...


def _whole_rows(function):
    """Apply a function of (grid, groups) to a matrix (out, in), and give a matrix of its shape back."""

    def of_matrix(self: Grid, matrix: torch.Tensor) -> torch.Tensor:
        blocks = function(self, grouped(matrix, self.group_size))
        return blocks.reshape(len(matrix), -1)[:, : matrix.shape[1]]

    return of_matrix


@dataclass(frozen=True)
class Uniform:
    """Evenly spaced values: `offset + scale * k` for the whole numbers k from `low` to `high`.

    `low` and `high` are numbers, or (out, groups, 1). `zero` is the stored integer that stands for k = 0. Which k is
    nearest is decided in the dtype `computed_in`.
    """

    scale: torch.Tensor
    offset: torch.Tensor
    low: torch.Tensor | int
    high: torch.Tensor | int
    group_size: int
    zero: torch.Tensor | int = 0
    computed_in: torch.dtype = torch.float32

    @_whole_rows
    def nearest(self, blocks: torch.Tensor) -> torch.Tensor:
        """The values nearest to a matrix (out, in)."""
        weights, offset, scale = (part.to(self.computed_in) for part in (blocks, self.offset, self.scale))
        steps = ((weights - offset) / scale).round().float()
        return steps.clamp(self.low, self.high) * self.scale + self.offset

    @_whole_rows
    def values(self, blocks: torch.Tensor) -> torch.Tensor:
        """What stored integers (out, in) stand for."""
        return (blocks - self.zero) * self.scale + self.offset

    def rows(self, part: slice | torch.Tensor) -> Uniform:
        """The grid of these rows alone."""
        names = [name for name in ("scale", "offset", "low", "high", "zero") if torch.is_tensor(getattr(self, name))]
        return replace(self, **{name: getattr(self, name)[part] for name in names})


@dataclass(frozen=True)
class Codebook:
    """The same few values for every group, times the group's scale: `scale * book[code]`, with `book` ascending."""

    scale: torch.Tensor
    book: torch.Tensor
    group_size: int

    @property
    def offset(self) -> torch.Tensor:
        """None is added."""
        return torch.zeros_like(self.scale)

    @_whole_rows
    def nearest(self, blocks: torch.Tensor) -> torch.Tensor:
        """The values nearest to a matrix (out, in)."""
        middles = (self.book[1:] + self.book[:-1]) / 2
        shares = blocks.float() / torch.where(self.scale == 0, torch.ones_like(self.scale), self.scale)
        codes = torch.zeros_like(shares, dtype=torch.int32)
        for middle in middles:  # several times as fast as torch.bucketize
            codes += shares > middle
        return self._looked_up(codes)

    @_whole_rows
    def values(self, blocks: torch.Tensor) -> torch.Tensor:
        """What stored integers (out, in) stand for."""
        return self._looked_up(blocks.int())

    def _looked_up(self, codes: torch.Tensor) -> torch.Tensor:
        """As `book[codes] * scale`, and several times as fast."""
        return self.book.index_select(0, codes.reshape(-1)).reshape(codes.shape) * self.scale

    def rows(self, part: slice | torch.Tensor) -> Codebook:
        """The grid of these rows alone."""
        return replace(self, scale=self.scale[part])


@dataclass(frozen=True)
class SmallFloat:
    """The numbers of a small float dtype, times the scale (out, 1, 1) of a row; `codes` are of this dtype."""

    scale: torch.Tensor
    dtype: torch.dtype
    group_size: int = 0

    @property
    def offset(self) -> torch.Tensor:
        """None is added."""
        return torch.zeros_like(self.scale)

    def nearest(self, weight: torch.Tensor) -> torch.Tensor:
        """The values nearest to a matrix (out, in)."""
        scale, most = self.scale.flatten(1), torch.finfo(self.dtype).max
        steps = weight.float() / torch.where(scale == 0, torch.ones_like(scale), scale)
        return steps.clamp(-most, most).to(self.dtype).float() * scale

    def values(self, codes: torch.Tensor) -> torch.Tensor:
        """What stored numbers (out, in) stand for."""
        return codes.float() * self.scale.flatten(1)

    def rows(self, part: slice | torch.Tensor) -> SmallFloat:
        """The grid of these rows alone."""
        return replace(self, scale=self.scale[part])


def symmetric(weight: torch.Tensor, bits: int, group_size: int) -> Uniform:
    """A grid symmetric about zero, whose scale is each group's largest magnitude / (2^(bits-1) - 1).

    Expected relative error for weights spread evenly over the steps: step / sqrt(12) per weight (Bennett 1948).
    """
    blocks = grouped(weight.float(), group_size)
    top = 2 ** (bits - 1) - 1
    scale = blocks.abs().amax(-1, keepdim=True) / top
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return Uniform(scale, torch.zeros_like(scale), -top, top, group_size)


def asymmetric(weight: torch.Tensor, bits: int, group_size: int) -> Uniform:
    """2^bits values from each group's smallest to its largest."""
    blocks = grouped(weight.float(), group_size)
    low, high = blocks.amin(-1, keepdim=True), blocks.amax(-1, keepdim=True)
    scale = (high - low) / (2**bits - 1)
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return Uniform(scale, low, 0, 2**bits - 1, group_size)


def gptq(weight: torch.Tensor, bits: int, group_size: int, is_symmetric: bool) -> Uniform:
    """GPTQ's grid: 2^bits values a group, one of them zero, with an integer zero point.

    As `Quantizer.find_params` of GPTQModel 7.6.0 has it (quantization/quantizer.py, without its search by mean squared
    error), which goes back to Frantar et al. 2023 (GPTQ, arXiv 2210.17323). Symmetric: the step is 2 max|w| / (2^bits -
    1) and zero is level 2^(bits-1), so that there is one level more below zero than above. Else the step runs from the
    group's least to its largest value, each taken as zero where zero is beyond it. A symmetric group without any
    negative value gets half that step, and its upper half is cut off: that, too, is how GPTQ has it.
    """
    blocks = grouped(weight.float(), group_size)
    low, high = blocks.amin(-1, keepdim=True).clamp(max=0), blocks.amax(-1, keepdim=True).clamp(min=0)
    if is_symmetric:
        high = torch.maximum(-low, high)
        low = torch.where(low < 0, -high, low)
    empty = (low == 0) & (high == 0)
    top = 2**bits - 1
    scale = torch.where(empty, torch.full_like(low, 2), high - low) / top
    low = torch.where(empty, torch.full_like(low, -1), low)
    zero = torch.full_like(scale, (top + 1) / 2) if is_symmetric else (-low / scale).round()
    return Uniform(scale, torch.zeros_like(scale), -zero, top - zero, group_size, zero)


def codebook(weight: torch.Tensor, values: tuple[float, ...], block: int) -> Codebook:
    """`values` times each block's largest magnitude; blocks run along rows.

    For Gaussian weights, NF4 and blocks of 64 the relative error of rounding to it is 0.09.
    """
    scale = grouped(weight.float(), block).abs().amax(-1, keepdim=True)
    return Codebook(scale, torch.tensor(values, device=weight.device), block)
