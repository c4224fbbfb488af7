"""A linear layer of int8 weights whose inputs are rounded to int8 for each token, on oneDNN's packed int8 kernel.

torchao hands its weights to oneDNN anew at every call, which on a processor takes ten times as long as the product
itself at batch 1. Here they are packed once. Inputs go in as unsigned integers about 128: oneDNN has no fast kernel for
signed ones without AMX. Sums come out in float32 and are rounded to the input's dtype once, at the end.
"""

from __future__ import annotations

import itertools
import weakref

import torch
from torch import nn

MIDDLE = 128  # the unsigned integer that stands for an input of zero
LEAST_SCALE = torch.finfo(torch.float32).eps


def scales_of(rows: torch.Tensor, top: int) -> torch.Tensor:
    """The scale (n, 1) of each row (n, in), in float32: its largest magnitude falls half a step above `top`."""
    return torch.linalg.vector_norm(rows.float(), torch.inf, 1, keepdim=True).div_(top + 0.5).clamp_min_(LEAST_SCALE)


_NUMBERS = itertools.count()
_LAYERS: weakref.WeakValueDictionary[int, OnednnInt8Linear] = weakref.WeakValueDictionary()


@torch.library.custom_op("bitbudget::onednn_int8_product", mutates_args=())
def product(codes: torch.Tensor, number: int) -> torch.Tensor:
    """The product of a layer, by its number: torch.compile cannot look into weights in oneDNN's own order."""
    return _LAYERS[number].product(codes)


@product.register_fake
def _(codes: torch.Tensor, number: int) -> torch.Tensor:
    return codes.new_empty(codes.shape[0], _LAYERS[number].out_features, dtype=torch.float32)


class OnednnInt8Linear(nn.Module):
    """`codes` (out, in) are int8, `scale` (out,) float32; inputs are rounded to -top - 1 ... top times their scale."""

    def __init__(self, codes: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None, top: int) -> None:
        super().__init__()
        self.out_features, self.in_features = codes.shape
        self.top = top
        self.packed = torch.ops.onednn.qlinear_prepack(codes, None)
        self.register_buffer("scale", scale.float().flatten())
        self.register_buffer("zero", torch.zeros(self.out_features, dtype=torch.int32))
        self.number = next(_NUMBERS)
        _LAYERS[self.number] = self
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    def codes(self) -> torch.Tensor:
        """The integers (out, in) that the kernel multiplies with, unpacked."""
        return self.packed.to_dense().T.contiguous()

    def product(self, codes: torch.Tensor) -> torch.Tensor:
        """Integers (n, in) about 128 times the weights, (n, out) in float32."""
        return torch.ops.onednn.qlinear_pointwise(
            codes, 1.0, MIDDLE, self.packed, self.scale, self.zero, None, 1.0, 0, torch.float32, "none", [], ""
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The sums (..., out) of inputs (..., in), in their dtype."""
        rows = inputs.reshape(-1, self.in_features).float()
        scale = scales_of(rows, self.top)
        codes = (rows / scale).round_().clamp_max_(self.top).add_(MIDDLE).to(torch.uint8)
        sums = (product(codes, self.number) if torch.compiler.is_compiling() else self.product(codes)) * scale
        if self.bias is not None:
            sums += self.bias
        return sums.to(inputs.dtype).reshape(*inputs.shape[:-1], self.out_features)
