"""A module as an ONNX file: exported by torch with the arguments that reach it, and held against what torch computes.

What a module is given and what it returns are trees of tensors. Their places are told as text, `[1]['pixel_values']`,
so that `module.OrtModule` can take and return the very same.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from bitbudget.errors import UserError, reason
from bitbudget.models.streaming import Streamed
from bitbudget.runtimes.onnxruntime import sessions
from bitbudget.runtimes.onnxruntime.reaching import Call

CLOSE = 1e-4  # relative, in float32: two orders of adding up; seen: up to 2e-6
LARGEST = 1.9e9  # bytes of weights in one file: protobuf ends at 2 GiB, and the rest lies beside it
DATA = ".data"  # what the name of that file ends with
TRANSPOSED = "^T"  # what the name of a weight ends with that the file holds transposed
CONSTANTS = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Signature:
    """How a module is called and what it returns.

    `inputs` are the places of its tensors, `constants` what else it is given by place. `outputs` is the tree that it
    returns, with numbers of the file's outputs for tensors: a number, None, `["tuple", ...]`, `["list", ...]`, or
    `[name of a class of transformers, {field: tree}]`.
    """

    inputs: tuple[str, ...]
    constants: dict[str, Any]
    outputs: Any

    def as_json(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return asdict(self) | {"inputs": list(self.inputs)}


@contextlib.contextmanager
def in_float32(original: Streamed, path: str) -> Iterator[nn.Module]:
    """A copy of a module of the original, with its weights, in float32 on the CPU."""
    with original.holding(original.named(path)):
        module = copy.deepcopy(original.model.get_submodule(path))
    yield module.cpu().float().eval()


def export(module: nn.Module, path: str, calls: Sequence[Call], file: Path) -> tuple[Signature, dict[str, Any]]:
    """Write a module (in float32) as an ONNX file; returns its signature, and what is told of it.

    Dimensions that differ between the `calls` are left open. Raises `UserError` where torch cannot export the module,
    or ONNX Runtime makes something else of it for any of the calls.
    """
    fullest = max(calls, key=lambda call: sum(value.numel() for value in call.tensors().values()))
    places = tuple(fullest.tensors())
    constants = {place: value for place, value in fullest.leaves().items() if place not in places}
    _refuse_other_arguments(path, calls, places, constants)
    with torch.inference_mode():
        wanted = [module(*call.args, **call.kwargs) for call in calls]
    flat: list[torch.Tensor] = []
    tree = _tree(wanted[calls.index(fullest)], flat, path)
    signature = Signature(places, constants, tree)
    inputs = list(fullest.tensors().values())
    shapes = [_open_dimensions([call.tensors()[place] for call in calls]) for place in places]
    program = _exported(_Flat(module, fullest, places), inputs, shapes, path)
    _save(program, module, file)
    session = sessions.open_session(file, "cpu", torch.get_num_threads())
    told: dict[str, Any] = {"relative_difference": 0.0, "largest_difference": 0.0}
    for call, made in zip(calls, wanted, strict=True):
        expected: list[torch.Tensor] = []
        _tree(made, expected, path)
        try:
            found = sessions.run(session, [call.tensors()[place] for place in places])
        except sessions.FAILURES as failure:
            raise UserError(
                f"ONNX Runtime cannot hold {path}: it was exported for other shapes than its pictures have "
                f"({reason(failure)[:200]})."
            ) from None
        for here, there in zip(found, expected, strict=True):
            told["relative_difference"] = max(told["relative_difference"], relative(here, there))
            told["largest_difference"] = max(told["largest_difference"], _largest(here, there))
    if not told["relative_difference"] <= CLOSE:
        raise UserError(
            f"ONNX Runtime cannot hold {path}: what it computes of a picture differs from torch's by "
            f"{told['relative_difference']:.1e}, and {CLOSE:.0e} is allowed."
        )
    return signature, told | {"open_dimensions": {p: list(s) for p, s in zip(places, shapes, strict=True) if s}}


def outputs_of(module: nn.Module, call: Call, path: str) -> list[torch.Tensor]:
    """The tensors that a module returns for a call, in the order of the file's outputs."""
    found: list[torch.Tensor] = []
    with torch.inference_mode():
        _tree(module(*call.args, **call.kwargs), found, path)
    return found


def relative(found: torch.Tensor, exact: torch.Tensor) -> float:
    """The Frobenius norm of the difference against that of what is right; infinite where the shapes differ."""
    if found.shape != exact.shape:
        return float("inf")
    gap, size = ((found.double() - exact.double()).norm().item(), exact.double().norm().item())
    return gap / size if size else (0.0 if gap == 0 else float("inf"))


def _largest(found: torch.Tensor, exact: torch.Tensor) -> float:
    return (found.double() - exact.double()).abs().max().item() if found.shape == exact.shape and found.numel() else 0.0


class _Flat(nn.Module):
    """A module that takes its tensors one after the other and returns a tuple of those that are different."""

    def __init__(self, module: nn.Module, call: Call, places: Sequence[str]):
        super().__init__()
        self.module, self._places = module, places
        found, self._form = pytree.tree_flatten_with_path((call.args, call.kwargs))
        self._given = [(pytree.keystr(path), value) for path, value in found]

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        at = dict(zip(self._places, tensors, strict=True))
        args, kwargs = pytree.tree_unflatten([at.get(place, value) for place, value in self._given], self._form)
        found: list[torch.Tensor] = []
        _tree(self.module(*args, **kwargs), found, "")
        return tuple(found)


