"""Does a layer's kernel multiply with the weights that its tensors stand for?

It is given rows of random signs. Signs are exact in every dtype, also where a kernel rounds its inputs to int8, and
each column has a part in every sum, so 32 of them see what as many unit vectors as the layer has columns would.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from bitbudget.models.formats.base import Format, FormatSpec, Held, parts

PROBES = 32


def kernel_error(
    layer: nn.Module, held: Held, fmt: Format, spec: FormatSpec, dtype: torch.dtype, device: str
) -> tuple[float, float]:
    """How far the layer's sums are from those of `held`, and how far they may be.

    Of each output feature: the root mean square of the difference over the probes, against the norm of its weights
    times the root mean square of an input. The largest is returned. Sums are rounded to the unit roundoff u of the
    coarsest dtype that the kernel computes in, some in parts; up to 2.4 u was seen, and 6 u are allowed, with in / 4
    roundoffs of float32 for adding up. Weights below float32's smallest normal number count for nothing: processors may
    take them for zero. The bias is taken off meanwhile: it would swallow the weights' digits.

    Raises what the kernel raises.
    """
    columns = held.codes.shape[1]
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (PROBES, columns), generator=generator, dtype=torch.int8) * 2 - 1
    inputs = fmt.probes(signs.to(dtype) * _size(held, dtype), spec)
    bias, layer.bias = layer.bias, None
    try:
        with torch.no_grad():
            sums = layer(inputs.to(device)).double().to(held.codes.device)
    finally:
        layer.bias = bias
    inputs, worst = fmt.entering(inputs.double(), spec).to(held.codes.device), 0.0
    smallest, flushed = (torch.finfo(kind).smallest_normal * columns**0.5 for kind in (dtype, torch.float32))
    size = inputs.square().mean().sqrt()
    for part in parts(held.codes):
        weights = held.weights(part).double()
        gaps = (sums[:, part] - inputs @ weights.T).square().mean(0).sqrt()
        errors = (gaps - flushed).clamp(min=0) / (weights.norm(dim=1) * size + smallest)
        worst = max(worst, errors.nan_to_num(nan=torch.inf).max().item())
    return worst, 6 * fmt.unit(dtype, spec) + columns / 4 * 2**-24


def _size(held: Held, dtype: torch.dtype) -> float:
    """How large the signs may be: 1, or the power of two at which no sum comes near the largest number of `dtype`."""
    largest = max(held.weights(part).abs().sum(1, dtype=torch.float64).max().item() for part in parts(held.codes))
    room = torch.finfo(dtype).max / 64
    return 2.0 ** math.floor(math.log2(room / largest)) if room < largest < math.inf else 1.0
