"""Weight-only formats of torchao: the weight is a tensor subclass, activations stay in the float format."""

from __future__ import annotations

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


MIDDLE = 8  # the level whose value tinygemm stores as its zero point
LEAST_SCALE = 1e-6


class TorchaoWeightOnly(TorchaoFormat):
    """Activations stay in the float format."""

    unpacks = True
    title = "torchao's weight-only formats"
    about = (
        "keep weights as 8- or 4-bit integers with one scale per channel or group, while activations stay in the float "
        "format [@torchao]."
    )

    def freedom(self, dtype: torch.dtype, device: str) -> Freedom:
        """Its scales are quotients in the model's dtype, which a GPU may round the other way, and has no least for."""
        import torch

        return Freedom() if device == "cpu" else Freedom(scale=torch.finfo(dtype).eps, least_scale=LEAST_SCALE)


class TorchaoInt8(TorchaoWeightOnly):
    name = "torchao-int8"
    bits = 8
    description = "int8 weight-only (torchao): int8 rows with one scale each, multiplied in the float format"
    _tensor_classes = ("Int8Tensor",)

    def timed(self, options: dict[str, Any]) -> Timed:
        return {
            ("float32", AVX2): (49, 24), ("float32", AVX512_BF16): (50, 24),
            ("bfloat16", AVX2): (99, 2.6), ("bfloat16", AVX512_BF16): (13, 3.4),
            ("float16", AVX2): (107, 8.5), ("float16", AVX512_BF16): (107, 8.4),
        }  # fmt: skip

    def refusal(self, in_features: int, out_features: int, options: dict[str, Any], device: str) -> str | None:
        return "torchao 0.18 fails on a single input feature" if in_features == 1 else None

    def recognises(self, layer: nn.Module) -> bool:
        # the same class also holds weights whose activations are quantized
        return super().recognises(layer) and layer.weight.act_quant_kwargs is None

    def storage(self, layer: nn.Module) -> str:
        return "int8 with a scale a row"

    def grid(self, weight: torch.Tensor, options: dict[str, Any]) -> Grid:
        """255 steps from -max to max, the uppermost cut off (`choose_qparams_affine` of torchao 0.18, symmetric)."""
        import torch

        from bitbudget.models.formats.grid import Uniform

        scale = (weight.abs().amax(1) / 127.5).float().clamp(min=torch.finfo(torch.float32).eps).reshape(-1, 1, 1)
        return Uniform(scale, torch.zeros_like(scale), -128, 127, 0)

    def held(self, state: dict[str, torch.Tensor], shape: tuple[int, int], options: dict[str, Any]) -> Held:
        import torch

        from bitbudget.models.formats.grid import Uniform

        if state["weight.qdata"].dtype != torch.int8:
            raise ValueError(f"its integers are {state['weight.qdata'].dtype}")
        scale = state["weight.scale"].float().reshape(shape[0], 1, 1)
        zero = state["weight.zero_point"].short().reshape(shape[0], 1, 1) if "weight.zero_point" in state else 0
        return Held(state["weight.qdata"], Uniform(scale, torch.zeros_like(scale), -128, 127, 0, zero))

    def _config(self, options: dict[str, Any], device: str) -> Any:
        from torchao.quantization import Int8WeightOnlyConfig

        return Int8WeightOnlyConfig()


class TorchaoInt4(TorchaoWeightOnly):
    name = "torchao-int4"
    bits = 4
    device_bound = True
    least_capability = (8, 0)  # tinygemm's kernels are for bfloat16
    description = "int4 weight-only (torchao, tinygemm kernels): 16 levels a group, packed two a byte"
    options: ClassVar[dict[str, Any]] = {
        "group_size": {
            "description": "Weights that share one scale and zero point.",
            "enum": [32, 64, 128],
            "default": 64,
        }
    }
    _tensor_classes = ("Int4OpaqueTensor", "Int4TilePackedTo4dTensor")

    def unfit(self, options: dict[str, Any], float_format: str, machine: Machine, device: str) -> str | None:
        reason = super().unfit(options, float_format, machine, device)
        if reason is None and device == "cuda" and float_format not in ("bfloat16", ""):
            return f"its kernels on a GPU compute in bfloat16 only, not beside {float_format}"
        return reason

    def timed(self, options: dict[str, Any]) -> Timed:
        # `aten::_weight_int4pack_mm_for_cpu` has fast code for bfloat16 alone.
        return {
            ("float32", AVX2): (2040, 20), ("float32", AVX512_BF16): (1960, 20),
            ("bfloat16", AVX2): (42, 1.4), ("bfloat16", AVX512_BF16): (27, 0.62),
            ("float16", AVX2): (2080, 20), ("float16", AVX512_BF16): (2270, 22),
        }  # fmt: skip

    def refusal(self, in_features: int, out_features: int, options: dict[str, Any], device: str) -> str | None:
        # torchao itself passes over such layers without a word and leaves them in the float format
        if in_features % options["group_size"]:
            return f"its {in_features} input features are no multiple of the group size {options['group_size']}"
        if out_features % 16:
            return f"its {out_features} output features are no multiple of 16"
        return None

    def storage(self, layer: nn.Module) -> str:
        return "int4, two a byte, a scale and zero point a group"

    def grid(self, weight: torch.Tensor, options: dict[str, Any]) -> Grid:
        """16 values from a group's least to its largest, reckoned in the weights' own dtype.

        As `_choose_qparams_affine_tinygemm` of torchao 0.18 has it: the value in the middle is what is stored, rounded.
        """
        from bitbudget.models.formats.grid import Uniform, grouped

        blocks = grouped(weight, options["group_size"])
        low, high = blocks.amin(-1, keepdim=True), blocks.amax(-1, keepdim=True)
        scale = ((high - low) / 15).clamp(min=LEAST_SCALE)
        middle = low + scale * MIDDLE
        offset = middle.float() - scale.float() * MIDDLE
        return Uniform(scale.float(), offset, 0, 15, options["group_size"], computed_in=weight.dtype)

    def held(self, state: dict[str, torch.Tensor], shape: tuple[int, int], options: dict[str, Any]) -> Held:
        from bitbudget.models.formats import int4_packed
        from bitbudget.models.formats.grid import Uniform

        rows, columns = shape
        pairs = state["weight.scale_and_zero"]
        scale, middle = (part.T[:rows, : columns // options["group_size"], None].float() for part in pairs.unbind(-1))
        offset = middle - scale * MIDDLE
        grid = Uniform(scale, offset, 0, 15, options["group_size"], computed_in=pairs.dtype)
        return Held(int4_packed.unpack(state["weight.qdata"], shape), grid)

    def _config(self, options: dict[str, Any], device: str) -> Any:
        if device == "cpu":  # the layout of aten::_weight_int4pack_mm_for_cpu
            from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

            return PrototypeInt4WeightOnlyConfig(group_size=options["group_size"], set_inductor_config=False)
        from torchao.quantization import Int4WeightOnlyConfig

        return Int4WeightOnlyConfig(
            group_size=options["group_size"], int4_packing_format="tile_packed_to_4d", set_inductor_config=False
        )


FORMATS = {f.name: f for f in (TorchaoInt8(), TorchaoInt4())}