def _tree(value: Any, flat: list[torch.Tensor], path: str) -> Any:
    """What a module returned, with numbers in place of tensors, which are added to `flat`, each once."""
    if value is None:
        return None
    if isinstance(value, torch.Tensor):
        place = next((n for n, one in enumerate(flat) if one is value), len(flat))
        if place == len(flat):
            flat.append(value)
        return place
    if hasattr(value, "to_tuple") and isinstance(value, dict):  # transformers' ModelOutput
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        return [kind, {key: _tree(inner, flat, path) for key, inner in value.items()}]
    if type(value) in (tuple, list):
        return [type(value).__name__, *(_tree(inner, flat, path) for inner in value)]
    raise UserError(f"ONNX Runtime cannot hold {path}: it returns a {type(value).__name__}.")


def _open_dimensions(seen: list[torch.Tensor]) -> tuple[int, ...]:
    """The dimensions in which tensors of different calls differ."""
    return tuple(d for d in range(seen[0].dim()) if len({one.shape[d] for one in seen}) > 1)


def _refuse_other_arguments(
    path: str, calls: Sequence[Call], places: tuple[str, ...], constants: dict[str, Any]
) -> None:
    odd = next((place for place, value in constants.items() if not isinstance(value, CONSTANTS)), None)
    if odd is not None:
        raise UserError(f"ONNX Runtime cannot hold {path}: it is given a {type(constants[odd]).__name__} ({odd}).")
    for call in calls:
        tensors, all_of = call.tensors(), call.leaves()
        same = tuple(tensors) == places and {p: v for p, v in all_of.items() if p not in tensors} == constants
        if not same or any(tensors[p].dim() != calls[0].tensors()[p].dim() for p in places):
            raise UserError(f"ONNX Runtime cannot hold {path}: pictures of different sizes reach it in different ways.")


def _exported(module: nn.Module, inputs: list[torch.Tensor], shapes: list[tuple[int, ...]], path: str) -> Any:
    auto = torch.export.Dim.AUTO
    dynamic = [dict.fromkeys(open_ones, auto) if open_ones else None for open_ones in shapes]
    loud = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx", "torch.export")]
    before = [one.level for one in loud]
    try:
        for one in loud:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.onnx.export(
                module, tuple(inputs), dynamo=True, optimize=True, verbose=False,
                input_names=[sessions.name_of(n) for n in range(len(inputs))], dynamic_shapes=(tuple(dynamic),),
            )  # fmt: skip
    except Exception as failure:  # torch's exporter raises many kinds of its own
        cause = failure
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise UserError(
            f"ONNX Runtime cannot hold {path}: torch cannot export it ({' '.join(reason(cause).split())[:200]}); "
            "give its group another format."
        ) from failure
    finally:
        for one, level in zip(loud, before, strict=True):
            one.setLevel(level)


def _save(program: Any, module: nn.Module, file: Path) -> None:
    """Write the file, with each weight under its name in the module: `fc.weight`, or `fc.weight^T` transposed."""
    import onnx

    weights = list(module.named_parameters())
    with tempfile.TemporaryDirectory(dir=file.parent) as place:
        raw = Path(place) / file.name
        program.save(raw, external_data=sum(value.nbytes for _, value in weights) > LARGEST)
        model = onnx.load(raw)
    forms: dict[tuple[int, bytes], str] = {}
    for name, value in reversed(weights):  # the first of those that are alike wins
        if value.dim() == 2:
            forms[content(value.T)] = f"{name}{TRANSPOSED}"
        forms[content(value)] = name
    renamed: dict[str, str] = {}
    for one in model.graph.initializer:
        if one.data_type == onnx.TensorProto.FLOAT:
            name = forms.get(content(torch.from_numpy(onnx.numpy_helper.to_array(one).copy())))
            if name is not None and name not in renamed.values():
                renamed[one.name] = name
    for one in model.graph.initializer:
        one.name = renamed.get(one.name, one.name)
    _rename(model.graph, renamed)
    for one in model.graph.value_info:
        one.name = renamed.get(one.name, one.name)
    write(model, file)


def _rename(graph: Any, renamed: dict[str, str]) -> None:
    """Have all nodes use the new names, those of branches within nodes too."""
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        for attribute in node.attribute:
            for inner in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                _rename(inner, renamed)


def write(model: Any, file: Path) -> None:
    """Write a model of ONNX; weights of more than `LARGEST` bytes into a file beside it."""
    import onnx

    size = sum(len(one.raw_data) for one in model.graph.initializer)
    beside = {"save_as_external_data": True, "location": f"{file.name}{DATA}"} if size > LARGEST else {}
    onnx.save(model, file, **beside)


def content(value: torch.Tensor) -> tuple[int, bytes]:
    """What tells values from others, whatever their shape."""
    data = value.detach().contiguous().reshape(-1).numpy()
    return value.numel(), hashlib.sha256(data.tobytes()).digest()
