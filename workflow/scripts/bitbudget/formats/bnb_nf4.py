"""NF4 of bitsandbytes: sixteen NormalFloat values in blocks of 64 (Dettmers et al. 2023, arXiv 2305.14314).

On a CPU, bitsandbytes 0.50 returns wrong weights, or fails, where rows do not fill whole blocks of 64 or where the
number of rows is no multiple of 32. Such matrices are padded with zeros here, so that the kernels always see whole
blocks, and the padding is cut off the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from bitbudget.formats.base import Format

if TYPE_CHECKING:
    import torch
    from torch import nn

BLOCK, ROWS = 64, 32


class BnbNf4(Format):
    name = "bnb-nf4"
    bits = 4
    description = "NF4 (bitsandbytes): 4-bit NormalFloat weights in blocks of 64, multiplied in the float format"
    options: ClassVar[dict[str, Any]] = {
        "double_quant": {
            "description": "Quantize the blocks' scales to 8 bits too (saves 0.37 bits a weight).",
            "type": "boolean",
            "default": False,
        }
    }

    def quantize(self, layer: nn.Linear, options: dict[str, Any]) -> nn.Module:
        import bitsandbytes as bnb
        from torch.nn import functional

        weight = functional.pad(layer.weight.detach(), (0, -layer.in_features % BLOCK, 0, -layer.out_features % ROWS))
        packed, quant_state = bnb.functional.quantize_4bit(
            weight.contiguous(), blocksize=BLOCK, compress_statistics=options["double_quant"], quant_type="nf4"
        )
        return self._layer(layer, packed, quant_state.as_dict(packed=True), layer.bias, str(weight.device))

    def state(self, layer: nn.Module) -> dict[str, torch.Tensor]:
        found = dict(layer.inner.state_dict())
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

    def reference(self, weight: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        from bitbudget.formats.grid import NF4, codebook

        return codebook(weight, NF4, BLOCK)

    @staticmethod
    def _layer(
        shape: nn.Linear, packed: torch.Tensor, statistics: dict, bias: torch.Tensor | None, device: str
    ) -> nn.Module:
        import bitsandbytes as bnb

        from bitbudget.formats.padded import PaddedLinear

        columns, rows = shape.in_features + -shape.in_features % BLOCK, shape.out_features + -shape.out_features % ROWS
        inner = bnb.nn.Linear4bit(
            columns, rows, bias=False, compute_dtype=shape.weight.dtype, quant_type="nf4", device="meta"
        )
        inner.weight = bnb.nn.Params4bit.from_prequantized(packed, statistics, device=device, module=inner)
        return PaddedLinear(inner, shape.in_features, shape.out_features, bias)


FORMATS = {BnbNf4.name: BnbNf4()}
