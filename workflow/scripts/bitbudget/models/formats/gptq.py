"""GPTQ at 8, 4, 3 and 2 bits, by GPTQModel: rounding whose errors make up for one another on calibration items.

Frantar et al. 2023 (arXiv 2210.17323): the columns of a matrix are rounded one after the other, and what rounding one
does to the layer's output is made good by the columns still to come, as far as the inputs that texts, or images with
prompts and answers, give allow it. The grid is that of `grid.gptq`, laid where the weights are by then. GPTQModel 7.6.0
takes the columns of a group in the order of the size of their inputs. A checkpoint holds the packed integers as
GPTQModel packs them (`formats.packed`), whichever kernel is to run them: kernels are an option, and differ in speed and
in what they hold in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from bitbudget.models.formats.base import Format, Held, Layer, Seen, State
from bitbudget.models.formats.pace import Timed
from bitbudget.system.machine import AVX2, AVX512_BF16

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bitbudget.models.formats.grid import Grid
    from bitbudget.system.machine import Machine

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
    "swordfish": (8, 4),
}
# Where each runs, in which float formats, and from which CUDA compute capability on (likewise).
EVERY, HALF = ("float32", "float16", "bfloat16"), ("float16", "bfloat16")
RUNS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[int, int]]] = {
    "torch": (("cpu", "cuda"), EVERY, (0, 0)),
    "torch-int8": (("cpu",), EVERY, (0, 0)),
    "torch-aten": (("cpu",), HALF, (0, 0)),
    "torch-fused": (("cpu",), EVERY, (0, 0)),
    "triton": (("cuda",), HALF, (0, 0)),
    "marlin": (("cuda",), HALF, (7, 5)),
    "machete": (("cuda",), HALF, (9, 0)),
    "exllamav2": (("cuda",), HALF, (0, 0)),
    "swordfish": (("cuda",), HALF, (10, 0)),
}
AUTO = "auto"
# What `aten::_weight_int4pack_mm_for_cpu` takes, on which the kernels torch-fused and torch-aten are.
INT4PACK_GROUPS = (32, 64, 128)


def kernel_for(bits: int, options: dict[str, Any], float_format: str, device: str) -> str:
    """The kernel that was chosen, or the fastest that multiplies with these very integers.

    On a processor those of 4 bits have fast ones, which round activations to bfloat16; torch-int8 is none of them,
    because it rounds the weights once more. On a GPU, which of the others is there, and faster, depends on what was
    compiled: torch runs everywhere.
    """
    if options["kernel"] != AUTO:
        return options["kernel"]
    if device != "cpu" or bits != 4 or options["group_size"] not in INT4PACK_GROUPS:
        return "torch"
    if options["symmetric"] and float_format in ("float32", "bfloat16"):
        return "torch-fused"
    return "torch-aten" if float_format == "bfloat16" else "torch"


class Gptq(Format):
    calibrated = True
    needs = ("gptqmodel",)
    unpacks = True
    rounds_to_nearest = False
    title = "GPTQ"
    about = (
        "rounds the weights of a layer one column after the other and lets those that are not yet rounded make up for "
        "the error, guided by second-order information from calibration inputs [@frantar2023gptq]. It minimises the "
        "error of a layer's output and not that of its weights, whose error may be larger than that of plain rounding."
    )
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
            "description": (
                "What multiplies with the packed weights; auto: on a processor the fastest that multiplies with these "
                "very integers (torch-fused or torch-aten at 4 bits), else torch."
            ),
            "enum": [AUTO, *WIDTHS],
            "default": AUTO,
        },
    }

    def __init__(self, bits: int):
        self.name, self.bits = f"gptq-{bits}", bits
        self.description = f"GPTQ (GPTQModel): {bits}-bit integers, rounded with calibration items"

    def complete(self, options: dict[str, Any], quantization: dict[str, Any]) -> dict[str, Any]:
        return {key: quantization[key] for key in self.options if key in quantization} | options

    def impossible(self, options: dict[str, Any], float_format: str) -> str | None:
        kernel = options["kernel"]
        if kernel == AUTO:
            return None
        if self.bits not in WIDTHS[kernel]:
            return f"the kernel {kernel} runs {', '.join(map(str, WIDTHS[kernel]))} bits only"
        if (kernel == "marlin" or (kernel == "swordfish" and self.bits == 8)) and not options["symmetric"]:
            return f"the kernel {kernel} takes symmetric grids only{' at 8 bits' if kernel == 'swordfish' else ''}"
        return None

    def unfit(self, options: dict[str, Any], float_format: str, machine: Machine, device: str) -> str | None:
        kernel = kernel_for(self.bits, options, float_format, device)
        devices, floats, capability = RUNS[kernel]
        if kernel == "torch" and device == "cuda":
            floats = HALF
        if device not in devices:
            return f"its kernel {kernel} does not run on {'a processor' if device == 'cpu' else 'a GPU'}"
        if float_format and float_format not in floats:
            return f"its kernel {kernel} does not compute in {float_format} on {device}"
        if device == "cuda" and machine.gpu and machine.gpu.capability < capability:
            return f"its kernel {kernel} does not run on {machine.gpu}, and needs {'.'.join(map(str, capability))}"
        return super().unfit(options, float_format, machine, device)

    def timed(self, options: dict[str, Any]) -> Timed:
        found = {}
        for float_format in EVERY:
            kernel = kernel_for(self.bits, options, float_format, "cpu")
            of_kernel = LAYER_MS.get((kernel, self.bits if kernel == "torch" else 0), {})
            found |= {key: times for key, times in of_kernel.items() if key[0] == float_format}
        return found

    def unusable(self, options: dict[str, Any], device: str, dtype: torch.dtype) -> str | None:
        from bitbudget.models.formats import gptq_kernels

        return gptq_kernels.unusable(self.bits, self._chosen(options, dtype, device), device, dtype)

    def refusal(self, in_features: int, out_features: int, options: dict[str, Any], device: str) -> str | None:
        if options["group_size"] != -1 and in_features % options["group_size"]:
            return f"its {in_features} input features are no multiple of the group size {options['group_size']}"
        for count, what in ((in_features, "input"), (out_features, "output")):
            if count % WORD:
                return f"its {count} {what} features are no multiple of {WORD}, as the packed words need"
        from bitbudget.models.formats import gptq_kernels

        chosen = options | {"kernel": kernel_for(self.bits, options, "", device)}
        return gptq_kernels.shape_refusal(self.bits, chosen, in_features, out_features)

    def _chosen(self, options: dict[str, Any], dtype: torch.dtype, device: str) -> dict[str, Any]:
        """The options with the kernel that is to run in a model of this dtype."""
        return options | {"kernel": kernel_for(self.bits, options, str(dtype).removeprefix("torch."), device)}

    def quantize_seen(self, layer: Layer, seen: Seen, dtype: torch.dtype) -> tuple[State, dict[str, Any]]:
        from bitbudget.models.formats import gptq_quantize

        return gptq_quantize.quantize(layer, seen, self.bits)

    def state(self, layer: nn.Module) -> State | None:
        """None of kernels that put the packed tensors into an order of their own."""
        from bitbudget.models.formats import gptq_kernels

        return gptq_kernels.packed_tensors(layer)

    def restore(self, shell: nn.Linear, state: State, options: dict[str, Any], device: str) -> nn.Module:
        from bitbudget.models.formats import gptq_kernels

        chosen = self._chosen(options, shell.weight.dtype, device)
        return gptq_kernels.build(shell, state, self.bits, chosen, device)

    def recognises(self, layer: nn.Module) -> bool:
        return self.fits(layer) and not hasattr(layer, "factors")  # AWQ's are packed alike

    def fits(self, layer: nn.Module) -> bool:
        """Whether a layer is one of the kernels, with integers of this width."""
        from bitbudget.models.formats import gptq_kernels

        return gptq_kernels.name_of(layer) is not None and gptq_kernels.bits_of(layer) == self.bits

    def storage(self, layer: nn.Module) -> str:
        from bitbudget.models.formats import gptq_kernels

        return gptq_kernels.storage(layer)

    def kernel(self, layer: nn.Module) -> str:
        from bitbudget.models.formats import gptq_kernels

        return super().kernel(layer) + gptq_kernels.helper(layer)

    def grid(self, weight: torch.Tensor, options: dict[str, Any]) -> Grid:
        """As it is laid where no weight has moved yet: what rounding to nearest on the same kind of grid would use."""
        from bitbudget.models.formats.grid import gptq

        return gptq(weight, self.bits, max(0, options["group_size"]), options["symmetric"])

    def held(self, state: State, shape: tuple[int, int], options: dict[str, Any]) -> Held:
        from bitbudget.models.formats import packed

        return packed.held(state, self.bits, shape)

    def multiplied(self, held: Held, options: dict[str, Any]) -> Held:
        from bitbudget.models.formats import gptq_kernels

        return gptq_kernels.as_multiplied(held, options["kernel"])

    def unit(self, dtype: torch.dtype, options: dict[str, Any]) -> float:
        from bitbudget.models.formats import gptq_kernels

        # where auto chooses a kernel on a processor, a GPU's has no coarser dtype, or runs in no model of this dtype
        return gptq_kernels.unit(self._chosen(options, dtype, "cpu")["kernel"], dtype)


# By kernel, and for the kernel torch by bits; see `pace`.
LAYER_MS: dict[tuple[str, int], Timed] = {
    ("torch", 8): {
        ("float32", AVX2): (137, 84), ("float32", AVX512_BF16): (122, 85),
        ("bfloat16", AVX2): (1400, 68), ("bfloat16", AVX512_BF16): (79, 68),
        ("float16", AVX2): (1250, 58), ("float16", AVX512_BF16): (1260, 67),
    },
    ("torch", 4): {
        ("float32", AVX2): (115, 80), ("float32", AVX512_BF16): (104, 72),
        ("bfloat16", AVX2): (1430, 86), ("bfloat16", AVX512_BF16): (57, 47),
        ("float16", AVX2): (1230, 47), ("float16", AVX512_BF16): (1290, 97),
    },
    ("torch", 3): {
        ("float32", AVX2): (220, 215), ("float32", AVX512_BF16): (211, 189),
        ("bfloat16", AVX2): (1560, 193), ("bfloat16", AVX512_BF16): (181, 168),
        ("float16", AVX2): (1380, 202), ("float16", AVX512_BF16): (1360, 128),
    },
    ("torch", 2): {
        ("float32", AVX2): (120, 98), ("float32", AVX512_BF16): (108, 77),
        ("bfloat16", AVX2): (1470, 80), ("bfloat16", AVX512_BF16): (56, 46),
        ("float16", AVX2): (1280, 68), ("float16", AVX512_BF16): (1240, 47),
    },
    # `aten::_weight_int8pack_mm` has fast code for bfloat16 alone.
    ("torch-int8", 0): {
        ("float32", AVX2): (960, 9.6), ("float32", AVX512_BF16): (960, 9.6),
        ("bfloat16", AVX2): (41, 0.8), ("bfloat16", AVX512_BF16): (30, 0.62),
        ("float16", AVX2): (955, 9.7), ("float16", AVX512_BF16): (1140, 12),
    },
    ("torch-aten", 0): {
        ("bfloat16", AVX2): (43, 1.4), ("bfloat16", AVX512_BF16): (27, 0.61),
        ("float16", AVX2): (42, 1.5), ("float16", AVX512_BF16): (28, 0.63),
    },
    ("torch-fused", 0): {
        ("float32", AVX2): (43, 1.6), ("float32", AVX512_BF16): (28, 0.68),
        ("bfloat16", AVX2): (43, 1.4), ("bfloat16", AVX512_BF16): (27, 0.62),
        ("float16", AVX2): (2070, 21), ("float16", AVX512_BF16): (2270, 22),
    },
}  # fmt: skip
FORMATS = {f.name: f for f in (Gptq(8), Gptq(4), Gptq(3), Gptq(2))}
