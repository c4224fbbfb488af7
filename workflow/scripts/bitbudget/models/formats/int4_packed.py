"""Four-bit integers in an order that only the kernel's packer knows, brought back into rows and columns.

torch packs for tinygemm in an order that depends on the device and, on a CPU, on its instructions. So the packer itself
is asked: it is given the number of each place, four bits at a time, and where these bits come out says where a place's
value lies. It is asked for a run of rows, because it packs one run after the other; that this is so is seen by packing
what was found once more, which must give the same bits. Where it does not, the packer is asked for the whole matrix.
"""

from __future__ import annotations

import functools

import torch

COLUMNS, ROWS = 1024, 8  # what a GPU's packed matrices are padded to
RUN = 64  # rows that are packed together


def unpack(packed: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """The integers (out, in), uint8 from 0 to 15, of a matrix of this shape that `packed` holds.

    Raises `ValueError` where `packed` is not as large as such a matrix.
    """
    rows, columns = shape
    on_cpu = packed.device.type == "cpu"
    padded = shape if on_cpu else (rows + -rows % ROWS, columns + -columns % COLUMNS)
    values = _nibbles(packed)
    if len(values) != padded[0] * padded[1]:
        raise ValueError(f"{len(values)} packed integers where {padded[0]} x {padded[1]} were expected")
    found = _in_order(values, padded, RUN)
    if not torch.equal(_nibbles(_pack(found.int())), values):
        found = _in_order(values, padded, padded[0])
    return found[:rows, :columns]


def _in_order(values: torch.Tensor, shape: tuple[int, int], run: int) -> torch.Tensor:
    """Packed integers as a matrix of this shape, if so many rows are packed together."""
    rows, columns = shape
    whole = rows - rows % run
    device = values.device.type
    found = torch.empty_like(values)
    if whole:
        runs, order = values[: whole * columns].reshape(-1, run * columns), _order((run, columns), device)
        torch.index_select(runs, 1, order, out=found[: whole * columns].reshape(runs.shape))
    if whole < rows:
        found[whole * columns :] = values[whole * columns :][_order((rows - whole, columns), device)]
    return found.reshape(shape)


@functools.lru_cache(maxsize=16)
def _order(shape: tuple[int, int], device: str) -> torch.Tensor:
    """For each place of a matrix of this shape, row by row, the number of the packed integer that belongs to it."""
    numbers = torch.arange(shape[0] * shape[1], device=device)
    places = torch.zeros_like(numbers)
    for shift in range(0, max(1, numbers.numel() - 1).bit_length(), 4):
        digits = (numbers >> shift) & 15
        places |= _nibbles(_pack(digits.reshape(shape).int())).long() << shift
    order = torch.empty_like(numbers, dtype=torch.int32)
    order[places] = numbers.int()
    return order


def _pack(values: torch.Tensor) -> torch.Tensor:
    """What torchao 0.18 packs integers (out, in) with."""
    if values.device.type == "cpu":
        return torch.ops.aten._convert_weight_to_int4pack_for_cpu(values, 1)
    pairs = (values[:, ::2] << 4 | values[:, 1::2]).to(torch.uint8)
    return torch.ops.aten._convert_weight_to_int4pack(pairs.contiguous(), 8)


def _nibbles(packed: torch.Tensor) -> torch.Tensor:
    octets = packed.contiguous().view(torch.uint8).reshape(-1)
    return torch.stack((octets & 15, octets >> 4), -1).reshape(-1)
