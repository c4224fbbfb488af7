"""What formats of torchao share: the layer stays an `nn.Linear`, and its weight is a tensor subclass."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from bitbudget.models.formats.base import Format

if TYPE_CHECKING:
    import torch
    from torch import nn


class TorchaoFormat(Format):
    """The inner tensors of a layer's weight are what is stored."""

    needs = ("torchao",)

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
