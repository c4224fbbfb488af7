"""The kernels of GPTQModel that run packed GPTQ weights: which can, what they hold, and how one is built."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from bitbudget.models.formats.base import Held, State
from bitbudget.models.formats.gptq_library import gptqmodel_library
from bitbudget.models.formats.grid import symmetric

PACKAGE = "gptqmodel.nn_modules.qlinear"
# The option's word, and where GPTQModel has the class.
KERNELS = {
    "torch": ("torch", "TorchLinear"),
    "torch-int8": ("torch_int8", "TorchInt8Linear"),
    "torch-aten": ("torch_aten_kernel", "TorchAtenLinear"),
    "torch-fused": ("torch_fused", "TorchFusedLinear"),
    "triton": ("tritonv2", "TritonV2Linear"),
    "marlin": ("marlin", "MarlinLinear"),
    "machete": ("machete", "MacheteLinear"),
    "exllamav2": ("exllamav2", "ExllamaV2Linear"),
    "swordfish": ("swordfish", "SwordfishLinear"),
}
TENSORS = ("qweight", "qzeros", "scales", "g_idx")


def name_of(layer: nn.Module) -> str | None:
    """The option's word for a layer's class; None where it is none of these classes."""
    kind = type(layer)
    known = {(f"{PACKAGE}.{module}", name): word for word, (module, name) in KERNELS.items()}
    return known.get((kind.__module__, kind.__qualname__))


def bits_of(layer: nn.Module) -> int | None:
    """The width of a kernel's integers: as it unpacks them, and as its words hold them where they are still packed.

    None where the two differ.
    """
    words = getattr(layer, "qweight", None)
    if words is not None and words.dtype == torch.int32 and name_of(layer) in ("torch", "triton"):
        packed = words.shape[0] * 32 // layer.in_features
        return layer.bits if packed == layer.bits else None
    return layer.bits


def storage(layer: nn.Module) -> str:
    """How the weights lie in memory once the kernel has run."""
    kernel, group = name_of(layer), f"{layer.group_size} weights"
    if kernel == "torch-int8":
        return f"int8 with a scale a row (the {layer.bits}-bit values rounded once more)"
    if kernel in ("torch", "triton"):
        return (
            f"{layer.bits}-bit integers in int32 words, a {_name(layer.scales.dtype)} scale and zero point for {group}"
        )
    if kernel in ("torch-aten", "torch-fused"):
        return f"4-bit integers, two a byte, a {_name(layer.scales.dtype)} scale and offset for {group}"
    return f"{layer.bits}-bit integers in int32 words in the kernel's own order, a scale for {group}"


def helper(layer: nn.Module) -> str:
    """What else has a part in a kernel's work, to be put after its name."""
    triton = getattr(layer, "_can_use_triton_dequant", None)
    uses_it = name_of(layer) == "torch" and layer._triton_dequant_enabled and triton()
    return " (dequantized by Triton)" if uses_it else ""


def as_multiplied(stored: Held, kernel: str) -> Held:
    """What a kernel is to multiply with, given what the packed integers stand for.

    The int8 kernel rounds them once more, to a symmetric grid of 255 levels a row.
    """
    if kernel != "torch-int8":
        return stored
    values = stored.values()
    return Held(symmetric(values, 8, 0).nearest(values), None, factors=stored.factors)


def packed_tensors(layer: nn.Module) -> State | None:
    """The packed tensors as a loaded layer holds them; None of kernels that put them into an order of their own."""
    if name_of(layer) not in ("torch", "triton"):
        return None
    return {name: getattr(layer, name) for name in TENSORS}


