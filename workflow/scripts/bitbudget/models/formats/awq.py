"""AWQ at 8, 4, 3 and 2 bits: weights of inputs that are large are made larger before they are rounded.

Lin et al. 2024 (arXiv 2306.00978, section 3.2): a weight that is multiplied with large inputs matters more, so the
columns of a matrix are multiplied with factors s before rounding and the inputs divided by them; s = (mean |x|)^a, and
a is searched for on a grid of 20 values, a = 0 (plain rounding) among them, by the error of the layer's output. The
paper's clipping of weights is left out, so that every stored weight can be held to the definition.

Where the paper folds 1/s into the layer before, which only some layers have and which changes other parameters, a
checkpoint here holds 1/s beside each layer's integers, as `factors`, and the layer multiplies its inputs with it. So
any layer of any model can be held in it. Integers are packed as GPTQ's are, on the grid of `grid.gptq` with its scales
rounded to float16, and run on the kernels of GPTQModel, whose own AWQ needs a description of each architecture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bitbudget.models.formats.base import Held, Layer, Seen, State
from bitbudget.models.formats.gptq import Gptq

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bitbudget.models.formats.grid import Grid

FACTORS = "factors"


class Awq(Gptq):
    rounds_to_nearest = True
    title = "AWQ"
    about = (
        "multiplies the weights that meet large activations with factors before they are rounded to nearest, and "
        "divides the activations by them, so that the weights that matter most are rounded most finely; the factors "
        "are chosen on calibration inputs [@lin2024awq]. Each layer divides its own inputs here, where the authors "
        "fold the division into the layer before; weights are not clipped."
    )
    options = {key: rule for key, rule in Gptq.options.items() if key != "damping"}  # noqa: RUF012

    def __init__(self, bits: int):
        super().__init__(bits)
        self.name = f"awq-{bits}"
        self.description = f"AWQ: {bits}-bit integers, after the weights of large inputs were made larger"

    def quantize_seen(self, layer: Layer, seen: Seen, dtype: torch.dtype) -> tuple[State, dict[str, Any]]:
        from bitbudget.models.formats import awq_quantize

        return awq_quantize.quantize(layer, seen, self, dtype)

    def state(self, layer: nn.Module) -> State | None:
        found = super().state(layer)
        return None if found is None else found | {FACTORS: layer.factors}

    def restore(self, shell: nn.Linear, state: State, options: dict[str, Any], device: str) -> nn.Module:
        factors = state[FACTORS]
        if factors.shape != (shell.in_features,) or not bool((factors > 0).all() & factors.isfinite().all()):
            raise ValueError(f"{FACTORS} are not {shell.in_features} positive numbers")
        packed = {name: value for name, value in state.items() if name != FACTORS}
        layer = super().restore(shell, packed, options, device)
        layer.register_buffer(FACTORS, factors.to(device, shell.weight.dtype))
        layer.register_forward_pre_hook(_scaled)
        return layer

    def recognises(self, layer: nn.Module) -> bool:
        return super().fits(layer) and hasattr(layer, FACTORS)

    def storage(self, layer: nn.Module) -> str:
        return f"{super().storage(layer)}, and a factor for each input feature"

    def grid(self, weight: torch.Tensor, options: dict[str, Any]) -> Grid:
        """Of weights that were divided by their factors."""
        found = super().grid(weight, options)
        # the least that float16 has stands for what it would round to zero
        return replace(found, scale=found.scale.half().float().clamp(min=2.0**-24))

    def held(self, state: State, shape: tuple[int, int], options: dict[str, Any]) -> Held:
        factors = state[FACTORS].cpu().float()
        if factors.shape != shape[1:]:
            raise ValueError(f"{len(factors)} factors for {shape[1]} input features")
        return replace(super().held(state, shape, options), factors=factors)


def _scaled(layer: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (given[0] * layer.factors, *given[1:])


FORMATS = {f.name: f for f in (Awq(8), Awq(4), Awq(3), Awq(2))}
