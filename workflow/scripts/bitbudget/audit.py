"""The audit: what a loaded checkpoint really holds, against what its precision asked for.

Three questions are put to every linear layer of the original, and none is answered from names or from the manifest:

1. *Which format is it?* Each registered format says from the layer's class and tensors whether it is its own.
2. *What do its weights come to?* The layer is given unit vectors and what comes out are its weights as the kernel
   uses them, rounding, scales, faults and all.
3. *Is that what the format promises?* There are two kinds of promise.

*Formats that round each weight to the nearest value of a grid* promise that grid. The original matrix is rounded by the
format's definition in plain torch, and the relative Frobenius error of the kernel's weights must agree with that of the
definition: more means wrong weights, far less means that nothing was rounded. How tight: the definition's error p is
exact for these very weights (about 0.09 for NF4 in blocks of 64 on Gaussian weights, about 0.01 for row-wise int8), so
it needs no assumption on their distribution. On top of it the kernel rounds its output, and the scales, to the compute
dtype with unit roundoff u; the two errors are independent and add in squares. Kernels may also choose a scale a little
differently, for which 10 % of p is allowed: `measured <= sqrt((1.1 p)^2 + (2 u)^2)`, and `measured >= 0.5 p` where p
stands out from rounding (p > 4 u).

*Formats that round so that errors make up for one another* (GPTQ) promise no grid that could be worked out from the
weights alone. They say by a `Promise` what the tensors stored in the checkpoint stand for, unpacked in plain torch and
apart from the kernels, and are held to four things: the kernel's weights agree with that to within 4 u of their norm
(0.6 u is what kernels were seen to differ by); no group has more values than its bits can tell apart; the error lies
between the two bounds that the format justifies; and, because at 2 bits the upper one can lie above the error of just
any matrix, the cosine between the kernel's weights and the original's is at least 0.25, where those of another layer
have one of about 0.

Of a matrix that is all zeros the errors are not relative: any weight that is not zero is a fault.

What is held in a float format, layers and all other parameters, must equal the original bit for bit.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import nn

from bitbudget.audited import LayerAudit, by_group, faults_in_one_sentence, finite, refuse_faults
from bitbudget.checkpoint import linear_layers
from bitbudget.formats.base import Format, FormatSpec, Layer, Promise, State
from bitbudget.groups import group_of
from bitbudget.registry import FORMATS, format_of

__all__ = ["LayerAudit", "by_group", "faults_in_one_sentence", "refuse_faults"]

PROBES = 512  # unit vectors given to a layer at a time; every input feature has its turn
# The least cosine between an original and what GPTQ made of it. At 2 bits 0.73 was the least seen on a trained decoder,
# and 0.50 with a damping of 0.001.
ALIGNED = 0.25


def recognise(layer: nn.Module) -> str:
    """The name of the format that a loaded layer really holds, or `unknown`."""
    return next((name for name in FORMATS if format_of(name).recognises(layer)), "unknown")


def bytes_of(module: nn.Module, elsewhere: frozenset[int] = frozenset()) -> int:
    """Bytes that a layer's weights, scales and bias take in memory, each storage once.

    `elsewhere` are the addresses of storages that count in another place.
    """
    return sum(t.nbytes for t in _plain_tensors(module) if _address(t) not in elsewhere)


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _plain_tensors(module: nn.Module) -> list[torch.Tensor]:
    """Every plain tensor a module holds, one for each storage.

    Those inside tensor subclasses and bitsandbytes' states are among them, and those that GPTQModel's kernels keep as
    plain attributes: what they unpacked once, or packed in an order of their own.
    """
    found: dict[int, torch.Tensor] = {}

    def add(value: Any) -> None:
        if isinstance(value, dict | list | tuple):
            for inner in value.values() if isinstance(value, dict) else value:
                add(inner)
        if not isinstance(value, torch.Tensor):
            return
        if hasattr(value, "__tensor_flatten__"):
            for name in value.__tensor_flatten__()[0]:
                add(getattr(value, name))
        elif value.numel():
            found.setdefault(_address(value), value)

    for part in module.modules():
        for name, value in vars(part).items():
            if name not in ("_parameters", "_buffers", "_modules"):
                add(value)
        for value in (*part._parameters.values(), *part._buffers.values()):
            add(value)
            state = getattr(value, "quant_state", None)
            for scales in (state, getattr(state, "state2", None)):
                add(getattr(scales, "absmax", None))
            for name in ("CB", "SCB"):
                add(getattr(value, name, None))
        eight_bit = getattr(part, "state", None)
        for name in ("CB", "SCB"):
            add(getattr(eight_bit, name, None))
    return list(found.values())


def effective_weight(layer: nn.Module, dtype: torch.dtype, device: str) -> torch.Tensor:
    """The weight matrix (out, in) in float32 as the layer's own kernel multiplies with it, `PROBES` columns at a time.

    The bias is taken off meanwhile: sums are rounded to `dtype`, and a large bias would swallow the weights' digits.
    """
    bias, layer.bias = layer.bias, None
    columns = []
    try:
        with torch.no_grad():
            for first in range(0, layer.in_features, PROBES):
                number = min(PROBES, layer.in_features - first)
                units = torch.zeros(number, layer.in_features, dtype=dtype, device=device)
                units[torch.arange(number), torch.arange(first, first + number)] = 1
                columns.append(layer(units).float().T.cpu())
    finally:
        layer.bias = bias
    return torch.cat(columns, dim=1)


def audit_layer(
    layer: Layer,
    original: nn.Linear,
    device: str,
    elsewhere: frozenset[int] = frozenset(),
    state: Callable[[], State] | None = None,
) -> LayerAudit:
    """Audit one layer against its original, whose dtype is the one that the layer computes in.

    `elsewhere`: see `bytes_of`. `state` reads what the checkpoint stores for the layer, for formats whose promise
    depends on it.
    """
    asked, exact = layer.spec["format"], original.weight.detach()
    found = recognise(layer.module)
    fmt = format_of(found if found != "unknown" else asked)
    relative = promised = allowed = fault = None
    if found != asked:
        fault = f"holds {found} where {asked} was asked for"
    elif fmt.is_float:
        if not _same_bits(layer.module.weight, exact):
            fault = f"holds {asked} as was asked, but other weights than the original"
        elif original.bias is not None and not _same_bits(layer.module.bias, original.bias):
            fault = f"holds {asked} as was asked, but another bias than the original"
    else:
        promise = fmt.promise(exact, state(), layer.spec) if fmt.calibrated else None
        relative, promised, allowed, fault = _against_promise(layer, fmt, exact, promise, device)
        fault = fault or _bias_fault(layer.module, original, promise.unit if promise else 0.0, device)
    return LayerAudit(
        path=layer.path,
        group=layer.group,
        asked=asked,
        found=found,
        storage=fmt.storage(layer.module) if found != "unknown" else str(layer.module.weight.dtype),
        kernel=fmt.kernel(layer.module) if found != "unknown" else type(layer.module).__name__,
        parameters=0 if _tied(layer.module, elsewhere) else exact.numel(),
        bytes=bytes_of(layer.module, elsewhere),
        relative_error=finite(relative),
        promised_error=promised,
        allowed_error=allowed,
        fault=fault,
    )


def _against_promise(
    layer: Layer, fmt: Format, original: torch.Tensor, promise: Promise | None, device: str
) -> tuple[float | None, float, float, str | None]:
    """A quantized layer's relative error (None where its kernel fails), promised and allowed error, and the fault."""
    exact = original.float().cpu()
    size = exact.norm().item() or 1.0
    unit = torch.finfo(original.dtype).eps / 2
    if promise is None:
        promised = (fmt.reference(original, layer.spec).cpu() - exact).norm().item() / size
        least, most = (0.5 * promised if promised > 4 * unit else 0.0), 1.1 * promised
    else:
        promised = (promise.weights - exact).norm().item() / size
        least, most = promise.least, promise.most
    allowed = math.hypot(most, 2 * unit)
    try:
        measured = effective_weight(layer.module, original.dtype, device)
    except (RuntimeError, AssertionError) as crash:
        return None, promised, allowed, f"cannot be used, because its kernel fails on it ({crash})"
    relative = (measured - exact).norm().item() / size
    fault = None if promise is None else _unlike_promise(measured, exact, promise)
    if fault is None and not relative <= allowed:  # also where it is NaN
        fault = f"has weights that are off by {relative:.3f}, where {fmt.name} promises {promised:.3f} for them"
    elif fault is None and relative < least:
        fault = f"has weights that are off by {relative:.4f} only, so they were not rounded as {fmt.name} rounds"
    return relative, promised, allowed, fault


