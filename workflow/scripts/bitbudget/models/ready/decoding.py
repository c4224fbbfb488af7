"""What the stored tensors of a layer stand for, in plain torch, by the published layout of each method.

Each layout is told from the tensors themselves. Written apart from the libraries that make and run them, so that a
wrong kernel shows, and a wrong file too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from bitbudget.models.formats import grid, packed

State = Mapping[str, torch.Tensor]
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # of the eight outputs whose 4-bit values share a word (Lin et al. 2023, AWQ)
FLOAT8_MOST = 448.0  # the largest number of float8 e4m3


@dataclass(frozen=True)
class Stored:
    """The weights (out, in) in float32 that a layer's tensors stand for, and how they are stored.

    `rounded` rounds a matrix to the nearest values of a grid of these bits and groups, laid by the matrix itself: the
    yardstick. It is None for a float format.
    """

    weights: torch.Tensor
    format: str
    storage: str
    rounded: Callable[[torch.Tensor], torch.Tensor] | None = None


def decode(state: State, shape: tuple[int, int], quantization: Mapping[str, Any]) -> Stored | None:
    """What a layer of this shape (out, in) holds; None where the layout is not known here.

    Raises `LookupError`, `ValueError` or `RuntimeError` where the tensors do not fit the shape.
    """
    found = _decoded(state, shape, quantization)
    if found is not None and tuple(found.weights.shape) != shape:
        raise ValueError(f"{' x '.join(map(str, found.weights.shape))} instead of {' x '.join(map(str, shape))}")
    return found


def _decoded(state: State, shape: tuple[int, int], quantization: Mapping[str, Any]) -> Stored | None:
    weight = state.get("weight")
    if "qweight" in state and {"qzeros", "scales"} <= state.keys():
        along_outputs = state["qweight"].shape[0] == shape[1] and "g_idx" not in state
        return _awq(state, shape) if along_outputs else _gptq(state, shape, quantization)
    if "weight_packed" in state and "weight_scale" in state:
        return _packed(state, shape)
    if weight is None:
        return None
    if "SCB" in state:
        scale = state["SCB"].float().reshape(-1, 1) / 127
        return Stored(
            weight.float() * scale, "bnb-int8", "int8, a float32 scale for a row",
            lambda exact: grid.symmetric(exact, 8, 0).nearest(exact),
        )  # fmt: skip
    if any(name.startswith("weight.quant_state.") for name in state):
        return _bnb_4bit(state, shape)
    if weight.dtype in (torch.int8, torch.float8_e4m3fn) and ("weight_scale" in state or "weight_scale_inv" in state):
        return _scaled(state, shape, quantization)
    if weight.dtype.is_floating_point and weight.element_size() > 1 and len(state.keys() - {"bias"}) == 1:
        name = str(weight.dtype).removeprefix("torch.")
        return Stored(weight.float(), name, name)
    return None


def _uniform(
    codes: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor | int, groups: torch.Tensor | None = None
) -> torch.Tensor:
    """`scale * (codes - zero)` for codes (out, in), scales and zero points (out, groups) of the inputs' `groups`."""
    if groups is None:
        groups = torch.arange(codes.shape[1]) // -(-codes.shape[1] // scale.shape[1])
    zero = zero[:, groups] if torch.is_tensor(zero) and zero.dim() else zero
    return (codes.float() - zero) * scale.float()[:, groups]


def _stream(words: torch.Tensor, bits: int, count: int) -> torch.Tensor:
    """`count` values of so many bits from each column of (words, columns), one stream of bits a column."""
    whole = torch.nn.functional.pad(words, (0, 0, 0, -len(words) % bits))
    return packed.unpack(whole, bits)[:count]


def _words(kind: str, bits: int, size: int, columns: int, scale: torch.Tensor) -> tuple[str, str]:
    """The format's name and how it is stored, in words."""
    dtype = str(scale.dtype).removeprefix("torch.")
    shared = "a row" if size >= columns else f"{size} weights"
    return f"{kind}{bits}", f"{bits}-bit integers in int32 words, a {dtype} scale and zero point for {shared}"


