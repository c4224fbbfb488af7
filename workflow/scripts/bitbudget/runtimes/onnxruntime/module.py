"""A module of torch whose work ONNX Runtime does, in the place of the one that was exported."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bitbudget.errors import UserError
from bitbudget.runtimes.onnxruntime import sessions
from bitbudget.runtimes.onnxruntime.reaching import leaves
from bitbudget.runtimes.stand_in import StandIn

CLASSES = ("transformers.", "bitbudget.")  # whose classes a module may return


class OrtModule(StandIn):
    """What takes a module's arguments and returns what it returned, computed in float32 from an ONNX file."""

    def __init__(self, file: Path, told: dict[str, Any], shell: nn.Module, dtype: torch.dtype, device: str, name: str):
        super().__init__(shell, dtype, device)
        self.file, self.threads, self._name = file, torch.get_num_threads(), name
        self._inputs, self._constants, self._outputs = told["inputs"], told["constants"], told["outputs"]
        self.session = sessions.open_session(file, device, self.threads)

    @property
    def providers(self) -> list[str]:
        """The execution providers that compute it."""
        return self.session.get_providers()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        given = leaves(args, kwargs)
        others = {place: value for place, value in given.items() if place not in self._inputs}
        if others != self._constants or not all(place in given for place in self._inputs):
            raise UserError(
                f"{self._name} is called in another way than when {self.file.name} was exported: make the checkpoint "
                "again with the study's own pictures, or give its group another format."
            )
        if self.threads != torch.get_num_threads():
            self.threads = torch.get_num_threads()
            self.session = sessions.open_session(self.file, self._device.type, self.threads)
        try:
            found = sessions.run(self.session, [given[place] for place in self._inputs])
        except sessions.FAILURES as failure:
            raise UserError(
                f"ONNX Runtime cannot compute {self._name} ({' '.join(str(failure).split())[:200]}): give its group "
                "another format."
            ) from None
        return _returned(self._outputs, [self._as_here(one) for one in found])

    def _as_here(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self._device, self._dtype if value.is_floating_point() else None)


def _returned(tree: Any, tensors: Sequence[torch.Tensor]) -> Any:
    """The tree that `exporting.Signature.outputs` describes, of these tensors."""
    if tree is None:
        return None
    if isinstance(tree, int):
        return tensors[tree]
    kind, *rest = tree
    if kind in ("tuple", "list"):
        inner = [_returned(one, tensors) for one in rest]
        return tuple(inner) if kind == "tuple" else inner
    if not kind.startswith(CLASSES):
        raise UserError(f"a checkpoint names {kind} as what a module returns: delete it and make it again.")
    module, _, name = kind.rpartition(".")
    fields = {key: _returned(one, tensors) for key, one in rest[0].items()}
    return getattr(importlib.import_module(module), name)(**fields)
