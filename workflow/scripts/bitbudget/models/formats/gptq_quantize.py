"""GPTQModel's solver for one layer, given what reaches it.

GPTQModel knows the architectures that it quantizes by a list of its own, and most vision-language models only in part.
Its solver takes any linear layer, so a model is gone through here (`bitbudget.models.calibration`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bitbudget.errors import UserError
from bitbudget.models.formats import packed
from bitbudget.models.formats.base import FormatSpec, Layer, Seen, State
from bitbudget.models.formats.gptq_kernels import zeroed
from bitbudget.models.formats.gptq_library import gptqmodel_library, silent_gptqmodel

UNSOLVED = 999_999_999  # what GPTQModel reports as loss where it rounded to nearest instead
OF_MOMENTS = {"group_size": -1, "symmetric": True, "damping": 0.05}  # which second moments do not depend on


def quantize(layer: Layer, seen: Seen, bits: int) -> tuple[State, dict[str, Any]]:
    """The packed tensors of a layer (qweight, qzeros with zero points as they are, scales, g_idx), and what to tell.

    Its weights become those that these stand for. Told are the `loss`, which is the mean squared change of its outputs
    as GPTQModel reckons it, the `damping` that it took, what was `decided`, and `unused_inputs`, the number of input
    features that were zero in all items (dead neurons of OPT's), whose weights GPTQ sets to zero. Raises `UserError`
    where the Hessian could not be inverted and GPTQModel rounded to nearest.
    """
    module = layer.module
    moments = seen.shared("moments", lambda tensors: _moments(module, tensors))
    exact = module.weight.data
    module.weight.data = exact.float()  # the solver gives the weights back in their dtype
    task = _task(module, layer.spec, bits)
    task.adopt_hessian_from(moments)
    with silent_gptqmodel():
        rounded, scales, zeros, _, _, loss, damping, _ = task.quantize()
    refuse_unsolved(layer.path, float(loss))
    rounded, scales, zeros = (part.float().cpu() for part in (rounded, scales, zeros))
    size = rounded.shape[1] // scales.shape[1]
    codes = (rounded / scales.repeat_interleave(size, 1)).round() + zeros.repeat_interleave(size, 1)
    decided = packed.decision(codes, scales, zeros)  # before anything is packed, so that packing is proved too
    state = packed.state(codes, scales, zeros, bits)
    held = packed.dequantize(state, bits)
    module.weight.data = held.to(exact.device, exact.dtype)
    unused = len(zeroed(held, exact))
    return state, {"loss": float(loss), "damping": round(damping, 5), "unused_inputs": unused, "decided": decided}


def refuse_unsolved(path: str, loss: float) -> None:
    """Raise `UserError` where GPTQModel's loss says that it did not solve the layer at this path."""
    if not loss < UNSOLVED:
        raise UserError(f"GPTQ could not be solved for {path}: give more calibration items, or set a larger `damping`.")


def _moments(module: nn.Linear, tensors: list[torch.Tensor]) -> Any:
    """A task of GPTQModel's that has the second moments of these inputs, for others to adopt."""
    task = _task(module, OF_MOMENTS, 8)
    for tensor in tensors:
        task.add_batch(tensor, None)
    return task


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