def _unlike_promise(measured: torch.Tensor, exact: torch.Tensor, promise: Promise) -> str | None:
    """Where the weights that a kernel multiplies with are not those that the checkpoint's integers stand for."""
    gap = (measured - promise.weights).norm().item() / (promise.weights.norm().item() or 1.0)
    if not gap <= 4 * promise.unit:
        return f"has a kernel whose weights are off by {gap:.4f} from those that the checkpoint's integers stand for"
    if promise.levels < promise.group_size:
        ordered = measured.reshape(len(measured), -1, promise.group_size).sort(-1).values
        levels = 1 + (ordered.diff(dim=-1) != 0).sum(-1).amax().item()
        if levels > promise.levels:
            return f"has groups of {levels} different weights, where its bits can tell {promise.levels} apart"
    aligned = nn.functional.cosine_similarity(measured.flatten(), exact.flatten(), dim=0).item()
    if exact.any() and not aligned >= ALIGNED:
        return f"has weights that are not this layer's (their cosine with the original's is {aligned:.2f})"
    return None


def _bias_fault(layer: nn.Module, original: nn.Linear, unit: float, device: str) -> str | None:
    """What is wrong with what a layer makes of an input of zeros: its bias, rounded to its kernel's dtype at most."""
    with torch.no_grad():
        zeros = torch.zeros(1, layer.in_features, dtype=original.weight.dtype, device=device)
        found = layer(zeros)[0].cpu().double()
    wanted = torch.zeros_like(found) if original.bias is None else original.bias.detach().cpu().double()
    same = torch.allclose(found, wanted, rtol=unit, atol=0, equal_nan=True)
    return None if same else "adds another bias than the original"


