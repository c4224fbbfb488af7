"""A module of torch whose work another program does."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class StandIn(nn.Module):
    """What takes a module's place: it has no weights, and gives floats in the model's `dtype`.

    `shell` is the module that it stands for, whose weights are not used: what else is asked of it (its configuration,
    its patch size) is answered by that.
    """

    runs_elsewhere = True

    def __init__(self, shell: nn.Module, dtype: torch.dtype, device: str):
        super().__init__()
        # no submodule: its weights are none of the model's
        object.__setattr__(self, "_shell", shell)
        self._dtype, self._device = dtype, torch.device(device)
        self.eval()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "_shell":
                raise
            return getattr(self._shell, name)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of what it takes and returns."""
        return self._dtype

    @property
    def device(self) -> torch.device:
        """Where what it returns lies."""
        return self._device


def put(new: nn.Module, shell: nn.Module, model: nn.Module) -> None:
    """Have a module stand in the place of another, under all of its paths in the model."""
    for path in [name for name, inner in model.named_modules(remove_duplicate=False) if inner is shell]:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, new)
