"""NF4 of bitsandbytes: sixteen NormalFloat values in blocks of 64 (Dettmers et al. 2023, arXiv 2305.14314).

On a CPU, bitsandbytes 0.50 returns wrong weights, or fails, where rows do not fill whole blocks of 64 or where the
number of rows is no multiple of 32. Such matrices are padded with zeros here, so that the kernels always see whole
blocks, and the padding is cut off the result.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from bitbudget.models.formats.base import Format, Held
from bitbudget.models.formats.pace import Timed
from bitbudget.system.machine import AVX2, AVX512_BF16

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bitbudget.models.formats.grid import Grid

BLOCK, ROWS = 64, 32


class BnbNf4(Format):
    name = "bnb-nf4"
    bits = 4
    unpacks = True
    needs = ("bitsandbytes",)
    description = "NF4 (bitsandbytes): 4-bit NormalFloat weights in blocks of 64, multiplied in the float format"
    title = "NF4"
    about = (
        "(here bnb-nf4) stores blocks of 64 weights as 4-bit indices into 16 levels placed at the quantiles of a "
        "normal distribution, which weights roughly follow, with one scale per block [@dettmers2023qlora]. Weights are "
        "brought back to the float format before every product, so it saves memory and not arithmetic."
    )
    options: ClassVar[dict[str, Any]] = {
        "double_quant": {
            "description": "Quantize the blocks' scales to 8 bits too (saves 0.37 bits per weight).",
            "type": "boolean",
            "default": False,
        }
    }

    def about_options(self, options: dict[str, Any]) -> str:
        if not options["double_quant"]:
            return ""
        return "The scales are quantized to 8 bits as well, which saves another 0.37 bits per weight."

    def timed(self, options: dict[str, Any]) -> Timed:
        # Of 16 bits on AVX2 nothing is known: its own kernels could not be held to that.
        return {
            ("float32", AVX2): (53, 26), ("float32", AVX512_BF16): (50, 24),
            ("bfloat16", AVX512_BF16): (13, 3.5), ("float16", AVX512_BF16): (103, 2.7),
        }  # fmt: skip

    def quantize(self, layer: nn.Linear, options: dict[str, Any]) -> nn.Module:
        import bitsandbytes as bnb
        from torch.nn import functional

        weight = functional.pad(layer.weight.detach(), (0, -layer.in_features % BLOCK, 0, -layer.out_features % ROWS))
        packed, quant_state = bnb.functional.quantize_4bit(
            weight.contiguous(), blocksize=BLOCK, compress_statistics=options["double_quant"], quant_type="nf4"
        )
        return self._layer(layer, packed, quant_state.as_dict(packed=True), layer.bias, str(weight.device))

    def state(self, layer: nn.Module) -> dict[str, torch.Tensor]:
        found = dict(getattr(layer, "inner", layer).state_dict())
        return found if layer.bias is None else found | {"bias": layer.bias.data}

    def restore(
        self, shell: nn.Linear, state: dict[str, torch.Tensor], options: dict[str, Any], device: str
    ) -> nn.Module:
        statistics = {k.removeprefix("weight."): v for k, v in state.items() if k.startswith("weight.")}
        bias = state["bias"].to(device) if "bias" in state else None
        return self._layer(shell, state["weight"], statistics, bias, device)

    def recognises(self, layer: nn.Module) -> bool:
        import bitsandbytes as bnb

        inner = getattr(layer, "inner", layer)
        if not isinstance(inner, bnb.nn.Linear4bit) or not inner.weight.bnb_quantized:
            return False
        return inner.weight.quant_type == "nf4" and inner.weight.quant_state.blocksize == BLOCK

    def storage(self, layer: nn.Module) -> str:
        inner = getattr(layer, "inner", layer)
        return f"NF4, two a byte, a {'nested ' if inner.weight.quant_state.nested else ''}scale for {BLOCK}"

    def kernel(self, layer: nn.Module) -> str:
        return "bitsandbytes.nn.modules.Linear4bit"

    def grid(self, weight: torch.Tensor, options: dict[str, Any]) -> Grid:
        from bitbudget.models.formats.grid import NF4, codebook

        return codebook(weight, NF4, BLOCK)

    def held(self, state: dict[str, torch.Tensor], shape: tuple[int, int], options: dict[str, Any]) -> Held:
        """Two codes a byte, the first in the high bits; blocks of the padded matrix, row by row.

        Nested scales are 8-bit codes of a table, times a scale for 256 of them, plus their mean. Rounding to the table
        moves a scale by at most half of the step beside its code, and by 2^-15 more on a CPU, where the code is looked
        up by 16 bits.
        """
        import torch
        from bitsandbytes.functional import create_dynamic_map

        from bitbudget.models.formats.grid import NF4, Codebook

        rows, columns = shape
        blocks = -(-columns // BLOCK)
        own = {key.removeprefix("weight."): value for key, value in state.items()}
        padded = (rows + -rows % ROWS) * blocks
        if (own["absmax"].numel(), 2 * own["weight"].numel()) != (padded, padded * BLOCK):
            raise ValueError(f"{own['absmax'].numel()} blocks of {BLOCK} instead of {padded}")
        moved = None
        if "nested_absmax" in own:
            facts = next(value for key, value in own.items() if key.startswith("quant_state."))
            shared = own["nested_absmax"].repeat_interleave(256)[: own["absmax"].numel()]
            mean = json.loads(bytes(facts.tolist()))["nested_offset"]
            table, codes = own["nested_quant_map"], own["absmax"].long()
            if not torch.equal(table.cpu(), create_dynamic_map()):
                raise ValueError("a table of nested scales that is not bitsandbytes' own")
            scale = table[codes] * shared + mean
            steps = table.diff()
            beside = torch.maximum(steps[(codes - 1).clamp(min=0)], steps[codes.clamp(max=len(steps) - 1)])
            moved = ((beside / 2 + 2**-15) * shared + 2**-20 * abs(mean)).reshape(-1, blocks, 1)[:rows]
        else:
            scale = own["absmax"].float()
        codes = torch.stack((own["weight"] >> 4, own["weight"] & 15), -1).reshape(-1, blocks * BLOCK)
        book = own["quant_map"] if "quant_map" in own else torch.tensor(NF4, device=codes.device)
        if book.shape != (len(NF4),):
            raise ValueError(f"a table of {tuple(book.shape)} values instead of {len(NF4)}")
        grid = Codebook(scale.reshape(-1, blocks, 1)[:rows], book, BLOCK)
        return Held(codes[:rows, :columns], grid, moved)

    def unit(self, dtype: torch.dtype, options: dict[str, Any]) -> float:
        """On processors with AVX-512 BF16, bitsandbytes 0.50 multiplies in bfloat16 whatever the model's dtype."""
        import bitsandbytes as bnb

        return max(super().unit(dtype, options), 2**-8 if bnb.functional.has_avx512bf16() else 0.0)

    @staticmethod
    def _layer(
        shape: nn.Linear, packed: torch.Tensor, statistics: dict, bias: torch.Tensor | None, device: str
    ) -> nn.Module:
        import bitsandbytes as bnb

        from bitbudget.models.formats.padded import PaddedLinear

        columns, rows = shape.in_features + -shape.in_features % BLOCK, shape.out_features + -shape.out_features % ROWS
        inner = bnb.nn.Linear4bit(
            columns, rows, bias=False, compute_dtype=shape.weight.dtype, quant_type="nf4", device="meta"
        )
        inner.weight = bnb.nn.Params4bit.from_prequantized(packed, statistics, device=device, module=inner)
        return PaddedLinear(inner, shape.in_features, shape.out_features, bias)


FORMATS = {BnbNf4.name: BnbNf4()}
