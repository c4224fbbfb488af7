"""LongRoPE (Ding et al., arXiv 2402.13753) of every row by itself.

Phi-3 rotates with one set of frequencies up to 4096 positions and with another beyond. transformers chooses by the
longest row of a batch, so that a row's answer would depend on its neighbours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding


def switching_length(config: Any) -> int | None:
    """The most positions for which the frequencies of short texts hold; None where there is one set alone."""
    rope = config.rope_parameters
    return rope["original_max_position_embeddings"] if rope["rope_type"] == "longrope" else None


class Phi3VRotaryEmbedding(Phi3RotaryEmbedding):
    """Cosines and sines of positions, (rows, positions, head size)."""

    long_inv_freq: Tensor | None = None

    @torch.no_grad()
    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """In the dtype of `x`, for `position_ids` (rows, positions)."""
        frequencies = self.original_inv_freq.to(x.device)[None]
        limit = switching_length(self.config)
        if limit is not None:
            if self.long_inv_freq is None or self.long_inv_freq.device != x.device:
                self.long_inv_freq, _ = ROPE_INIT_FUNCTIONS["longrope"](self.config, x.device, seq_len=limit + 1)
            long = position_ids.amax(-1, keepdim=True) >= limit
            frequencies = torch.where(long, self.long_inv_freq, frequencies)
        angles = position_ids[..., None].float() * frequencies[:, None].float()
        both = torch.cat([angles, angles], dim=-1)
        return (
            (both.cos() * self.attention_scaling).to(x.dtype),
            (both.sin() * self.attention_scaling).to(x.dtype),
        )
