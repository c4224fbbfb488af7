"""Quantizing the layers of calibrated formats, each on what the quantized layers before it make of the items."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from bitbudget.errors import UserError
from bitbudget.models.calibration.walk import suit, walk
from bitbudget.models.formats.base import Calibration, Layer, Seen, State
from bitbudget.models.streaming import Streamed
from bitbudget.registry import format_of

log = logging.getLogger("bitbudget")


def quantize(layers: Sequence[Layer], calibration: Calibration, dtype: torch.dtype, device: str) -> dict[str, State]:
    """The tensors that a checkpoint stores for each of these layers, by path, in one pass over the model.

    The items go through the model in float32 on a CPU, in the model's dtype on a GPU; its weights are those of `dtype`
    in both cases. A layer is read when an item reaches it, and let go when all have passed. `calibration.report` gets
    the tokens of all items, and what each layer's format tells of it. Raises `UserError` that names the layers which no
    item reaches, or which their method could not solve.
    """
    original, computed = calibration.model(), torch.float32 if device == "cpu" else dtype
    wanted = {layer.path: layer for layer in layers}
    modules = {path: original.model.get_submodule(path) for path in wanted}
    states: dict[str, State] = {}
    reports: dict[str, dict[str, Any]] = {}

    def read(path: str) -> Callable[..., None]:
        def before(module: nn.Module, _: Any) -> None:
            if not module.weight.is_meta:
                return
            if path in states:  # a layer that a pass goes through again
                spec = wanted[path].spec
                weight = format_of(spec["format"]).held(states[path], tuple(module.weight.shape), spec).weights()
            else:
                original.fill([f"{path}.weight"])
                weight = module.weight
            module.weight = nn.Parameter(weight.to(device, computed), requires_grad=False)

        return before

    hooks = [module.register_forward_pre_hook(read(path)) for path, module in modules.items()]
    _fill_others(original, modules, device, computed)
    suit(calibration.inputs, original.model)
    seen = Seen([])
    steps = walk(original.model, modules, _counted(calibration), device, computed)
    last: nn.Module | None = None
    for path, reached in tqdm(steps, desc="calibrating", unit="layer", total=len(modules), mininterval=1):
        if last is not None:
            last.weight = nn.Parameter(torch.empty_like(last.weight, device="meta"), requires_grad=False)
        last = modules[path]
        seen = seen if seen.are(reached) else Seen(reached)
        layer, bias = replace(wanted[path], module=last), wanted[path].module.bias
        state, reports[path] = format_of(layer.spec["format"]).quantize_seen(layer, seen, dtype)
        states[path] = state if bias is None else state | {"bias": bias.detach()}
    for hook in hooks:
        hook.remove()
    _refuse_unreached(wanted.keys() - states.keys())
    _warn(reports, wanted)
    calibration.report["layers"] = reports
    return {path: states[path] for path in wanted}


def _fill_others(original: Streamed, modules: Mapping[str, nn.Module], device: str, dtype: torch.dtype) -> None:
    """Read all weights but those of these modules, and have them and all buffers on the device, floats in `dtype`."""
    later = {f"{path}.weight" for path in modules}
    original.fill(name for name, _ in original.model.named_parameters(remove_duplicate=False) if name not in later)
    for module in original.model.modules():
        for values in (module._parameters, module._buffers):
            for value in values.values():
                if value is not None and not value.is_meta:
                    value.data = value.data.to(device, dtype if value.is_floating_point() else None)


def _counted(calibration: Calibration) -> Iterator[Mapping[str, torch.Tensor]]:
    """The calibration's inputs; their tokens are counted on the way, for its report."""
    tokens = 0
    for given in calibration.inputs:
        tokens += given["input_ids"].numel()
        yield given
    calibration.report["tokens"] = tokens


def _refuse_unreached(paths: set[str]) -> None:
    if paths:
        first, *more = sorted(paths)
        others = f" and {len(more)} more" if more else ""
        raise UserError(
            f"no calibration item reaches {first}{others}: set more `items` in `quantization.calibration`, or give the "
            "group that this layer belongs to another format."
        )


def _warn(reports: dict[str, dict[str, Any]], wanted: dict[str, Layer]) -> None:
    raised = [path for path, told in reports.items() if told.get("damping", 0) > wanted[path].spec.get("damping", 1)]
    if raised:
        log.warning("damping was raised for %d layers (%s, ...)", len(raised), raised[0])
    unused = sum(told.get("unused_inputs", 0) for told in reports.values())
    if unused:
        log.warning("%d input features were zero in all items, and their weights are set to zero", unused)
