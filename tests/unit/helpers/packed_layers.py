"""Layers as a GPTQ checkpoint stores them, made here from plain rounding: packed with numpy, apart from the library."""

import numpy as np
import torch
from torch import nn

from bitbudget.registry import format_of


def pack(values: np.ndarray, bits: int) -> torch.Tensor:
    """(n, columns) of small integers as (n * bits / 32, columns) int32: one stream of bits a column, lowest first."""
    places = np.arange(bits, dtype=np.uint8)
    stream = ((values.astype(np.uint8)[:, None, :] >> places[None, :, None]) & 1).reshape(-1, values.shape[1])
    octets = np.packbits(stream, axis=0, bitorder="little")
    return torch.from_numpy(np.ascontiguousarray(octets.T).view("<i4").T.copy())


def state_of(layer: nn.Linear, bits: int, group_size: int = 32, symmetric: bool = True) -> dict[str, torch.Tensor]:
    """The layer rounded to nearest, as qweight, qzeros, scales, g_idx and bias; groups must have both signs."""
    rows, columns = layer.weight.shape
    size, top = (columns if group_size == -1 else group_size), 2**bits - 1
    blocks = layer.weight.detach().float().numpy().reshape(rows, -1, size)
    low, high = blocks.min(-1), blocks.max(-1)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    scale = (high - low) / top
    zero = np.full_like(scale, (top + 1) // 2) if symmetric else np.rint(-low / scale)
    values = np.clip(np.rint(blocks / scale[..., None]) + zero[..., None], 0, top).reshape(rows, columns)
    state = {
        "qweight": pack(values.T, bits),
        "qzeros": pack(zero, bits).T.contiguous(),
        "scales": torch.from_numpy(scale.T.copy()).half(),
        "g_idx": torch.arange(columns, dtype=torch.int32) // size,
    }
    return state if layer.bias is None else state | {"bias": layer.bias.detach().clone()}


def options_of(name: str, **chosen) -> dict:
    """A format's options, with its defaults where nothing is chosen."""
    return {key: rule["default"] for key, rule in format_of(name).options.items()} | chosen


def kernel_of(name: str, layer: nn.Linear, **chosen) -> nn.Module:
    """The layer in this format of GPTQ or AWQ, on the kernel of the options; groups of 32 unless said otherwise."""
    options = options_of(name, **({"group_size": 32} | chosen))
    state = state_of(layer, format_of(name).bits, options["group_size"], options["symmetric"])
    if name.startswith("awq-"):
        state["factors"] = torch.ones(layer.in_features)
    shell = nn.Linear(
        layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta", dtype=layer.weight.dtype
    )
    return format_of(name).restore(shell, state, options, "cpu")
