"""Integers packed into 32-bit words, as GPTQ checkpoints store them, in plain torch: kernels are held against this.

The words of a column are one stream of bits, the lowest of the first word first, and value i takes the b bits from bit
i b on. At 8, 4 and 2 bits no value crosses a word; at 3 bits 32 values fill three words, and two of them cross.
"""

from __future__ import annotations

import torch

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


def dequantize(state: dict[str, torch.Tensor], bits: int) -> torch.Tensor:
    """The weights (out, in) in float32 that `qweight`, `qzeros`, `scales` and `g_idx` of a checkpoint stand for.

    `qweight` packs the columns of (in, out), `qzeros` the rows of (groups, out), the zero points; a weight is scale *
    (value - zero) with the scale and zero point of the input feature's group.
    """
    group = state["g_idx"].long()
    zeros = unpack(state["qzeros"].T, bits).T
    values = unpack(state["qweight"], bits)
    return (state["scales"].float()[group] * (values - zeros[group])).T.contiguous()
