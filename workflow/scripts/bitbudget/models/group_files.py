"""Files of a checkpoint that hold whole module groups, for another program than torch to run (`GroupFormat`)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bitbudget.models.families import parts
from bitbudget.models.formats.base import Calibration, FormatSpec, GroupFile
from bitbudget.models.groups import group_of
from bitbudget.registry import format_of

if TYPE_CHECKING:
    from torch import nn

    from bitbudget.models.streaming import Streamed


def of(assignment: dict[str, FormatSpec], groups: Any) -> list[GroupFile]:
    """The files that a precision needs: one for all `groups` of the model that one file holds together."""
    found: dict[tuple[str, ...], GroupFile] = {}
    for group, spec in assignment.items():
        if group in groups and format_of(spec["format"]).whole:
            together = format_of(spec["format"]).together(group)
            mine = tuple(one for one in assignment if one in together and one in groups)
            found[mine] = GroupFile(spec, mine)
    return list(found.values())


def read(made: dict[str, Any]) -> list[GroupFile]:
    """Those of a checkpoint, from its manifest."""
    return [GroupFile(**{**one, "groups": tuple(one["groups"]), "files": tuple(one["files"])}) for one in _told(made)]


def _told(made: dict[str, Any]) -> list[dict[str, Any]]:
    return made.get("group_files", [])


def names(made: dict[str, Any]) -> list[str]:
    """The names of all their files."""
    return [name for one in _told(made) for name in one["files"]]


def make(
    original: Streamed,
    family: ModuleType,
    assignment: dict[str, FormatSpec],
    source: Path,
    folder: Path,
    device: str,
    calibration: Calibration | None,
) -> list[GroupFile]:
    """Write the files that a precision needs into the checkpoint's folder."""
    wanted = of(assignment, parts.groups(family, original.model))
    if wanted:
        folder.mkdir(parents=True, exist_ok=True)
    return [
        format_of(one.spec["format"]).make(one, original, family, source, folder, device, calibration) for one in wanted
    ]


def put(ones: list[GroupFile], model: nn.Module, family: ModuleType, folder: Path, device: str) -> nn.Module:
    """The model that computes these groups from their files; the decoder's, which takes the model over, comes last."""
    for one in sorted(ones, key=lambda one: "language" in one.groups):
        model = format_of(one.spec["format"]).put(one, model, family, folder, device)
    return model


def parameters(ones: list[GroupFile], model: nn.Module, family: ModuleType) -> frozenset[str]:
    """The names of the parameters that these files hold, those that modules share under each of their names."""
    held = {group for one in ones for group in one.groups}
    if not held:
        return frozenset()
    groups = parts.groups(family, model)
    everything = model.named_parameters(remove_duplicate=False)
    return frozenset(name for name, _ in everything if group_of(name, groups) in held)


def as_json(ones: list[GroupFile]) -> list[dict[str, Any]]:
    """What the manifest says of them, in lists where these have tuples."""
    return [{**dataclasses.asdict(one), "groups": [*one.groups], "files": [*one.files]} for one in ones]
