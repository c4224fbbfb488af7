"""Module groups: the parts of a model that get one number format each.

The names of the groups are known while a study is read. The module paths that each takes are read from the model
(`bitbudget.models.families.parts`). A component of such a path may be `*`, which stands for exactly one component (a
layer's number); a path takes everything below it. A module belongs to the most specific path that fits: the one with
the most components, then the one with the fewest `*`. So `embeddings` may lie inside the decoder that `language` takes
as a whole, and it is still a group of its own.

A dot in a group's name nests it: `language.attention` is a part of `language`, and a precision that names `language`
means its parts too. What is left in `language` itself (the norms) is that group's own. A model need not have every
group: few have experts or hear.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bitbudget.errors import UserError

VISION, AUDIO, PROJECTOR = "vision", "audio", "projector"
EMBEDDINGS, DECODER, HEAD = "embeddings", "language", "head"
# Of models that read, and of those that see as well.
READING = (EMBEDDINGS, DECODER, "language.attention", "language.mlp", "language.mlp.experts", HEAD)
SEEING = (VISION, AUDIO, PROJECTOR, *READING)
RARE = (AUDIO, "language.mlp.experts")  # that most models lack

ALL = "all"  # in a precision: every group of the model
EVERY = "every-group"  # in an ablation: all of the groups that it quantizes one at a time

Groups = Mapping[str, tuple[str, ...]]


class GroupError(LookupError):
    """A family's groups do not divide the model: a path belongs to no group, or to two with equal right."""


def group_of(path: str, groups: Groups) -> str:
    """The group of a module or parameter, e.g. `model.language_model.layers.3.self_attn.q_proj.weight`.

    Raises `GroupError` naming the path where no group takes it, or two groups do with equally specific paths.
    """
    components = path.split(".")
    fitting: dict[tuple[int, int], set[str]] = {}
    for group, patterns in groups.items():
        for pattern in patterns:
            parts = pattern.split(".")
            if _fits(components, parts):
                fitting.setdefault((len(parts), -parts.count("*")), set()).add(group)
    if not fitting:
        raise GroupError(f"{path} belongs to none of the module groups {', '.join(groups)}")
    found = fitting[max(fitting)]
    if len(found) > 1:
        raise GroupError(f"{path} belongs to the module groups {' and '.join(sorted(found))} with equal right")
    return found.pop()


def _fits(components: list[str], pattern: list[str]) -> bool:
    """Whether the path lies at or below the pattern."""
    return len(components) >= len(pattern) and all(
        p in ("*", c)
        for c, p in zip(components, pattern, strict=False)  # what lies below the pattern is free
    )


def resolve(assignment: Mapping[str, Any], groups: Iterable[str], baseline_format: Any) -> dict[str, Any]:
    """The format of every group of a family, nested ones and those that have nested ones alike.

    A group takes the format of the nearest named one among itself, the groups that it is nested in and `all`; where
    none is named it keeps the baseline's format. Formats are passed through as they are. Raises `UserError` for a name
    that is no group of the family.
    """
    groups = list(groups)
    for name in assignment:
        if name != ALL and name not in groups:
            raise UserError(
                f"a precision assigns a format to the module group {name!r}, which this model family does not have: "
                f"choose among {', '.join(groups)}, or {ALL!r} for every group."
            )
    return {
        group: next((assignment[name] for name in _outwards(group) if name in assignment), baseline_format)
        for group in groups
    }


def _outwards(group: str) -> Iterator[str]:
    """The group, the groups that it is nested in from the inside out, and `all`."""
    while group:
        yield group
        group = group.rpartition(".")[0]
    yield ALL
