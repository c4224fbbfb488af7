"""A linear layer whose kernel wants more columns and rows than the layer has."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class PaddedLinear(nn.Module):
    """`inner` works on zero-padded features; what goes in and comes out has the layer's own shapes.

    The bias is added here, after the padding is cut off.
    """

    def __init__(self, inner: nn.Module, in_features: int, out_features: int, bias: torch.Tensor | None):
        super().__init__()
        self.inner = inner
        self.in_features, self.out_features = in_features, out_features
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    @property
    def weight(self) -> torch.Tensor:
        """The inner weights; models look at a layer's weight to learn its dtype and device."""
        return self.inner.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_features) to (..., out_features)."""
        missing = self.inner.in_features - self.in_features
        y = self.inner(functional.pad(x, (0, missing)) if missing else x)
        y = y[..., : self.out_features]
        return y if self.bias is None else y + self.bias
