"""Integers packed into 32-bit words, as GPTQ checkpoints store them, in plain torch: kernels are held against this.

The words of a column are one stream of bits, the lowest of the first word first, and value i takes the b bits from bit
i b on. At 8, 4 and 2 bits no value crosses a word; at 3 bits 32 values fill three words, and two of them cross.
"""

from __future__ import annotations

import hashlib

import torch

from bitbudget.models.formats.base import Held
from bitbudget.models.formats.grid import Uniform

WORD = 32


def unpack(words: torch.Tensor, bits: int) -> torch.Tensor:
    """(words, columns) int32 to (words * 32 / bits, columns) int16, each value from 0 to 2^bits - 1.

    The words of a column must be a multiple of `bits`, so that whole runs of 32 values fill them.
    """
    rows, columns = words.shape
    runs = words.reshape(rows // bits, bits, columns).to(torch.int64) & (2**WORD - 1)
    values = torch.empty(rows // bits, WORD, columns, dtype=torch.int16, device=words.device)
    for number in range(WORD):
        word, place = divmod(number * bits, WORD)
        found = runs[:, word] >> place
        if place + bits > WORD:
            found = found | (runs[:, word + 1] << (WORD - place))
        values[:, number] = (found & (2**bits - 1)).to(torch.int16)
    return values.reshape(-1, columns)


def pack(values: torch.Tensor, bits: int) -> torch.Tensor:
    """The inverse of `unpack`: (n, columns) of integers to (n * bits / 32, columns) int32; n is a multiple of 32."""
    runs = values.to(torch.int64).reshape(-1, WORD, values.shape[1])
    words = torch.zeros(len(runs), bits, values.shape[1], dtype=torch.int64, device=values.device)
    for number in range(WORD):
        word, place = divmod(number * bits, WORD)
        words[:, word] |= (runs[:, number] << place) & (2**WORD - 1)
        if place + bits > WORD:
            words[:, word + 1] |= runs[:, number] >> (WORD - place)
    return words.reshape(-1, values.shape[1]).to(torch.int32)


def state(codes: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor, bits: int) -> dict[str, torch.Tensor]:
    """What a checkpoint stores of integers (out, in), scales and zero points (out, groups); `held` reads it."""
    columns, groups = codes.shape[1], scales.shape[1]
    return {
        "qweight": pack(codes.T, bits),
        "qzeros": pack(zeros, bits).T.contiguous(),
        "scales": scales.T.contiguous().half(),
        "g_idx": torch.arange(columns, dtype=torch.int32) // (columns // groups),
    }


def held(state: dict[str, torch.Tensor], bits: int, shape: tuple[int, int]) -> Held:
    """What `qweight`, `qzeros`, `scales` and `g_idx` of a checkpoint stand for, for a matrix of this shape (out, in).

    `qweight` packs the columns of (in, out), `qzeros` the rows of (groups, out), the zero points; a weight is scale *
    (value - zero) with the scale and zero point of its group, and groups are runs of input features.

    Raises `ValueError` where the tensors do not fit the shape, or where groups are no runs.
    """
    rows, columns = shape
    scales, numbers = state["scales"].cpu().float(), state["g_idx"].cpu().long()
    groups = len(scales)
    if scales.shape != (groups, rows) or numbers.shape != (columns,) or columns % groups:
        raise ValueError(f"{groups} groups of scales do not fit a matrix of {rows} x {columns}")
    size = columns // groups
    if not torch.equal(numbers, torch.arange(columns) // size):
        raise ValueError("g_idx gives input features to other groups than their own")
    codes, zeros = unpack(state["qweight"].cpu(), bits).T, unpack(state["qzeros"].cpu().T, bits)
    if codes.shape != shape or zeros.shape != (rows, groups):
        raise ValueError(f"the packed words do not fit a matrix of {rows} x {columns}")
    scale, zero = scales.T[..., None], zeros[..., None]
    top = 2**bits - 1
    return Held(codes, Uniform(scale, torch.zeros_like(scale), -zero, top - zero, size, zero))


def dequantize(state: dict[str, torch.Tensor], bits: int) -> torch.Tensor:
    """The weights (out, in) in float32 that the tensors of a checkpoint stand for."""
    return held(state, bits, (state["scales"].shape[1], len(state["g_idx"]))).weights()


def decision(codes: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor) -> str:
    """The sha256 of integers (out, in), scales and zero points (out, groups), the scales as float16."""
    found = hashlib.sha256()
    for part, kind in ((codes, torch.int16), (scales, torch.float16), (zeros, torch.int16)):
        found.update(part.detach().cpu().to(kind).contiguous().numpy().tobytes())
    return found.hexdigest()
