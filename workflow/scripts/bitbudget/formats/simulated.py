"""A linear layer whose weights are rounded values held as floats."""

from __future__ import annotations

import torch
from torch import nn


class SimulatedLinear(nn.Linear):
    """An `nn.Linear` that says of itself how many bits its weights were rounded to.

    It is a class of its own so that nothing can take it for a layer in a plain float format.
    """

    def __init__(self, in_features: int, out_features: int, bits: int, weight: torch.Tensor, bias: torch.Tensor | None):
        super().__init__(in_features, out_features, bias=bias is not None, device="meta")
        self.bits = bits
        self.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            self.bias = nn.Parameter(bias.detach(), requires_grad=False)