def _tied(layer: nn.Module, elsewhere: frozenset[int]) -> bool:
    """Whether a layer's matrix is another module's, as that of a head tied to the embeddings."""
    weight = getattr(layer, "weight", None)
    return type(weight) is nn.Parameter and _address(weight) in elsewhere


def audit_layers(
    model: nn.Module,
    original: nn.Module,
    family: ModuleType,
    assignment: dict[str, FormatSpec],
    device: str,
    states: Callable[[str], State] | None = None,
) -> list[LayerAudit]:
    """Audit every linear layer of the original where it stands in the loaded model.

    `assignment` gives every group's format as the study asks for it; `states` reads what the checkpoint stores for the
    layer at a path, and is needed where a format is calibrated.
    """
    layers = list(linear_layers(original, family, assignment))
    elsewhere = frozenset(_address(p) for _, p in _others(model, [layer.path for layer in layers]))
    return [
        audit_layer(
            replace(layer, module=model.get_submodule(layer.path)),
            layer.module,
            device,
            elsewhere,
            functools.partial(states, layer.path) if states else None,
        )
        for layer in layers
    ]


def other_parameters(
    model: nn.Module, original: nn.Module, family: ModuleType, layers: list[LayerAudit]
) -> list[dict[str, Any]]:
    """Every parameter outside the linear layers (norms, embeddings, convolutions), held against the original.

    `original` is in the float format that was asked for. Group, storage type, bytes, and the fault or None.
    """
    rows = []
    for name, value in _others(model, [layer.path for layer in layers]):
        exact, fault = original.get_parameter(name), None
        if value.dtype != exact.dtype:
            fault = f"holds {_dtype_name(value)} where {_dtype_name(exact)} was asked for"
        elif not _same_bits(value, exact):
            fault = "differs from the original"
        rows.append(
            {
                "path": name,
                "group": group_of(name, family.GROUPS),
                "storage": _dtype_name(value),
                "kernel": type(model.get_submodule(name.rpartition(".")[0])).__name__,
                "parameters": value.numel(),
                "bytes": value.nbytes,
                "fault": fault,
            }
        )
    return rows


def _others(model: nn.Module, paths: list[str]) -> list[tuple[str, nn.Parameter]]:
    """The parameters that lie below none of these paths; one that modules share stands under its first name."""
    below = tuple(f"{path}." for path in paths)
    return [(name, value) for name, value in model.named_parameters() if not name.startswith(below)]


def _same_bits(found: torch.Tensor, exact: torch.Tensor) -> bool:
    """Whether two tensors of one dtype hold the same, also where that is not a number."""
    return torch.equal(*(t.detach().cpu().reshape(-1).view(torch.uint8) for t in (found, exact)))


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
