"""Quantizing the layers of calibrated formats, each on what the quantized layers before it make of the items."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from tqdm import tqdm

from bitbudget.errors import UserError
from bitbudget.models.calibration.walk import walk
from bitbudget.models.formats.base import Calibration, Layer, Seen, State
from bitbudget.registry import format_of

log = logging.getLogger("bitbudget")


def quantize(layers: Sequence[Layer], calibration: Calibration, dtype: torch.dtype, device: str) -> dict[str, State]:
    """The tensors that a checkpoint stores for each of these layers, by path, in one pass over the model.

    The items go through the model in float32 on a CPU, in the model's dtype on a GPU; its weights are those of `dtype`
    in both cases. `calibration.report` gets the tokens of all items, and what each layer's format tells of it. Raises
    `UserError` that names the layers which no item reaches, or which their method could not solve.
    """
    model = calibration.model()
    model = model.float() if device == "cpu" else model.to(device)
    wanted = {layer.path: layer for layer in layers}
    modules = {path: model.get_submodule(path) for path in wanted}
    states: dict[str, State] = {}
    reports: dict[str, dict[str, Any]] = {}
    seen = Seen([])
    steps = walk(model, modules, _counted(calibration), device)
    for path, reached in tqdm(steps, desc="calibrating", unit="layer", total=len(modules), mininterval=1):
        seen = seen if seen.are(reached) else Seen(reached)
        layer, bias = replace(wanted[path], module=modules[path]), wanted[path].module.bias
        state, reports[path] = format_of(layer.spec["format"]).quantize_seen(layer, seen, dtype)
        states[path] = state if bias is None else state | {"bias": bias.detach()}
    _refuse_unreached(wanted.keys() - states.keys())
    _warn(reports, wanted)
    calibration.report["layers"] = reports
    return {path: states[path] for path in wanted}


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
