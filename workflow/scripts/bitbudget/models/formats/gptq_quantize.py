"""Running GPTQModel's solver over a model: every layer that is asked for, exactly those, with all items, in one pass.

GPTQModel knows the architectures that it quantizes by a list of its own, and most vision-language models only in part.
Its solver takes one layer and what reaches it, so the layers are gone through here (`calibration.walk`), in any model.
What comes out are the packed tensors; bias and all else stay as the checkpoint holds them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from bitbudget.errors import UserError
from bitbudget.models.calibration.walk import walk
from bitbudget.models.formats import packed
from bitbudget.models.formats.base import Calibration, FormatSpec, Layer, State
from bitbudget.models.formats.gptq_kernels import zeroed
from bitbudget.models.formats.gptq_library import gptqmodel_library, silent_gptqmodel
from bitbudget.registry import format_of

log = logging.getLogger("bitbudget")

UNSOLVED = 999_999_999  # what GPTQModel reports as loss where it rounded to nearest instead


def quantize(layers: Sequence[Layer], calibration: Calibration, dtype: torch.dtype, device: str) -> dict[str, State]:
    """The packed tensors of each layer, by path: qweight, qzeros (zero points as they are), scales, g_idx, and bias.

    The items go through the model in float32 on a CPU, in the model's dtype on a GPU; its weights are those of `dtype`
    in both cases. `calibration.report` gets the tokens of all items, and each layer's loss, damping and what the solver
    decided on. Raises `UserError` that names the layers which no item reaches, or which could not be solved.
    """
    model = calibration.model()
    model = model.float() if device == "cpu" else model.to(device)
    wanted = {layer.path: layer for layer in layers}
    modules = {path: model.get_submodule(path) for path in wanted}
    states: dict[str, State] = {}
    reports: dict[str, dict[str, Any]] = {}
    statistics: Statistics | None = None
    steps = walk(model, modules, _counted(calibration), device)
    with tqdm(steps, desc="gptq", unit="layer", total=len(modules), mininterval=1) as bar:
        for path, seen in bar:
            if statistics is None or not statistics.of(seen):
                statistics = Statistics(modules[path], seen)
            states[path], reports[path] = _solved(wanted[path], modules[path], statistics)
    _refuse_unreached(wanted.keys() - states.keys())
    _tell(reports, wanted)
    calibration.report["layers"] = calibration.report.get("layers", {}) | reports
    return {path: states[path] for path in wanted}


def _counted(calibration: Calibration):
    """The inputs; what they hold is counted on the way."""
    tokens = 0
    for given in calibration.inputs:
        tokens += given["input_ids"].numel()
        yield given
    calibration.report["tokens"] = tokens


class Statistics:
    """The second moments of what reaches a layer; layers that the same tensors reach share them."""

    def __init__(self, module: nn.Linear, seen: list[torch.Tensor]) -> None:
        self._seen, self._task = seen, _task(module, {"group_size": -1, "symmetric": True, "damping": 0.05}, 8)
        for tensor in seen:
            self._task.add_batch(tensor, None)

    def of(self, seen: list[torch.Tensor]) -> bool:
        """Whether these are the very tensors that were looked at, as those of queries, keys and values are."""
        return len(seen) == len(self._seen) and all(a is b for a, b in zip(seen, self._seen, strict=True))

    def give(self, task: Any) -> None:
        """Put them into a task of GPTQModel's."""
        task.adopt_hessian_from(self._task)


def _task(module: nn.Linear, spec: FormatSpec, bits: int) -> Any:
    """GPTQModel's solver for one layer."""
    library = gptqmodel_library()
    with silent_gptqmodel():
        from gptqmodel.quantization.gptq import GPTQ

        config = library.QuantizeConfig(
            bits=bits, group_size=spec["group_size"], sym=spec["symmetric"], damp_percent=spec["damping"],
            act_group_aware=spec["group_size"] != -1,  # it orders columns within groups, and fails without any
            desc_act=False, fallback=None, offload_to_disk=False,
        )  # fmt: skip
        task = GPTQ(module, config)
        task.quantizer.configure(perchannel=True)
    return task


def _solved(layer: Layer, module: nn.Linear, statistics: Statistics) -> tuple[State, dict[str, Any]]:
    """The tensors of a layer, and what there is to tell of it; its weights become those that these stand for.

    `loss` is the mean squared change of its outputs, as GPTQModel reckons it, `damping` what it took, `unused_inputs`
    the number of input features that were zero in all items (dead neurons of OPT's), whose weights GPTQ sets to zero.
    """
    bits, exact = format_of(layer.spec["format"]).bits, module.weight.data
    module.weight.data = exact.float()  # the solver gives the weights back in their dtype
    task = _task(module, layer.spec, bits)
    statistics.give(task)
    with silent_gptqmodel():
        rounded, scales, zeros, _, _, loss, damping, _ = task.quantize()
    rounded, scales, zeros = (part.float().cpu() for part in (rounded, scales, zeros))
    size = rounded.shape[1] // scales.shape[1]
    spread = [part.repeat_interleave(size, 1) for part in (scales, zeros)]
    codes = (rounded / spread[0]).round() + spread[1]
    decided = packed.decision(codes, scales, zeros)
    state = packed.state(codes, scales, zeros, bits)
    held = packed.dequantize(state, bits)
    module.weight.data = held.to(exact.device, exact.dtype)
    unused = len(zeroed(held, exact))
    bias = layer.module.bias
    report = {"loss": float(loss), "damping": float(damping), "unused_inputs": unused, "decided": decided}
    return state if bias is None else state | {"bias": bias.detach()}, report


def _refuse_unreached(paths: set[str]) -> None:
    if paths:
        first, *more = sorted(paths)
        others = f" and {len(more)} more" if more else ""
        raise UserError(
            f"no calibration item reaches {first}{others}: set more `items` in `quantization.calibration`, or give the "
            "group that this layer belongs to another format."
        )


def _tell(reports: dict[str, dict[str, Any]], wanted: dict[str, Layer]) -> None:
    """Raise `UserError` naming the layers whose Hessian could not be inverted: these were rounded to nearest."""
    unsolved = [path for path, report in reports.items() if not report["loss"] < UNSOLVED]
    if unsolved:
        raise UserError(
            f"GPTQ could not be solved for {', '.join(unsolved[:5])}: "
            "give more calibration items, or set a larger `damping`."
        )
    raised = [path for path, report in reports.items() if report["damping"] > wanted[path].spec["damping"] + 1e-6]
    if raised:
        log.warning("gptq: damping was raised for %d layers (%s, ...)", len(raised), raised[0])
    unused = sum(report["unused_inputs"] for report in reports.values())
    if unused:
        log.warning("gptq: %d input features were zero in all items, and their weights are set to zero", unused)
