"""Data sets: one module a kind, each with the same few names, importable with the standard library alone.

`bitbudget.contracts.DATASET` lists what a data set must say of itself, and what it may.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from bitbudget.errors import UserError


def with_defaults(module: ModuleType, kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options with every default filled in. Raises `UserError` for an unknown or a missing option."""
    for name in options:
        if name not in module.OPTIONS:
            known = ", ".join(sorted(module.OPTIONS)) or "none"
            raise UserError(f"the data set kind {kind} has no option {name!r}; its options are: {known}.")
    for name in module.REQUIRED:
        if name not in options:
            raise UserError(f"the data set kind {kind} needs the option {name!r}; add it in config/datasets.yaml.")
    defaults = {name: schema["default"] for name, schema in module.OPTIONS.items() if "default" in schema}
    return defaults | options


def check_split(module: ModuleType, kind: str, split: str) -> None:
    """Raise `UserError` where the kind has no such split."""
    if module.SPLITS is not None and split not in module.SPLITS:
        raise UserError(
            f"the data set kind {kind} has no split {split!r}; choose {' or '.join(map(repr, module.SPLITS))}."
        )
