"""The float formats: weights as the model computes with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitbudget.models.formats.base import Format
from bitbudget.system.machine import AVX2

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bitbudget.system.machine import Machine

NATIVE_BF16 = (8, 0)  # CUDA compute capability
ABOUT = {
    "float32": (
        "float32",
        "has 8 bits of exponent and 23 of fraction; it is the format in which most networks are trained and the "
        "reference for all that is smaller.",
    ),
    "float16": (
        "float16",
        "halves the size with 5 bits of exponent and 10 of fraction [@micikevicius2018mixed]: fine enough for nearly "
        "all weights, but with a largest value of 65 504, so that large activations can overflow.",
    ),
    "bfloat16": (
        "bfloat16",
        "keeps float32's 8 bits of exponent and cuts the fraction to 7 bits: it has the range of float32 at half the "
        "size and gives up resolution, with which networks can even be trained [@kalamkar2019bfloat16].",
    ),
}


class Float(Format):
    """Plain floating point; nothing is replaced, the parameters are held in this dtype."""

    is_float = True

    def __init__(self, name: str, bits: int, description: str):
        self.name, self.bits, self.description = name, bits, description
        self.computes_in = name
        self.title, self.about = ABOUT[name]

    def price(self, machine: Machine, device: str) -> str | None:
        """What it costs here in place of another float format, after its name, or None where it costs nothing.

        Measured for bfloat16 on two threads of a processor with AVX2 only, a model of SmolVLM-256M's shape: one tile
        through the vision tower 20.4 s (float32: 3.7), 100 tokens of prompt 4.34 s (0.80), a token 100 ms (164).
        """
        if device == "cuda" and machine.gpu:
            emulated = self.name == "bfloat16" and machine.gpu.capability < NATIVE_BF16
            return "is emulated, where float16 is native" if emulated else None
        if self.name == "bfloat16" and not machine.bf16:
            much = "about five times slower" if machine.kind == AVX2 else "slower"
            return f"is {much} than float32 for images and prompts"
        if self.name == "float16" and machine.kind:
            return "is three to four times slower than float32 for images and prompts"
        return None

    def recognises(self, layer: nn.Module) -> bool:
        from torch import nn

        return type(layer) is nn.Linear and type(layer.weight) is nn.Parameter and self._dtype(layer) == self.name

    def storage(self, layer: nn.Module) -> str:
        return self.name

    def kernel(self, layer: nn.Module) -> str:
        return "torch.nn.functional.linear"

    def reference(self, weight: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        import torch

        return weight.to(getattr(torch, self.name)).float()

    @staticmethod
    def _dtype(layer: nn.Module) -> str:
        return str(layer.weight.dtype).removeprefix("torch.")


FORMATS = {
    f.name: f
    for f in (
        Float("float32", 32, "IEEE single precision"),
        Float("float16", 16, "IEEE half precision"),
        Float("bfloat16", 16, "float32's exponent with 8 bits of precision"),
    )
}
