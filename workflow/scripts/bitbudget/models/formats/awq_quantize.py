"""AWQ's search for the factors of a layer's inputs, given what reaches it."""

from __future__ import annotations

from typing import Any

import torch

from bitbudget.models.formats import packed
from bitbudget.models.formats.base import Format, Layer, Seen, State

FACTORS = "factors"
EXPONENTS = 20  # from 0 in steps of 1/20, as in the paper's own code
MOST = 512  # positions, or one of each item, on which factors are compared; their sizes are those of all positions
LEAST = 1e-4  # of the largest mean input, for features that are (nearly) zero


def quantize(layer: Layer, seen: Seen, fmt: Format, dtype: torch.dtype) -> tuple[State, dict[str, Any]]:
    """The tensors of a layer (packed integers as GPTQ's, and factors in `dtype`), and what to tell of it.

    Its weights become those that these stand for. Told are the `loss`, which is the mean squared change of its outputs
    (on `MOST` positions), the `exponent`, and what was `decided`.
    """
    module, spec = layer.module, layer.spec
    exact = module.weight.data.float()
    sizes, inputs = seen.shared("sizes", _sizes_and_some)
    best: tuple[float, float, torch.Tensor] | None = None
    for step in range(EXPONENTS):
        factors = factors_of(sizes, step / EXPONENTS, dtype)
        weights = fmt.reference(exact / factors, spec) * factors
        loss = (inputs @ (weights - exact).T).square().mean().item()
        if best is None or loss < best[0]:
            best = loss, step / EXPONENTS, factors
    loss, exponent, factors = best
    grid = fmt.grid(exact / factors, spec)
    size = exact.shape[1] // grid.scale.shape[1]
    scales, zeros = (part.expand_as(grid.scale)[..., 0] for part in (grid.scale, grid.zero))
    steps = (grid.nearest(exact / factors) / scales.repeat_interleave(size, 1)).round()
    codes = steps + zeros.repeat_interleave(size, 1)
    codes, scales, zeros = (part.cpu() for part in (codes, scales, zeros))
    state = packed.state(codes, scales, zeros, fmt.bits) | {FACTORS: factors.to(dtype).cpu()}
    held = fmt.held(state, tuple(exact.shape), spec)
    module.weight.data = held.weights().to(module.weight.device, module.weight.dtype)
    return state, {"loss": loss, "exponent": exponent, "decided": packed.decision(codes, scales, zeros)}


def _sizes_and_some(tensors: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean size of each input feature (in,), and inputs (positions, in) that lie evenly apart in each item."""
    rows = [tensor.reshape(-1, tensor.shape[-1]) for tensor in tensors]
    sizes = sum(part.float().abs().sum(0) for part in rows) / sum(map(len, rows))
    each = max(1, MOST // len(rows))
    some = [part[torch.linspace(0, len(part) - 1, min(each, len(part))).long().to(part.device)] for part in rows]
    return sizes, torch.cat(some).float()


def factors_of(sizes: torch.Tensor, exponent: float, dtype: torch.dtype) -> torch.Tensor:
    """What inputs are multiplied with, (in,) in float32 but exact in `dtype`, given the mean size of each.

    They are sizes^-exponent, and their smallest is as far below 1 as their largest is above.
    """
    factors = sizes.clamp(min=LEAST * sizes.max().clamp(min=1e-30)).pow(-exponent)
    return (factors / (factors.max() * factors.min()).sqrt()).to(dtype).float()
