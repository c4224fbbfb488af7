"""Rounding to a grid, in plain torch: the definitions that kernels are held against."""

from __future__ import annotations

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
    """(out, in) seen as (out, groups, group_size); 0 means one group a row. `group_size` must divide `in`."""
    rows, columns = weight.shape
    size = group_size or columns
    return weight.reshape(rows, columns // size, size)


def symmetric(weight: torch.Tensor, bits: int, group_size: int) -> torch.Tensor:
    """Round to nearest on a symmetric grid whose scale is each group's largest magnitude / (2^(bits-1) - 1).

    Expected relative error for weights spread evenly over the steps: step / sqrt(12) per weight (Bennett 1948).
    """
    blocks = grouped(weight.float(), group_size)
    top = 2 ** (bits - 1) - 1
    scale = blocks.abs().amax(-1, keepdim=True) / top
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return ((blocks / scale).round().clamp(-top, top) * scale).reshape(weight.shape)


def asymmetric(weight: torch.Tensor, bits: int, group_size: int) -> torch.Tensor:
    """Round to nearest on 2^bits levels from each group's smallest to its largest value."""
    blocks = grouped(weight.float(), group_size)
    low, high = blocks.amin(-1, keepdim=True), blocks.amax(-1, keepdim=True)
    scale = (high - low) / (2**bits - 1)
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return (((blocks - low) / scale).round() * scale + low).reshape(weight.shape)


def gptq(weight: torch.Tensor, bits: int, group_size: int, is_symmetric: bool) -> torch.Tensor:
    """Round to nearest on GPTQ's grid: 2^bits levels a group, one of them zero, with an integer zero point.

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
    levels = ((blocks / scale).round() + zero).clamp(0, top)
    return (scale * (levels - zero)).reshape(weight.shape)


def codebook(weight: torch.Tensor, values: tuple[float, ...], block: int) -> torch.Tensor:
    """Round to the nearest of `values` times each block's largest magnitude; blocks run along rows (zero-padded).

    For Gaussian weights, NF4 and blocks of 64 the relative error is 0.09.
    """
    rows, columns = weight.shape
    padded = torch.nn.functional.pad(weight.float(), (0, -columns % block))
    blocks = grouped(padded, block)
    scale = blocks.abs().amax(-1, keepdim=True)
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    levels = torch.tensor(values, device=weight.device)
    middles = (levels[1:] + levels[:-1]) / 2
    rounded = levels[torch.bucketize((blocks / scale).contiguous(), middles)] * scale
    return rounded.reshape(rows, -1)[:, :columns]
