"""Linear8bitLt of bitsandbytes for inputs of any shape."""

from __future__ import annotations

import bitsandbytes as bnb
import torch


class FlatLinear8bitLt(bnb.nn.Linear8bitLt):
    """bitsandbytes 0.50 quantizes inputs of two or three dimensions alone (DeepSeek's attention has four), and looks
    for outliers in contiguous ones: here every input is a matrix of rows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = super().forward(x.reshape(-1, x.shape[-1]).contiguous())
        return rows.reshape(*x.shape[:-1], rows.shape[-1])
