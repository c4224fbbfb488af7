"""Four-bit integers in an order that only the kernel's packer knows, brought back into rows and columns.

torch packs for tinygemm in an order that depends on the device and, on a CPU, on its instructions. So the packer itself
is asked: it is given the number of each place, four bits at a time, and where these bits come out says where a place's
value lies.
"""

from __future__ import annotations

import functools

import torch

COLUMNS, ROWS = 1024, 8  # what a GPU's packed matrices are padded to


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
    found = torch.empty_like(values)
    found[_places(padded, packed.device.type)] = values
    return found.reshape(padded)[:rows, :columns].cpu()


@functools.lru_cache(maxsize=2)
def _places(shape: tuple[int, int], device: str) -> torch.Tensor:
    """For each packed integer, in the order of its bits, the number of the place (row by row) that it belongs to."""
    numbers = torch.arange(shape[0] * shape[1], device=device).reshape(shape)
    places = torch.zeros(numbers.numel(), dtype=torch.int64, device=device)
    for shift in range(0, max(1, numbers.numel() - 1).bit_length(), 4):
        digits = (numbers >> shift) & 15
        places |= _nibbles(_pack(digits.int())).long() << shift
    return places


def _pack(values: torch.Tensor) -> torch.Tensor:
    """What torchao 0.18 packs integers (out, in) with."""
    if values.device.type == "cpu":
        return torch.ops.aten._convert_weight_to_int4pack_for_cpu(values, 1)
    pairs = (values[:, ::2] << 4 | values[:, 1::2]).to(torch.uint8)
    return torch.ops.aten._convert_weight_to_int4pack(pairs.contiguous(), 8)


def _nibbles(packed: torch.Tensor) -> torch.Tensor:
    octets = packed.contiguous().view(torch.uint8).reshape(-1)
    return torch.stack((octets & 15, octets >> 4), -1).reshape(-1)
