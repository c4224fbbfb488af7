"""Floating-point operations of an answer, counted while the model gives it.

Convention: a multiply-add is two operations, so a linear layer of `in` x `out` takes 2 x in x out for every token.
Matrix products, convolutions and attention are counted from the shapes of their tensors (torch.utils.flop_counter);
normalisation, activations, softmax and look-ups are not, which in these models are some percent at most. Attention
counts as if nothing were masked, on every device alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from bitbudget.measuring import phases
from bitbudget.records import metric

Shape = tuple[int, ...]
CONVENTION = (
    "a multiply-add is 2 FLOPs; matrix products, convolutions and attention (as if nothing were masked) are counted, "
    "normalisation, activations, softmax and look-ups are not"
)


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Both matrix products of attention, from its shapes (batch, heads, positions, width)."""
    return sdpa_flop_count(query, key, value)


# torch's counter knows the attention kernels of GPUs and passes over that of processors without a word.
OF_PROCESSORS = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}


@dataclass(frozen=True)
class Flops:
    """Operations of one answer. `prefill` is what gives the first token, without `vision`; `decode` is the rest.

    `operators` holds the same total by torch's operator.
    """

    vision: int
    prefill: int
    decode: int
    operators: dict[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return self.vision + self.prefill + self.decode


def count(model: nn.Module, vision_modules: Sequence[str], answer: Callable[[], Any]) -> Flops:
    """Count the operations of `answer()`, in which the model steps once for each token, all in `inference_mode`.

    `vision_modules` are the paths of the modules that encode images.
    """
    counter = FlopCounterMode(display=False, custom_mapping=OF_PROCESSORS)
    with _hooked(model, vision_modules, counter) as (seen, called), counter, torch.inference_mode():
        answer()
    steps = next(steps for steps in called if steps)
    vision, total = sum(seen), counter.get_total_flops()
    operators = {
        str(name).removeprefix("aten."): number for name, number in counter.get_flop_counts()["Global"].items()
    }
    return Flops(vision, steps[0] - vision, total - steps[0], operators)


@contextmanager
def _hooked(
    model: nn.Module, vision_modules: Sequence[str], counter: FlopCounterMode
) -> Iterator[tuple[list[int], list[list[int]]]]:
    """Lists that fill with the operations of each call of a vision module, and with all up to the end of each step.

    Steps are listed for every module that may be the one that steps (`phases.steppers`).
    """
    seen: list[int] = []
    watched = phases.steppers(model)
    called: list[list[int]] = [[] for _ in watched]
    begun: dict[int, int] = {}

    def before(module: nn.Module, *_: Any) -> None:
        begun[id(module)] = counter.get_total_flops()

    def after(module: nn.Module, *_: Any) -> None:
        seen.append(counter.get_total_flops() - begun.pop(id(module)))

    handles = [
        module.register_forward_hook(lambda *_, steps=steps: steps.append(counter.get_total_flops()))
        for module, steps in zip(watched, called, strict=True)
    ]
    for path in vision_modules:
        module = model.get_submodule(path)
        handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    try:
        yield seen, called
    finally:
        for handle in handles:
            handle.remove()


def metrics(answers: Sequence[Flops], sees: bool) -> dict[str, dict[str, Any]]:
    """`flops_per_item` and its phases: means over the answers, with the raw numbers; no vision for a model of text."""
    names = {"flops_per_item": "total", "flops_vision": "vision", "flops_prefill": "prefill", "flops_decode": "decode"}
    found = {}
    for name, phase in names.items():
        if sees or phase != "vision":
            raw = [getattr(one, phase) for one in answers]
            found[name] = metric(statistics.fmean(raw), "FLOPs", higher_is_better=False, n=len(raw), raw=raw)
    return found


def by_operator(answers: Sequence[Flops]) -> dict[str, int]:
    """The operations of all these answers by torch's operator, the most first."""
    names = {name for one in answers for name in one.operators}
    found = {name: sum(one.operators.get(name, 0) for one in answers) for name in names}
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))
