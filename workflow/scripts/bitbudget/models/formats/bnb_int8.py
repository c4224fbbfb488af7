"""LLM.int8() of bitsandbytes: int8 rows with one float32 scale each, activations quantized on the fly.

Activation columns with outliers above `threshold` are multiplied in 16 bit (Dettmers et al. 2022, arXiv 2208.07339).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from bitbudget.models.formats.base import Format, Freedom, Held
from bitbudget.models.formats.pace import Timed
from bitbudget.system.machine import AVX2, AVX512_BF16

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bitbudget.models.formats.grid import Grid


class BnbInt8(Format):
    name = "bnb-int8"
    bits = 8
    computes_in = "int8"
    least_capability = (7, 5)  # int8 tensor cores
    needs = ("bitsandbytes",)
    description = "LLM.int8() (bitsandbytes): int8 weights and activations, outlier columns in 16 bit"
    title = "LLM.int8()"
    about = (
        "(here bnb-int8, of the library bitsandbytes) multiplies rows of activations and columns of weights as 8-bit "
        "integers, each with its own scale [@dettmers2022llmint8]."
    )
    options: ClassVar[dict[str, Any]] = {
        "threshold": {
            "description": "Activation columns with a value above this are multiplied in 16 bit; 0 switches that off.",
            "type": "number",
            "minimum": 0,
            "default": 6.0,
        }
    }

    def about_options(self, options: dict[str, Any]) -> str:
        threshold = options["threshold"]
        if not threshold:
            return "With the threshold 0, no activation column is taken out to be multiplied in 16 bits."
        return (
            f"The few activation columns with a value above {threshold:g} are taken out and multiplied in 16 bits. The "
            "method aims at memory; splitting each product in two can make small batches slower than 16 bits."
        )

    def timed(self, options: dict[str, Any]) -> Timed:
        return {
            ("float32", AVX2): (56, 25), ("float32", AVX512_BF16): (47, 23),
            ("bfloat16", AVX2): (146, 49), ("bfloat16", AVX512_BF16): (57, 46),
            ("float16", AVX2): (162, 59), ("float16", AVX512_BF16): (199, 53),
        }  # fmt: skip

    def quantize(self, layer: nn.Linear, options: dict[str, Any]) -> nn.Module:
        import bitsandbytes as bnb

        new = self._shell(layer, options)
        weight = layer.weight.detach()
        packed, scale, _ = bnb.functional.int8_vectorwise_quant(weight.to(_quantized_from(weight.device.type)))
        return self._fill(new, packed, scale, layer.bias)

    def state(self, layer: nn.Module) -> dict[str, torch.Tensor]:
        scale = layer.state.SCB if layer.weight.SCB is None else layer.weight.SCB
        found = {"weight": layer.weight.data, "SCB": scale}
        return found if layer.bias is None else found | {"bias": layer.bias.data}

    def restore(
        self, shell: nn.Linear, state: dict[str, torch.Tensor], options: dict[str, Any], device: str
    ) -> nn.Module:
        tensors = {key: value.to(device) for key, value in state.items()}
        return self._fill(self._shell(shell, options), tensors["weight"], tensors["SCB"], tensors.get("bias"))

    def recognises(self, layer: nn.Module) -> bool:
        import bitsandbytes as bnb
        import torch

        return isinstance(layer, bnb.nn.Linear8bitLt) and layer.weight.dtype == torch.int8

    def storage(self, layer: nn.Module) -> str:
        return "int8 with a float32 scale a row"

    def kernel(self, layer: nn.Module) -> str:
        import bitsandbytes as bnb

        return f"{bnb.nn.Linear8bitLt.__module__}.{bnb.nn.Linear8bitLt.__name__}"

    def grid(self, weight: torch.Tensor, options: dict[str, Any]) -> Grid:
        from bitbudget.models.formats.grid import symmetric

        return symmetric(weight, 8, 0)

    def held(self, state: dict[str, torch.Tensor], shape: tuple[int, int], options: dict[str, Any]) -> Held:
        import torch

        from bitbudget.models.formats.grid import Uniform

        scale = state["SCB"].float().reshape(shape[0], 1, 1) / 127
        return Held(state["weight"], Uniform(scale, torch.zeros_like(scale), -127, 127, 0))

    def freedom(self, dtype: torch.dtype, device: str) -> Freedom:
        import torch

        half = device != "cpu" and dtype != torch.float16  # it is quantized from float16 there
        return Freedom(scale=2**-10, tie=127 * 2**-11) if half else Freedom()

    def unit(self, dtype: torch.dtype, options: dict[str, Any]) -> float:
        return max(super().unit(dtype, options), 2**-11)  # activations pass through float16

    def probes(self, signs: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        """In half of them some columns are outliers, which another kernel multiplies, but where signs must be small."""
        if not options["threshold"] or signs.abs().max() < 1:
            return signs
        some = signs.clone()
        some[: len(some) // 2, ::61] *= 2 * options["threshold"]
        return some

    @staticmethod
    def _shell(layer: nn.Linear, options: dict[str, Any]) -> nn.Module:
        from bitbudget.models.formats.flat_int8 import FlatLinear8bitLt

        return FlatLinear8bitLt(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            has_fp16_weights=False,
            threshold=options["threshold"],
            device="meta",
        )

    @staticmethod
    def _fill(new: nn.Module, packed: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
        """Put int8 weights and row scales where `Linear8bitLt.forward` looks for them."""
        import bitsandbytes as bnb
        from torch import nn

        new.weight = bnb.nn.Int8Params(packed, requires_grad=False, has_fp16_weights=False, CB=packed, SCB=scale)
        if bias is not None:
            new.bias = nn.Parameter(bias.detach(), requires_grad=False)
        return new


def _quantized_from(device: str) -> torch.dtype:
    """The dtype that the row-wise int8 kernel reads: half precision on a GPU, where it takes no other."""
    import torch

    return torch.float32 if device == "cpu" else torch.float16


FORMATS = {BnbInt8.name: BnbInt8()}
