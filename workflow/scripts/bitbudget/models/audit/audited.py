"""What every audit says of a layer or parameter, and the sentence where one is not what its precision asked for."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bitbudget.errors import UserError


@dataclass(frozen=True)
class LayerAudit:
    """What was found of one linear layer; the errors are None for a layer that keeps a float format.

    `relative_error` is that of the weights that its tensors stand for, `kernel_error` that of its kernel's sums.
    """

    path: str
    group: str
    asked: str
    found: str
    storage: str
    kernel: str
    parameters: int
    bytes: int
    relative_error: float | None
    promised_error: float | None
    allowed_error: float | None
    fault: str | None
    kernel_error: float | None = None


def finite(value: float | None) -> float | None:
    """The value, or None for what JSON has no number for."""
    return value if value is None or math.isfinite(value) else None


def kernels(audit: Mapping[str, Any]) -> dict[str, list[str]]:
    """By format, what multiplies with the weights of its layers, as an audit's record has it."""
    found: dict[str, list[str]] = {}
    for layer in audit["layers"]:
        mine = found.setdefault(layer["found"], [])
        if layer["kernel"] not in mine:
            mine.append(layer["kernel"])
    return found


def by_group(
    layers: list[LayerAudit], others: list[dict[str, Any]], asked: Mapping[str, str] = MappingProxyType({})
) -> dict[str, dict[str, Any]]:
    """For each module group: format, parameters, bytes in memory, coverage and the errors of its layers (RMS)."""
    groups: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys([layer.group for layer in layers] + [other["group"] for other in others]):
        mine = [layer for layer in layers if layer.group == name]
        rest = [other for other in others if other["group"] == name]
        errors = [layer.relative_error for layer in mine if layer.relative_error is not None]
        groups[name] = {
            "format": ", ".join(dict.fromkeys([la.found for la in mine] or [o["storage"] for o in rest])),
            "parameters": sum(la.parameters for la in mine) + sum(o["parameters"] for o in rest),
            "bytes": sum(la.bytes for la in mine) + sum(o["bytes"] for o in rest),
            "coverage": coverage(mine, rest, asked, (name,)),
            "relative_error": math.sqrt(sum(e * e for e in errors) / len(errors)) if errors else None,
        }
    return groups


def coverage(
    layers: Iterable[LayerAudit], others: Iterable[dict[str, Any]], asked: Mapping[str, str], groups: Collection[str]
) -> float | None:
    """The share of these groups' weights that is held in the format that was `asked` of them; None without weights.

    Weights are the matrices of linear layers and every other parameter of two or more dimensions (convolutions,
    embeddings, fused experts), which no format but a float one reaches. A matrix that stands in another group too, as a
    tied head's, counts there.
    """
    weights = [(la.parameters, la.found == la.asked) for la in layers if la.group in groups]
    weights += [
        (o["parameters"], o["storage"] == asked.get(o["group"]))
        for o in others
        if o["group"] in groups and o.get("dimensions", 0) > 1
    ]
    total = sum(count for count, _ in weights)
    return sum(count for count, held in weights if held) / total if total else None


def faults_in_one_sentence(precision: str, layers: list[LayerAudit], others: Sequence[dict[str, Any]] = ()) -> str:
    """What is wrong with a checkpoint, naming the first five layers or parameters, or the empty string."""
    found = [(layer.path, layer.fault) for layer in layers] + [(other["path"], other["fault"]) for other in others]
    wrong = [f"{path} {fault}" for path, fault in found if fault]
    if not wrong:
        return ""
    named = "; ".join(wrong[:5])
    more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    return f"precision {precision} is not what its name says: {named}{more}."


def refuse_faults(precision: str, layers: list[LayerAudit], others: Sequence[dict[str, Any]] = ()) -> None:
    """Raise `UserError` naming the layers and parameters where a precision is not what its name says."""
    sentence = faults_in_one_sentence(precision, layers, others)
    if sentence:
        raise UserError(sentence)