def _gptq(state: State, shape: tuple[int, int], quantization: Mapping[str, Any]) -> Stored:
    """GPTQ's packing: columns of (in, out), and zero points less one, but in the layout `gptq_v2`."""
    rows, columns = shape
    bits = state["qweight"].shape[0] * packed.WORD // columns
    codes = _stream(state["qweight"], bits, columns).T
    less_one = quantization.get("checkpoint_format", "gptq") != "gptq_v2"
    zero = (_stream(state["qzeros"].T.contiguous(), bits, rows).to(torch.int32) + int(less_one)).float()
    scale = state["scales"].T
    size = -(-columns // scale.shape[1])
    symmetric = bool((zero == 2 ** (bits - 1)).all())
    groups = state["g_idx"].long() if "g_idx" in state else None
    return Stored(
        _uniform(codes, scale, zero, groups), *_words("gptq-", bits, size, columns, scale),
        lambda exact: grid.gptq(exact, bits, size % columns, symmetric).nearest(exact),
    )  # fmt: skip


def _awq(state: State, shape: tuple[int, int]) -> Stored:
    """AWQ's `gemm` packing: rows of (in, out), with eight 4-bit values of a word in an order of their own."""
    rows, columns = shape
    bits = state["qweight"].shape[1] * packed.WORD // rows
    codes, zero = (_stream(state[name].T.contiguous(), bits, rows) for name in ("qweight", "qzeros"))
    if bits == 4:
        places = torch.argsort(torch.tensor(AWQ_ORDER)) + 8 * torch.arange(rows // 8)[:, None]
        codes, zero = codes[places.flatten()], zero[places.flatten()]
    scale = state["scales"].T
    size = -(-columns // scale.shape[1])
    symmetric = bool((zero == 2 ** (bits - 1)).all())
    return Stored(
        _uniform(codes, scale, zero.float()), *_words("awq-", bits, size, columns, scale),
        lambda exact: grid.gptq(exact, bits, size % columns, symmetric).nearest(exact),
    )  # fmt: skip


def _packed(state: State, shape: tuple[int, int]) -> Stored:
    """compressed-tensors' `pack-quantized`: rows of (out, in), each value with half of its range added."""
    rows, columns = shape
    bits = state["weight_packed"].shape[1] * packed.WORD // columns
    half = 2 ** (bits - 1)
    codes = _stream(state["weight_packed"].T.contiguous(), bits, columns).T - half
    scale, zero = state["weight_scale"].reshape(rows, -1), 0
    if "weight_zero_point" in state:
        zero = state["weight_zero_point"]
        zero = (_stream(zero, bits, rows) - half if zero.dtype == torch.int32 else zero.reshape(rows, -1)).float()
    size = -(-columns // scale.shape[1])
    groups = state["weight_g_idx"].long() if "weight_g_idx" in state else None
    lay = grid.symmetric if not torch.is_tensor(zero) else grid.asymmetric
    return Stored(
        _uniform(codes, scale, zero, groups), *_words("compressed-tensors int", bits, size, columns, scale),
        lambda exact: lay(exact, bits, size % columns).nearest(exact),
    )  # fmt: skip


def _bnb_4bit(state: State, shape: tuple[int, int]) -> Stored:
    """bitsandbytes' NF4 and FP4: two codes a byte, the first in the high bits, in blocks of the matrix row by row.

    Nested scales are 8-bit codes of a table, times a scale for a block of them, plus their mean.
    """
    name = next(name for name in state if name.startswith("weight.quant_state."))
    facts = json.loads(bytes(state[name].tolist()))
    words = state["weight"].contiguous().view(torch.uint8).flatten()
    codes = torch.stack((words >> 4, words & 15), -1).flatten()[: shape[0] * shape[1]].long()
    scale, block = state["weight.absmax"], facts["blocksize"]
    if "weight.nested_absmax" in state:
        nested = state["weight.nested_absmax"].repeat_interleave(facts["nested_blocksize"])[: scale.numel()]
        scale = state["weight.nested_quant_map"][scale.long()] * nested + facts["nested_offset"]
    book = state["weight.quant_map"].float()
    weights = (book[codes] * scale.float().repeat_interleave(block)[: codes.numel()]).reshape(shape)

    def rounded(exact: torch.Tensor) -> torch.Tensor:
        values = tuple(sorted(book.tolist()))
        return grid.codebook(exact.reshape(1, -1), values, block).nearest(exact.reshape(1, -1)).reshape(exact.shape)

    kind = facts["quant_type"]
    return Stored(weights, f"bnb-{kind}", f"{kind.upper()}, two a byte, a scale for {block}", rounded)


def _scaled(state: State, shape: tuple[int, int], quantization: Mapping[str, Any]) -> Stored:
    """8-bit integers or floats times a scale for the matrix, a row, a group of a row, or a block of both."""
    weight, (rows, columns) = state["weight"], shape
    integers, blocks = weight.dtype == torch.int8, "weight_scale_inv" in state
    scale = state["weight_scale_inv" if blocks else "weight_scale"].float()
    scale = scale.reshape(1, 1) if scale.numel() == 1 else scale.reshape(scale.shape[0], -1)
    size = tuple(quantization.get("weight_block_size") or ()) if blocks else ()
    size = size or (-(-rows // scale.shape[0]), -(-columns // scale.shape[1]))
    zero = state["weight_zero_point"].float().reshape(scale.shape) if "weight_zero_point" in state else 0 * scale
    kind = "int8" if integers else "float8"
    method = "fp8" if blocks else f"compressed-tensors {kind}"

    def rounded(exact: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(exact.abs(), (0, -columns % size[1], 0, -rows % size[0]))
        most = padded.reshape(padded.shape[0] // size[0], size[0], -1, size[1]).amax((1, 3)).clamp(min=1e-30)
        step = _spread(most / (127 if integers else FLOAT8_MOST), size, shape)
        steps = exact / step
        return (steps.round() if integers else steps.to(torch.float8_e4m3fn).float()) * step

    weights = (weight.float() - _spread(zero, size, shape)) * _spread(scale, size, shape)
    return Stored(weights, method, f"{kind}, a scale for {size[0]} x {size[1]} weights", rounded)


def _spread(part: torch.Tensor, size: tuple[int, int], shape: tuple[int, int]) -> torch.Tensor:
    """What holds for blocks of this size (rows, columns) for each weight of a matrix of this shape."""
    return part.repeat_interleave(size[0], 0)[: shape[0]].repeat_interleave(size[1], 1)[:, : shape[1]]
