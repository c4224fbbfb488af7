"""How much of what a precision names its formats reach: the matrices of linear layers, and no fused experts."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from bitbudget.errors import UserError
from bitbudget.models.checkpoint import linear_layers
from bitbudget.models.families import parts
from bitbudget.models.formats.base import FormatSpec
from bitbudget.models.groups import group_of
from bitbudget.registry import format_of

if TYPE_CHECKING:
    from torch import nn


def refuse_little(
    precision: str, model: nn.Module, family: ModuleType, assignment: dict[str, FormatSpec], least: float
) -> None:
    """Raise `UserError` where a precision would quantize less than the share `least` of the weights that it names.

    `model` is the original, or its skeleton on the meta device.
    """
    named = {group for group, spec in assignment.items() if not format_of(spec["format"]).is_float}
    if not named:
        return
    share, largest = reach(model, family, assignment)
    if share is None:
        raise UserError(
            f"precision {precision} names {_named(named)}, where the model has no weights: leave it out of the study."
        )
    if share < least:
        raise UserError(
            f"precision {precision} would quantize {share:.0%} of the weights that it names, because no format reaches "
            f"such as {largest}: leave it out, or set `quantization.least_coverage` in the study to {share:.2f} or "
            "less, if that is what you want to know."
        )


def reach(model: nn.Module, family: ModuleType, assignment: dict[str, FormatSpec]) -> tuple[float | None, str]:
    """The share of the weights of the groups that are quantized which is reached, and the largest that is not.

    Weights are parameters of two or more dimensions. The share is None where these groups have none.
    """
    groups = parts.groups(family, model)
    reached = {
        layer.module.weight
        for layer in linear_layers(model, family, assignment)
        if not format_of(layer.spec["format"]).is_float
    }
    held, total, largest = 0, 0, ("", 0)
    for path, value in model.named_parameters():
        spec = assignment.get(group_of(path, groups))
        if value.dim() < 2 or spec is None or format_of(spec["format"]).is_float:
            continue
        total += value.numel()
        if value in reached or format_of(spec["format"]).whole:
            held += value.numel()
        elif value.numel() > largest[1]:
            largest = path, value.numel()
    return (held / total if total else None), largest[0]


def _named(groups: set[str]) -> str:
    """The outermost of these groups."""
    return " and ".join(sorted(name for name in groups if name.rpartition(".")[0] not in groups))
