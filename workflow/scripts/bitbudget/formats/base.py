"""What a number format is: how it makes a matrix, stores it, brings it back, and what it promises for it.

Every format is one object. Its description is read while the workflow is parsed, so a format's module imports torch and
its kernels only inside the methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch
    from torch import nn


class Format:
    """A way to hold the weights of a module group.

    `bits` are those of one stored weight without its scales. `is_float` formats hold every parameter of a group;
    the others hold its linear layers' matrices, and what else the group has stays in the float format beside them.
    `simulated` formats compute with the rounded values but store and multiply them as floats: they show what rounding
    does to quality, and nothing about size, memory, speed or energy.
    """

    name: str
    bits: float
    is_float: bool = False
    simulated: bool = False
    runtime: str = "transformers"  # what runs models in this format; a track names the one that it needs
    device_bound: bool = False  # whether what was made on a CPU loads only there, and the same for a GPU
    least_capability: tuple[int, int] = (0, 0)  # CUDA compute capability that the kernels need
    options: ClassVar[dict[str, Any]] = {}  # JSON-schema properties of what a precision may set, with their defaults
    description: str

    def refusal(self, in_features: int, out_features: int, options: dict[str, Any], device: str) -> str | None:
        """Why this format cannot take a linear layer of this shape on this device, or None where it can."""
        return None

    def quantize(self, layer: nn.Linear, options: dict[str, Any]) -> nn.Module:
        """The layer that takes this one's place; same shapes in and out, on the device of `layer.weight`."""
        raise NotImplementedError

    def state(self, layer: nn.Module) -> dict[str, torch.Tensor]:
        """The tensors that a checkpoint stores for a layer made by `quantize`."""
        raise NotImplementedError

    def restore(
        self, shell: nn.Linear, state: dict[str, torch.Tensor], options: dict[str, Any], device: str
    ) -> nn.Module:
        """The layer that `state` was taken from. `shell` has its shapes and dtype, but no weights (meta device)."""
        raise NotImplementedError

    def recognises(self, layer: nn.Module) -> bool:
        """Whether a loaded layer really holds this format, judged by its class and tensors alone."""
        raise NotImplementedError

    def storage(self, layer: nn.Module) -> str:
        """How the layer's weights lie in memory, in words."""
        raise NotImplementedError

    def kernel(self, layer: nn.Module) -> str:
        """The class or function that multiplies with the layer's weights."""
        return f"{type(layer).__module__}.{type(layer).__name__}"

    def reference(self, weight: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        """What the format promises: `weight` (out, in) rounded to it and back, in float32 and plain torch.

        Written from the format's definition and apart from the kernels, so that a wrong kernel shows.
        """
        raise NotImplementedError
