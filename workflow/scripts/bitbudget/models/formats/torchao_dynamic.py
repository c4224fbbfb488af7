"""Formats of torchao that round what goes into a layer too, token by token, so that the product itself is in 8 bits."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any, ClassVar

from bitbudget.models.formats.base import Freedom, Held
from bitbudget.models.formats.pace import Timed
from bitbudget.models.formats.torchao_layer import TorchaoFormat
from bitbudget.system.machine import AVX2, AVX512_BF16

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bitbudget.models.formats.grid import Grid
    from bitbudget.system.machine import Machine

OVERFLOWS = (
    "this processor has no VNNI instructions, and adds products of full 8 bits in 16 bits, which overflow; set "
    "`reduce_range: true` for 7 bits"
)
NO_FLOAT16 = "its sums pass through float16 before the weights' scales are applied, and may overflow"


class TorchaoDynamic(TorchaoFormat):
    """Weights in rows of 8 bits with one scale each; a token's activations have one scale too."""

    bits = 8
    title = "torchao's dynamic formats"
    about = (
        "round the weights once, with one scale per output channel, and the activations of every token as they come, "
        "with one scale per token, so that the products themselves are computed in 8 bits [@torchao]."
    )

    def probes(self, signs: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        """Whole steps of one token's grid, mixed from column to column, and tokens of several sizes.

        The largest of each row sets its scale, to a power of two; all are exact in 16 bits.
        """
        import torch

        rows, columns = signs.shape
        steps, largest = self._steps(options)
        row = torch.arange(rows).reshape(-1, 1)
        sizes = steps[(torch.arange(columns) * 37 + row * 11) % len(steps)]
        found = signs.double().sign() * sizes
        found.scatter_(1, row * 7 % columns, largest)
        return (found * signs.abs().max() * 2.0 ** -(9 + row % 4)).to(signs.dtype)

    def _steps(self, options: dict[str, Any]) -> tuple[torch.Tensor, float]:
        """Sizes that a grid of scale 1 holds exactly, and the one that gives a token this scale."""
        raise NotImplementedError


class TorchaoInt8Dynamic(TorchaoDynamic):
    name = "torchao-int8-dynamic"
    computes_in = "int8"
    description = "int8 weights and activations (torchao): a scale a row of weights, and a scale a token of activations"
    options: ClassVar[dict[str, Any]] = {
        "kernel": {
            "description": (
                "What multiplies: torchao's own function, or on a processor onednn, which multiplies the same integers "
                "by weights that were packed once; auto: onednn on an x86 processor, else torchao."
            ),
            "enum": ["auto", "onednn", "torchao"],
            "default": "auto",
        },
        "reduce_range": {
            "description": (
                "Round weights and activations to 7 bits: what processors without VNNI instructions need, whose sums "
                "of 8-bit products overflow."
            ),
            "type": "boolean",
            "default": False,
        },
    }
    _tensor_classes = ("Int8Tensor",)

    def about_options(self, options: dict[str, Any]) -> str:
        if not options["reduce_range"]:
            return ""
        return "Weights and activations have 7 bits here, so that sums of products fit a processor without VNNI."

    def impossible(self, options: dict[str, Any], float_format: str) -> str | None:
        return NO_FLOAT16 if options["kernel"] == "torchao" and float_format == "float16" else None

    def unfit(self, options: dict[str, Any], float_format: str, machine: Machine, device: str) -> str | None:
        if reason := super().unfit(options, float_format, machine, device):
            return reason
        if device == "cuda" and options["kernel"] == "onednn":
            return "its kernel onednn does not run on a GPU"
        if _kernel(options, device) == "torchao" and float_format == "float16":
            return f"beside float16, {NO_FLOAT16}"
        if device == "cpu" and machine.int8_overflows and not options["reduce_range"]:
            return OVERFLOWS
        return None

    def timed(self, options: dict[str, Any]) -> Timed:
        return LAYER_MS[_kernel(options, "cpu")]

    def unusable(self, options: dict[str, Any], device: str, dtype: torch.dtype) -> str | None:
        import torch

        if device != "cpu":
            return "its kernel onednn does not run on a GPU" if options["kernel"] == "onednn" else None
        if _kernel(options, device) == "torchao" and dtype == torch.float16:
            return f"beside float16, {NO_FLOAT16}"
        top = 63 if options["reduce_range"] else 127
        full = torch.full((64, 64), top, dtype=torch.int8)
        return None if (torch._int_mm(full, full.T) == 64 * top * top).all() else OVERFLOWS

    def refusal(self, in_features: int, out_features: int, options: dict[str, Any], device: str) -> str | None:
        return "torchao 0.18 fails on a single input feature" if in_features == 1 else None

    def quantize(self, layer: nn.Linear, options: dict[str, Any]) -> nn.Module:
        made = super().quantize(layer, options)
        return self._on_kernel(made, options, layer.weight.device.type)

    def state(self, layer: nn.Module) -> dict[str, torch.Tensor]:
        """Without zero points, which are zeros and which no kernel reads."""
        if not _is_onednn(layer):
            found = super().state(layer)
            return {key: value for key, value in found.items() if key != "weight.zero_point"}
        found = {"weight.qdata": layer.codes(), "weight.scale": layer.scale.reshape(-1, 1)}
        return found if layer.bias is None else found | {"bias": layer.bias.data}

    def restore(
        self, shell: nn.Linear, state: dict[str, torch.Tensor], options: dict[str, Any], device: str
    ) -> nn.Module:
        from bitbudget.models.formats.onednn_int8 import OnednnInt8Linear

        if _kernel(options, device) == "onednn":
            return OnednnInt8Linear(state["weight.qdata"], state["weight.scale"], state.get("bias"), _top(options))
        return super().restore(shell, state, options, device)

    def recognises(self, layer: nn.Module) -> bool:
        if _is_onednn(layer):
            return True
        return super().recognises(layer) and layer.weight.act_quant_scale is None and _by_token(layer.weight)

    def storage(self, layer: nn.Module) -> str:
        return "int8 with a float32 scale a row" + (", packed by oneDNN" if _is_onednn(layer) else "")

    def kernel(self, layer: nn.Module) -> str:
        return "torch.ops.onednn.qlinear_pointwise" if _is_onednn(layer) else "torchao.kernel.int_scaled_matmul"

    def grid(self, weight: torch.Tensor, options: dict[str, Any]) -> Grid:
        """From -max to max in 255 (or 127) steps, the uppermost cut off (`choose_qparams_affine`, symmetric)."""
        import torch

        from bitbudget.models.formats.grid import Uniform

        top = _top(options)
        scale = (weight.abs().amax(1) / (top + 0.5)).float().clamp(min=torch.finfo(torch.float32).eps)
        scale = scale.reshape(-1, 1, 1)
        return Uniform(scale, torch.zeros_like(scale), -top - 1, top, 0)

    def held(self, state: dict[str, torch.Tensor], shape: tuple[int, int], options: dict[str, Any]) -> Held:
        import torch

        from bitbudget.models.formats.grid import Uniform

        if state["weight.qdata"].dtype != torch.int8:
            raise ValueError(f"its integers are {state['weight.qdata'].dtype}")
        scale, top = state["weight.scale"].float().reshape(shape[0], 1, 1), _top(options)
        return Held(state["weight.qdata"], Uniform(scale, torch.zeros_like(scale), -top - 1, top, 0))

    def freedom(self, dtype: torch.dtype, device: str) -> Freedom:
        """A GPU may round the scales, quotients in the model's dtype, the other way."""
        import torch

        return Freedom() if device == "cpu" else Freedom(scale=torch.finfo(dtype).eps)

    def entering(self, inputs: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        top = _top(options)
        scale = inputs.abs().amax(1, keepdim=True) / (top + 0.5)
        return (inputs / scale).round().clamp(-top - 1, top) * scale

    def _steps(self, options: dict[str, Any]) -> tuple[torch.Tensor, float]:
        import torch

        top = _top(options)
        return torch.arange(1, top + 1).double(), top + 0.5

    def _on_kernel(self, made: nn.Linear, options: dict[str, Any], device: str) -> nn.Module:
        if _kernel(options, device) != "onednn":
            return made
        return self.restore(made, self.state(made), options, device)

    def _config(self, options: dict[str, Any], device: str) -> Any:
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig

        return Int8DynamicActivationInt8WeightConfig(reduce_range=options["reduce_range"], set_inductor_config=False)


def _top(options: dict[str, Any]) -> int:
    """The largest integer."""
    return 63 if options["reduce_range"] else 127


def _kernel(options: dict[str, Any], device: str) -> str:
    """The kernel that `auto` stands for on a device, or the one that was chosen."""
    if options["kernel"] != "auto":
        return options["kernel"]
    return "onednn" if device == "cpu" and platform.machine().lower() in ("x86_64", "amd64") else "torchao"


def _is_onednn(layer: nn.Module) -> bool:
    from bitbudget.models.formats.onednn_int8 import OnednnInt8Linear

    return isinstance(layer, OnednnInt8Linear)


def _by_token(weight: Any) -> bool:
    """Whether a weight of torchao's has its inputs rounded symmetrically, with a scale a token."""
    from torchao.quantization.granularity import PerRow
    from torchao.quantization.quant_primitives import MappingType

    how = weight.act_quant_kwargs
    return how is not None and isinstance(how.granularity, PerRow) and how.mapping_type == MappingType.SYMMETRIC


class TorchaoFp8(TorchaoDynamic):
    name = "torchao-fp8"
    computes_in = "float8"
    runs_on = ("cuda",)
    least_capability = (8, 9)
    description = "float8 (e4m3) weights and activations (torchao): a scale a row of weights, and a scale a token"
    _tensor_classes = ("Float8Tensor",)

    def unfit(self, options: dict[str, Any], float_format: str, machine: Machine, device: str) -> str | None:
        if reason := super().unfit(options, float_format, machine, device):
            return reason
        return None if float_format in ("bfloat16", "") else f"it runs beside bfloat16 only, not beside {float_format}"

    def unusable(self, options: dict[str, Any], device: str, dtype: torch.dtype) -> str | None:
        import torch

        if reason := super().unusable(options, device, dtype):
            return reason
        return None if dtype == torch.bfloat16 else "it runs in a model of bfloat16 only"

    def refusal(self, in_features: int, out_features: int, options: dict[str, Any], device: str) -> str | None:
        # torchao itself passes over such layers without a word and leaves them in the float format
        for count, what in ((in_features, "input"), (out_features, "output")):
            if count % 16:
                return f"its {count} {what} features are no multiple of 16"
        return None

    def recognises(self, layer: nn.Module) -> bool:
        if not super().recognises(layer):
            return False
        how, weight = layer.weight.act_quant_kwargs, layer.weight
        return how is not None and list(weight.block_size) == [1, weight.shape[1]]

    def storage(self, layer: nn.Module) -> str:
        return "float8 (e4m3) with a float32 scale a row"

    def kernel(self, layer: nn.Module) -> str:
        from torchao.utils import _is_mslk_available

        return "torch.ops.mslk.f8f8bf16_rowwise" if _is_mslk_available() else "torch._scaled_mm (a scale a row)"

    def grid(self, weight: torch.Tensor, options: dict[str, Any]) -> Grid:
        """The float8 numbers times a scale, by which a row's largest magnitude is 448, float8's largest number."""
        import torch

        from bitbudget.models.formats.grid import SmallFloat

        scale = (weight.abs().amax(1) / torch.finfo(torch.float8_e4m3fn).max).float().reshape(-1, 1, 1)
        return SmallFloat(scale, torch.float8_e4m3fn)

    def held(self, state: dict[str, torch.Tensor], shape: tuple[int, int], options: dict[str, Any]) -> Held:
        import torch

        from bitbudget.models.formats.grid import SmallFloat

        if state["weight.qdata"].dtype != torch.float8_e4m3fn:
            raise ValueError(f"its numbers are {state['weight.qdata'].dtype}")
        return Held(
            state["weight.qdata"],
            SmallFloat(state["weight.scale"].float().reshape(shape[0], 1, 1), torch.float8_e4m3fn),
        )

    def freedom(self, dtype: torch.dtype, device: str) -> Freedom:
        import torch

        return Freedom() if device == "cpu" else Freedom(scale=torch.finfo(dtype).eps)

    def _steps(self, options: dict[str, Any]) -> tuple[torch.Tensor, float]:
        import torch

        return torch.arange(8, 16).double() * 16, 448.0

    def _config(self, options: dict[str, Any], device: str) -> Any:
        from torchao.quantization import Float8DynamicActivationFloat8WeightConfig
        from torchao.quantization.granularity import PerRow

        return Float8DynamicActivationFloat8WeightConfig(granularity=PerRow(), set_inductor_config=False)


# By kernel; see `pace`.
LAYER_MS: dict[str, Timed] = {
    # on AVX2 with reduced range
    "onednn": {
        ("float32", AVX2): (14, 2.3), ("float32", AVX512_BF16): (7.1, 0.44),
        ("bfloat16", AVX2): (15, 2.3), ("bfloat16", AVX512_BF16): (7.6, 0.6),
        ("float16", AVX2): (14, 2.1), ("float16", AVX512_BF16): (7.5, 1.1),
    },
    "torchao": {
        ("float32", AVX2): (40, 29), ("float32", AVX512_BF16): (33, 27),
        ("bfloat16", AVX2): (44, 30), ("bfloat16", AVX512_BF16): (35, 26),
        ("float16", AVX2): (43, 29), ("float16", AVX512_BF16): (36, 28),
    },
}  # fmt: skip
FORMATS = {f.name: f for f in (TorchaoInt8Dynamic(), TorchaoFp8())}
