"""Round to nearest at 8, 4, 3 and 2 bits, simulated: what the bits alone do to quality, without any kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from bitbudget.models.formats.base import Format, Held

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bitbudget.models.formats.grid import Grid


class RoundToNearest(Format):
    """Rounded weights held as floats, so neither size nor speed is claimed.

    By default a row shares one symmetric grid, which has 2^bits - 1 levels: seven at 3 bits, three at 2 bits.
    """

    simulated = True
    title = "Round-to-nearest"
    about = (
        "moves each weight to the closest value of its grid, without calibration [@nagel2021white]. It is simulated "
        "here: values are rounded but stored and multiplied as floats, so it shows what rounding does to quality and "
        "claims no size, speed or energy."
    )
    options: ClassVar[dict[str, Any]] = {
        "group_size": {
            "description": "Weights that share one scale; 0 means a whole row.",
            "type": "integer",
            "minimum": 0,
            "default": 0,
        },
        "symmetric": {
            "description": "A grid symmetric about zero (2^bits - 1 levels), or from a group's least to largest value.",
            "type": "boolean",
            "default": True,
        },
        "gptq_grid": {
            "description": "GPTQ's own grid instead (2^bits levels with an integer zero point, and group size and "
            "symmetry of the study's `quantization`), so that the two differ in nothing but the algorithm.",
            "type": "boolean",
            "default": False,
        },
    }

    def __init__(self, bits: int):
        self.name, self.bits = f"rtn-{bits}", bits
        self.description = f"round to nearest at {bits} bits, simulated (stored and multiplied as floats)"

    def complete(self, options: dict[str, Any], quantization: dict[str, Any]) -> dict[str, Any]:
        if not options.get("gptq_grid"):
            return options
        shared = {key: quantization[key] for key in ("group_size", "symmetric") if key in quantization}
        if shared.get("group_size") == -1:  # GPTQ's word for a whole row
            shared["group_size"] = 0
        return shared | options

    def refusal(self, in_features: int, out_features: int, options: dict[str, Any], device: str) -> str | None:
        size = options["group_size"]
        if size and in_features % size:
            return f"its {in_features} input features are no multiple of the group size {size}"
        return None

    def quantize(self, layer: nn.Linear, options: dict[str, Any]) -> nn.Module:
        rounded = self.reference(layer.weight.detach(), options).to(layer.weight.dtype)
        return self._layer(layer, rounded, layer.bias)

    def state(self, layer: nn.Module) -> dict[str, torch.Tensor]:
        return dict(layer.state_dict())

    def restore(
        self, shell: nn.Linear, state: dict[str, torch.Tensor], options: dict[str, Any], device: str
    ) -> nn.Module:
        bias = state["bias"].to(device) if "bias" in state else None
        return self._layer(shell, state["weight"].to(device), bias)

    def recognises(self, layer: nn.Module) -> bool:
        from bitbudget.models.formats.simulated import SimulatedLinear

        return isinstance(layer, SimulatedLinear) and layer.format_name == self.name

    def storage(self, layer: nn.Module) -> str:
        return f"{str(layer.weight.dtype).removeprefix('torch.')} holding {self.bits}-bit values (simulated)"

    def kernel(self, layer: nn.Module) -> str:
        return "torch.nn.functional.linear"

    def grid(self, weight: torch.Tensor, options: dict[str, Any]) -> Grid:
        from bitbudget.models.formats.grid import asymmetric, gptq, symmetric

        if options["gptq_grid"]:
            return gptq(weight, self.bits, options["group_size"], options["symmetric"])
        return (symmetric if options["symmetric"] else asymmetric)(weight, self.bits, options["group_size"])

    def held(self, state: dict[str, torch.Tensor], shape: tuple[int, int], options: dict[str, Any]) -> Held:
        return Held(state["weight"], None)

    def _layer(self, shape: nn.Linear, weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
        from bitbudget.models.formats.simulated import SimulatedLinear

        return SimulatedLinear(self.name, weight, bias)


FORMATS = {f.name: f for f in (RoundToNearest(8), RoundToNearest(4), RoundToNearest(3), RoundToNearest(2))}
