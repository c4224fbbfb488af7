"""GPTQ at 8, 4, 3 and 2 bits, by GPTQModel: rounding whose errors make up for one another on calibration texts.

Frantar et al. 2023 (arXiv 2210.17323): the columns of a matrix are rounded one after the other, and what rounding one
does to the layer's output is made good by the columns still to come, as far as the inputs that the texts give allow it.
The grid is that of `grid.gptq`, laid where the weights are by then. GPTQModel 7.6.0 takes the columns of a group in the
order of the size of their inputs. A checkpoint holds the packed integers as GPTQModel packs them (`formats.packed`),
whichever kernel is to run them: kernels are an option, and differ in speed and in what they hold in memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from bitbudget.formats.base import Calibration, Format, Layer, Promise, State

if TYPE_CHECKING:
    import torch
    from torch import nn

WORD = 32  # integers are packed into words of so many bits, and whole runs of 32 of them fill words at every width

# The widths that each kernel of GPTQModel 7.6.0 runs (a test holds them against its classes), so that a study which
# cannot work is refused before anything is downloaded.
WIDTHS = {
    "torch": (8, 4, 3, 2),
    "torch-int8": (8, 4, 2),
    "torch-aten": (4,),
    "torch-fused": (4,),
    "triton": (8, 4, 2),
    "marlin": (8, 4),
    "machete": (8, 4),
    "exllamav2": (4,),
}


class Gptq(Format):
    calibrated = True
    options: ClassVar[dict[str, Any]] = {
        "group_size": {
            "description": "Weights of a row that share one scale and zero point; -1 means a whole row.",
            "enum": [16, 32, 64, 128, -1],
            "default": 128,
        },
        "symmetric": {
            "description": "A grid symmetric about zero, or from a group's least to its largest value.",
            "type": "boolean",
            "default": True,
        },
        "damping": {
            "description": "Share of the Hessian's mean diagonal that is added to its diagonal.",
            "type": "number",
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
            "default": 0.05,
        },
        "kernel": {
            "description": "What multiplies with the packed weights.",
            "enum": list(WIDTHS),
            "default": "torch",
        },
    }

    def __init__(self, bits: int):
        self.name, self.bits = f"gptq-{bits}", bits
        self.description = f"GPTQ (GPTQModel): {bits}-bit integers, rounded with calibration texts"

    def complete(self, options: dict[str, Any], quantization: dict[str, Any]) -> dict[str, Any]:
        return {key: quantization[key] for key in self.options if key in quantization} | options

    def impossible(self, options: dict[str, Any], float_format: str) -> str | None:
        kernel = options["kernel"]
        if self.bits not in WIDTHS[kernel]:
            return f"the kernel {kernel} runs {', '.join(map(str, WIDTHS[kernel]))} bits only"
        if kernel == "marlin" and not options["symmetric"]:
            return "the kernel marlin takes symmetric grids only"
        if kernel == "torch" and float_format == "float32":
            return "the kernel torch runs in 16 bits only, not beside float32"
        return None

    def unusable(self, options: dict[str, Any], device: str, dtype: torch.dtype) -> str | None:
        from bitbudget.formats import gptq_kernels

        return gptq_kernels.unusable(self.bits, options, device, dtype)

    def refusal(self, in_features: int, out_features: int, options: dict[str, Any], device: str) -> str | None:
        if options["group_size"] != -1 and in_features % options["group_size"]:
            return f"its {in_features} input features are no multiple of the group size {options['group_size']}"
        for count, what in ((in_features, "input"), (out_features, "output")):
            if count % WORD:
                return f"its {count} {what} features are no multiple of {WORD}, as the packed words need"
        from bitbudget.formats import gptq_kernels

        return gptq_kernels.shape_refusal(self.bits, options, in_features, out_features)

    def quantize_model(
        self, layers: Sequence[Layer], calibration: Calibration, dtype: torch.dtype, device: str
    ) -> dict[str, State]:
        from bitbudget.formats import gptq_quantize

        return gptq_quantize.quantize(layers, calibration, dtype, device)

    def restore(self, shell: nn.Linear, state: State, options: dict[str, Any], device: str) -> nn.Module:
        from bitbudget.formats import gptq_kernels

        return gptq_kernels.build(shell, state, self.bits, options, device)

    def recognises(self, layer: nn.Module) -> bool:
        from bitbudget.formats import gptq_kernels

        return gptq_kernels.name_of(layer) is not None and gptq_kernels.bits_of(layer) == self.bits

    def storage(self, layer: nn.Module) -> str:
        from bitbudget.formats import gptq_kernels

        return gptq_kernels.storage(layer)

    def kernel(self, layer: nn.Module) -> str:
        from bitbudget.formats import gptq_kernels

        return super().kernel(layer) + gptq_kernels.helper(layer)

    def promise(self, weight: torch.Tensor, state: State, options: dict[str, Any]) -> Promise:
        """The weights are those of the stored integers; their error is held against that of round to nearest.

        Nearest on the same grid is as close as any rounding comes, but GPTQ lays its grid where weights have moved to;
        half of that error is left for it. How much farther it may go follows from what it minimises: with E the change
        of the weights, H the damped Hessian and D the mean diagonal of the undamped one,

            |E|^2 damping D <= tr(E H E') = sum over columns i of e_i^2 h_i,

        where e_i is the error of rounding column i, and h_i <= H_ii what the columns after i cannot make up for. The
        H_ii are (1 + damping) D on average. If e_i, which is at most half a step as in rounding to nearest, does not
        depend on H_ii, |E| is at most sqrt(1 + 1 / damping) times the error of rounding to nearest: 4.6 times at 0.05.
        (Seen on a trained decoder: 1.1 to 1.5 times at 0.05, 2.0 at 0.01, 3.1 at 0.001.) Columns whose input was zero
        in all texts are set to zero by GPTQ and their weights are lost whole, which comes on top.
        """
        from bitbudget.formats import gptq_kernels, grid, packed

        stored = packed.dequantize(state, self.bits)
        rows = 0 if options["group_size"] == -1 else options["group_size"]
        exact = weight.detach().cpu().float()
        nearest = grid.gptq(exact, self.bits, rows, options["symmetric"])
        size = exact.norm().item() or 1.0
        rounding = (nearest - exact).norm().item() / size
        lost = exact[:, gptq_kernels.zeroed(stored, exact)].norm().item() / size
        return Promise(
            weights=gptq_kernels.as_multiplied(stored, options["kernel"]),
            unit=gptq_kernels.unit(options["kernel"], weight.dtype),
            levels=2**self.bits,
            group_size=rows or weight.shape[1],
            least=0.5 * rounding,
            most=math.hypot(math.sqrt(1 + 1 / options["damping"]) * rounding, lost),
        )


FORMATS = {f.name: f for f in (Gptq(8), Gptq(4), Gptq(3), Gptq(2))}
