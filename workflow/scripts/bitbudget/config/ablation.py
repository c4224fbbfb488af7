"""Ablation: the precisions that quantize one module group at a time, and all of them, from a study's `ablation`."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from bitbudget.errors import UserError, suggest
from bitbudget.models import groups
from bitbudget.registry import FORMATS, format_of

# Looked up or shared with what is looked up, which no usual recipe quantizes, or not in most models. A study can name
# them itself.
LEFT_OUT = (groups.EMBEDDINGS, groups.HEAD, *groups.RARE)


def expand(study: dict[str, Any], families: Iterable[ModuleType], where: str) -> dict[str, dict[str, Any]]:
    """The precisions that a study's `ablation` adds, by name, as config/precisions.yaml would have them.

    The study's `ablation` gets its `groups`, and beside them `precisions`: the group that each of these quantizes, or
    `every-group`. A nested group (`language.attention`) is one of them as well as the group that it lies in. Nothing
    for a study without an ablation. Raises `UserError` that begins with `where`, the study's file, where the format
    does not exist or is a float format, or a group is not in every model.
    """
    ablation = study.get("ablation")
    if not ablation:
        return {}
    name = ablation["format"] if isinstance(ablation["format"], str) else ablation["format"]["format"]
    if name not in FORMATS:
        raise UserError(f"{where}: `ablation.format`: there is no format {name!r}; {suggest(name, list(FORMATS))}")
    if format_of(name).is_float:
        raise UserError(f"{where}: `ablation.format` is {name}, which takes no bits away; name a quantized format.")
    known = _shared([family.GROUPS for family in families])
    if len(known) < 2:
        raise UserError(
            f"{where}: `ablation` quantizes one module group at a time, and these models have "
            f"{'only ' + known[0] if known else 'none in common'}; remove it."
        )
    chosen = ablation.setdefault("groups", [group for group in known if group not in LEFT_OUT])
    unknown = next((group for group in chosen if group not in known), None)
    if unknown is not None:
        raise UserError(f"{where}: `ablation.groups`: there is no module group {unknown!r}; {suggest(unknown, known)}")
    if len(chosen) < 2:
        raise UserError(
            f"{where}: `ablation.groups` names only {chosen[0]}, which is then every group as well; name at least two."
        )
    added = {f"only-{group.replace('.', '-')}-{name}": group for group in chosen} | {
        f"{groups.EVERY}-{name}": groups.EVERY
    }
    ablation["precisions"] = added
    return {
        precision: dict.fromkeys(chosen if group == groups.EVERY else [group], ablation["format"])
        for precision, group in added.items()
    }


def _shared(families: list[Iterable[str]]) -> list[str]:
    """The groups that every family has."""
    return [group for group in families[0] if all(group in names for names in families)]
