"""What reaches modules of a model when it sees pictures: the arguments of their calls, which they are exported with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils import _pytree as pytree

from bitbudget.errors import UserError, reason
from bitbudget.models import readers
from bitbudget.models.asking import forms
from bitbudget.models.calibration.walk import moved
from bitbudget.models.families import parts
from bitbudget.models.groups import DECODER, HEAD, PROJECTOR, VISION, group_of
from bitbudget.models.streaming import Streamed
from bitbudget.runtimes.transformers import generation

# Pixels of made-up pictures, by call: wide and high, so that every dimension differs that can.
SIZES = ([(96, 64)], [(60, 90), (160, 120)], [(40, 200)])
ASKED = "What is it?"


class _Enough(Exception):
    """Everything that is looked for has been called."""


@dataclass(frozen=True, eq=False)
class Call:
    """The arguments of one call of a module, floats in float32."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def leaves(self) -> dict[str, Any]:
        """Its arguments by their places, as `[0][0]` or `[1]['pixel_values']`: tensors, and what is none."""
        return leaves(self.args, self.kwargs)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Those that are tensors."""
        return {place: value for place, value in self.leaves().items() if isinstance(value, torch.Tensor)}


def leaves(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by their places."""
    found, _ = pytree.tree_flatten_with_path((tuple(args), dict(kwargs)))
    return {pytree.keystr(path): value for path, value in found}


def modules_of(group: str, family: ModuleType, model: nn.Module) -> list[str]:
    """The topmost modules of a group: those whose calls compute all of it.

    Raises `UserError` where the group has a weight outside of them, or another group one within them.
    """
    found = parts.groups(family, model)
    paths = found.get(group, ())
    top = [path for path in paths if not path.startswith(tuple(f"{one}." for one in paths))]
    called = [path for start in top for path in parts.called(model, start)]
    inside = tuple(f"{path}." for path in called)
    for name, _ in model.named_parameters():
        own = group_of(name, found)
        if own == group and not name.startswith(inside):
            raise UserError(f"ONNX Runtime cannot hold the group {group}: {name} is of no module that can be called.")
        if own != group and inside and name.startswith(inside):
            raise UserError(
                f"ONNX Runtime cannot hold the group {group} by itself: {name}, which is computed within it, is of the "
                f"group {own}; give {group} another format."
            )
    if not called:
        raise UserError(f"ONNX Runtime cannot hold the group {group}: the model has no weights there.")
    return called


def made_up(snapshot: Path, family: ModuleType) -> list[Mapping[str, torch.Tensor]]:
    """The model's inputs for made-up pictures, some alone and some together.

    Raises `UserError` where its processor does not take them.
    """
    processor = readers.load_processor(snapshot)
    form = forms.probe(processor, readers.load_configuration(snapshot).model_type)
    try:
        return [
            dict(
                generation.prepare(
                    processor, family, [[_picture(size)] for size in sizes], [ASKED] * len(sizes), "cpu",
                    torch.float32, form=form,
                )
            )
            for sizes in SIZES
        ]  # fmt: skip
    except generation.REFUSALS as fault:
        raise UserError(f"the processor in {snapshot} takes no made-up picture ({reason(fault)}).") from fault


def _picture(size: tuple[int, int]) -> Image.Image:
    """Smooth in one direction, noise of a fixed seed in the other, in colours that differ."""
    generator = torch.Generator().manual_seed(size[0])
    noise = torch.randint(0, 256, (size[1], size[0], 3), generator=generator)
    ramp = torch.linspace(0, 255, size[0]).round().long()[None, :, None]
    return Image.fromarray(((noise + 2 * ramp) // 3).to(torch.uint8).numpy())


def calls(
    original: Streamed, family: ModuleType, paths: Sequence[str], inputs: Iterable[Mapping[str, torch.Tensor]]
) -> dict[str, list[Call]]:
    """The first call of each of these modules for each of the inputs; see `stream`."""
    found = list(stream(original, family, paths, inputs))
    return {path: [one[path] for one in found] for path in paths}


def stream(
    original: Streamed, family: ModuleType, paths: Sequence[str], inputs: Iterable[Mapping[str, torch.Tensor]]
) -> Iterator[dict[str, Call]]:
    """The first call of each of these modules, one after the other for each of the inputs (the model's arguments).

    All of the model that comes before its decoder is read for it, and let go again; a pass ends when all have been
    called. Raises `UserError` where one is not called.
    """
    model, groups = original.model, parts.groups(family, original.model)
    everything = [name for name, _ in model.named_parameters()]
    seeing = VISION in {group_of(f"{path}.weight", groups) for path in paths}
    skipped = {DECODER, HEAD} | ({VISION, PROJECTOR} if seeing else set())
    needed = [name for name in everything if group_of(name, groups).split(".")[0] not in skipped]
    needed += [name for path in paths[:-1] for name in original.named(path)]  # later ones may need what these give
    original.fill(dict.fromkeys(needed))
    try:
        for given in inputs:
            try:
                found = _called(model, paths, given)
            except (RuntimeError, NotImplementedError) as failure:
                if "meta" not in str(failure):
                    raise
                original.fill(everything)  # a decoder that begins before pictures are encoded
                found = _called(model, paths, given)
            missing = [path for path in paths if path not in found]
            if missing:
                raise UserError(
                    f"ONNX Runtime cannot hold {missing[0]}: the model does not call it when it sees a picture."
                )
            yield found
    finally:
        original.empty(everything)


def _called(model: nn.Module, paths: Sequence[str], given: Mapping[str, torch.Tensor]) -> dict[str, Call]:
    """The first calls of these modules in one pass."""
    found: dict[str, Call] = {}
    device = next((value.device for value in model.parameters() if not value.is_meta), torch.device("cpu"))
    with torch.inference_mode(), _watched(model, paths, found), contextlib.suppress(_Enough):
        model(**moved(given, str(device), model.dtype))
    return found


@contextlib.contextmanager
def _watched(model: nn.Module, paths: Sequence[str], found: dict[str, Call]) -> Iterator[None]:
    def watch(path: str) -> Any:
        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if path not in found:
                found[path] = Call(*pytree.tree_map(_kept, (args, kwargs)))
            if len(found) == len(paths):
                raise _Enough

        return model.get_submodule(path).register_forward_pre_hook(before, with_kwargs=True, prepend=True)

    hooks = [watch(path) for path in paths]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _kept(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).clone()
