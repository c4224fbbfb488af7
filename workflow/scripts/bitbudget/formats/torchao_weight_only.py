"""Weight-only formats of torchao: the weight is a tensor subclass, activations stay in the float format."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from bitbudget.formats.base import Format

if TYPE_CHECKING:
    import torch
    from torch import nn


class TorchaoWeightOnly(Format):
    """What both share: the layer stays an `nn.Linear`, and its weight's inner tensors are what is stored."""

    def quantize(self, layer: nn.Linear, options: dict[str, Any]) -> nn.Module:
        import torch
        from torch import nn
        from torchao.quantization import quantize_

        new = self._shell(layer, layer.bias)
        # The copy leaves the original layer as it is: quantize_ changes modules in place.
        new.weight = nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
        with torch.no_grad():
            quantize_(new, self._config(options, layer.weight.device.type))
        return new

    def state(self, layer: nn.Module) -> dict[str, torch.Tensor]:
        names, _ = layer.weight.__tensor_flatten__()
        found = {f"weight.{name}": getattr(layer.weight, name) for name in names}
        return found if layer.bias is None else found | {"bias": layer.bias.data}

    def restore(
        self, shell: nn.Linear, state: dict[str, torch.Tensor], options: dict[str, Any], device: str
    ) -> nn.Module:
        from torch import nn

        inner = {k.removeprefix("weight."): v.to(device) for k, v in state.items() if k.startswith("weight.")}
        kind, attributes = self._blueprint(
            shell.in_features, shell.out_features, shell.weight.dtype, tuple(sorted(options.items())), device
        )
        new = self._shell(shell, state["bias"].to(device) if "bias" in state else None)
        weight = kind.__tensor_unflatten__(inner, attributes, None, None)
        new.weight = nn.Parameter(weight, requires_grad=False)
        return new

    def recognises(self, layer: nn.Module) -> bool:
        from torch import nn

        return isinstance(layer, nn.Linear) and type(layer.weight).__name__ in self._tensor_classes

    def kernel(self, layer: nn.Module) -> str:
        return f"{type(layer.weight).__module__}.{type(layer.weight).__name__}"

    _tensor_classes: tuple[str, ...]

    def _config(self, options: dict[str, Any], device: str) -> Any:
        raise NotImplementedError

    @functools.cache  # noqa: B019 - there is one object a format
    def _blueprint(
        self, in_features: int, out_features: int, dtype: torch.dtype, options: tuple[tuple[str, Any], ...], device: str
    ) -> tuple[type, dict[str, Any]]:
        """The weight's class and plain attributes, as quantizing any matrix of this shape gives them."""
        import torch
        from torch import nn

        blank = nn.Linear(in_features, out_features, bias=False, device=device, dtype=dtype)
        with torch.no_grad():
            blank.weight.zero_()
        quantized = self.quantize(blank, dict(options)).weight
        return type(quantized), quantized.__tensor_flatten__()[1]

    @staticmethod
    def _shell(layer: nn.Linear, bias: torch.Tensor | None) -> nn.Module:
        from torch import nn

        new = nn.Linear(layer.in_features, layer.out_features, bias=bias is not None, device="meta")
        if bias is not None:
            new.bias = nn.Parameter(bias.detach(), requires_grad=False)
        return new


class TorchaoInt8(TorchaoWeightOnly):
    name = "torchao-int8"
    bits = 8
    description = "int8 weight-only (torchao): int8 rows with one scale each, multiplied in the float format"
    _tensor_classes = ("Int8Tensor",)

    def recognises(self, layer: nn.Module) -> bool:
        # the same class also holds weights whose activations are quantized
        return super().recognises(layer) and layer.weight.act_quant_kwargs is None

    def storage(self, layer: nn.Module) -> str:
        return "int8 with a scale a row"

    def reference(self, weight: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        from bitbudget.formats.grid import symmetric

        return symmetric(weight, 8, 0)

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

    def refusal(self, in_features: int, out_features: int, options: dict[str, Any], device: str) -> str | None:
        # torchao itself passes over such layers without a word and leaves them in the float format
        if in_features % options["group_size"]:
            return f"its {in_features} input features are no multiple of the group size {options['group_size']}"
        if out_features % 16:
            return f"its {out_features} output features are no multiple of 16"
        return None

    def storage(self, layer: nn.Module) -> str:
        return "int4, two a byte, a scale and zero point a group"

    def reference(self, weight: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        from bitbudget.formats.grid import asymmetric

        return asymmetric(weight, 4, options["group_size"])

    def _config(self, options: dict[str, Any], device: str) -> Any:
        if device == "cpu":  # the layout of aten::_weight_int4pack_mm_for_cpu
            from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

            return PrototypeInt4WeightOnlyConfig(group_size=options["group_size"], set_inductor_config=False)
        from torchao.quantization import Int4WeightOnlyConfig

        return Int4WeightOnlyConfig(
            group_size=options["group_size"], int4_packing_format="tile_packed_to_4d", set_inductor_config=False
        )


FORMATS = {f.name: f for f in (TorchaoInt8(), TorchaoInt4())}