def zeroed(stored: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    """The numbers of the columns (input features) that are all zero in the one matrix and not in the other."""
    return ((stored == 0).all(0) & (exact.to(stored.device) != 0).any(0)).nonzero().flatten()


def unit(kernel: str, dtype: torch.dtype) -> float:
    """The unit roundoff of the coarsest dtype that a kernel computes in, in a model of this dtype."""
    coarse = {"torch-aten": torch.bfloat16, "torch-fused": torch.bfloat16, "exllamav2": torch.float16}
    return max(torch.finfo(kind).eps / 2 for kind in (dtype, coarse.get(kernel, dtype)))


def unusable(bits: int, options: dict[str, Any], device: str, dtype: torch.dtype) -> str | None:
    """Why no layer can run on the kernel that was chosen, and which others could; None where it can."""
    chosen = options["kernel"]
    objection = _objection(chosen, bits, options, device, dtype) or _failure(chosen, bits, options, device, dtype)
    if objection is None:
        return None
    able = [word for word in KERNELS if word != chosen and not _objection(word, bits, options, device, dtype)]
    if able:
        return f"its kernel {chosen} {objection}; set `kernel` to {_listed(able, 'or')}, or leave the format out"
    return (
        f"no kernel runs {bits} bits with these options in {_name(dtype)} on this machine ({chosen} {objection}); "
        "choose another format, or another float format as the baseline"
    )


def shape_refusal(bits: int, options: dict[str, Any], in_features: int, out_features: int) -> str | None:
    """Why the kernel cannot take a matrix of this shape, or None where it can."""
    kind = _class(options["kernel"])
    for count, what, divisors in (
        (in_features, "input", kind.SUPPORTS_IN_FEATURES_DIVISIBLE_BY),
        (out_features, "output", kind.SUPPORTS_OUT_FEATURES_DIVISIBLE_BY),
    ):
        for divisor in divisors:
            if count % divisor:
                return f"its {count} {what} features are no multiple of the kernel {options['kernel']}'s {divisor}"
    return None


def build(shell: nn.Linear, state: State, bits: int, options: dict[str, Any], device: str) -> nn.Module:
    """The kernel of `options` with the packed tensors of `state`, ready to run; `shell` has shapes and dtype."""
    kernel, dtype = options["kernel"], shell.weight.dtype
    bias = state["bias"].to(device) if "bias" in state else None
    layer = _class(kernel)(
        bits=bits, group_size=options["group_size"], desc_act=False, sym=options["symmetric"],
        in_features=shell.in_features, out_features=shell.out_features, bias=bias is not None,
        pack_dtype=torch.int32, dtype=_declared(kernel, device, dtype), register_buffers=True,
    )  # fmt: skip
    # The int8 kernel works out its own scales from these; the others multiply in the model's dtype.
    scales = state["scales"].to(torch.float32 if kernel == "torch-int8" else dtype)
    for name, value in (state | {"scales": scales}).items():
        _put(layer, name, value.to(device))
    # Else the torch kernel compiles its unpacking for each layer, which takes a C++ compiler, and here made forward
    # passes a hundred times slower, because it compiled again and again.
    layer.optimized = True
    layer.eval()
    if kernel == "exllamav2":
        layer.post_init(scratch_space=_scratch_space(layer.scratch_space_fixed(), device))
    else:
        layer.post_init()
    return layer.requires_grad_(False)


def _declared(kernel: str, device: str, dtype: torch.dtype) -> torch.dtype:
    """The dtype that a kernel's class is asked for.

    The torch kernel multiplies in the dtype of its input, with weights unpacked by its scales; GPTQModel 7.6.0 lists 16
    bits only, although on a CPU it is exact in float32 (tests hold it to the packed integers), and fastest there.
    """
    return torch.float16 if (kernel, device, dtype) == ("torch", "cpu", torch.float32) else dtype


def _put(layer: nn.Module, name: str, value: torch.Tensor) -> None:
    if name in layer._parameters:
        layer._parameters[name] = nn.Parameter(value, requires_grad=False)
    else:
        layer._buffers[name] = value


@functools.cache
def _scratch_space(size: int, device: str) -> Any:
    """Room that all layers of one size share while they work."""
    from gptqmodel.utils.exllamav2 import ScratchSpace

    return ScratchSpace(scratch_bytes=size, dev=torch.device(device))


def _class(kernel: str) -> Any:
    gptqmodel_library()
    module, name = KERNELS[kernel]
    return getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)


def _objection(kernel: str, bits: int, options: dict[str, Any], device: str, dtype: torch.dtype) -> str | None:
    """What a kernel's own description says against it."""
    kind = _class(kernel)
    devices = {name.value for name in kind.SUPPORTS_DEVICES}
    if bits not in kind.SUPPORTS_BITS:
        return f"runs {_listed(kind.SUPPORTS_BITS)} bits only"
    if not devices & {device, "all"}:
        return f"runs on {_listed(sorted(devices))} only"
    if _declared(kernel, device, dtype) not in kind.SUPPORTS_DTYPES:
        return f"computes in {_listed(map(_name, kind.SUPPORTS_DTYPES))} only, and this model in {_name(dtype)}"
    if options["group_size"] not in kind.SUPPORTS_GROUP_SIZE:
        return f"takes a group size of {_listed(kind.SUPPORTS_GROUP_SIZE)} only"
    if options["symmetric"] not in kind.SUPPORTS_SYM:
        return "takes symmetric grids only"
    if kernel == "torch-fused" and device == "cpu" and not options["symmetric"]:
        # transform_cpu of GPTQModel 7.6.0 puts zeros in the place of the zero points
        return "passes over zero points on a CPU, so it takes symmetric grids only"
    return None


def _failure(kernel: str, bits: int, options: dict[str, Any], device: str, dtype: torch.dtype) -> str | None:
    """What GPTQModel says when it tries the kernel here: a library that is missing, a GPU that is too old."""
    kind, where = _class(kernel), gptqmodel_library().models._const.DEVICE(device)
    try:
        ok, fault = kind.cached_validate_once()
        if ok:
            ok, fault = kind.validate(
                bits=bits, group_size=options["group_size"], desc_act=False, sym=options["symmetric"],
                pack_dtype=torch.int32, dtype=_declared(kernel, device, dtype), device=where,
            )  # fmt: skip
    except ImportError as missing:
        ok, fault = False, missing
    return None if ok else f"cannot be used here ({' '.join(str(fault).split()).rstrip('.')})"


def _listed(values: Iterable[Any], last_but: str = "and") -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} {last_but} {last}" if most else last


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
