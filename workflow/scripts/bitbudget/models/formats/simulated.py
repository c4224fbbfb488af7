"""A linear layer whose weights are rounded values held as floats."""

from __future__ import annotations

import torch
from torch import nn


class SimulatedLinear(nn.Linear):
    """An `nn.Linear` that says of itself by which format its weights were rounded.

    It is a class of its own so that nothing can take it for a layer in a plain float format.
    """

    def __init__(self, format_name: str, weight: torch.Tensor, bias: torch.Tensor | None):
        rows, columns = weight.shape
        super().__init__(columns, rows, bias=bias is not None, device="meta")
        self.format_name = format_name
        self.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            self.bias = nn.Parameter(bias.detach(), requires_grad=False)
