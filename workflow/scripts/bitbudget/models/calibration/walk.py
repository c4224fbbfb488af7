"""Going through a model layer by layer, with all calibration items side by side, each in one forward pass.

The pass of each item stops in front of every layer that is to be looked at, in a greenlet of its own, and goes on when
that layer has been replaced or changed. So a layer sees what the layers before it make of the items as they are by
then (Frantar et al. 2023, arXiv 2210.17323, section 4), whatever the model does between its layers: images among
tokens, positions in three dimensions, masks that differ from block to block, experts that see a part of the items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from greenlet import getcurrent, greenlet
from torch import nn

Inputs = Mapping[str, torch.Tensor]


def walk(
    model: nn.Module, layers: Mapping[str, nn.Module], inputs: Iterable[Inputs], device: str, dtype: torch.dtype
) -> Iterator[tuple[str, list[torch.Tensor]]]:
    """The path of each of these layers, and what reaches it: one tensor (..., in) for each item that does.

    `layers` are in the model's order. What is done to a layer's weight before the next step counts for all that
    follows; a layer that one pass goes through again counts the first time. `inputs` are the model's keyword arguments
    for each item; their floats go in as `dtype`. Layers that nothing reaches are left out.
    """
    hub, done = getcurrent(), set()
    paths = {module: path for path, module in layers.items()}
    places = {module: place for place, module in enumerate(paths)}
    for config in (model.config, model.config.get_text_config()):
        config.use_cache = False  # keys and values that nobody asks for

    def stop(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if module not in done:
            hub.switch(module, given[0])

    def read(given: Inputs) -> None:
        model(**moved(given, device, dtype))

    hooks = [module.register_forward_pre_hook(stop) for module in layers.values()]
    waiting: dict[greenlet, tuple[nn.Module, torch.Tensor]] = {}
    try:
        for given in inputs:
            run = greenlet(read)
            if arrived := run.switch(given):
                waiting[run] = arrived
        while waiting:
            module = min((reached for reached, _ in waiting.values()), key=places.get)
            runs = [run for run, (reached, _) in waiting.items() if reached is module]
            seen = [waiting.pop(run)[1] for run in runs]
            done.add(module)
            yield paths[module], seen
            del seen
            if len(done) == len(places):
                return
            for run in runs:
                if arrived := run.switch():
                    waiting[run] = arrived
    finally:
        for hook in hooks:
            hook.remove()


def suit(inputs: Iterable[Inputs], model: nn.Module) -> None:
    """Prepare a model for inputs whose making may be set by what its configuration says too (`inputs.suit`)."""
    if hasattr(inputs, "suit"):
        inputs.suit(model.config)


def moved(given: Inputs, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """A model's inputs on this device, and in this dtype where they hold floats."""
    tensors = {name: value for name, value in given.items() if isinstance(value, torch.Tensor)}
    return dict(given) | {
        name: value.to(device, dtype if value.is_floating_point() else None) for name, value in tensors.items()
    }
