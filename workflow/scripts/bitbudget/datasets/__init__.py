"""Data sets: one module a kind, each with the same few names, importable with the standard library alone.

`TRACKS`    the tracks that it serves
`SPLITS`    the names of its splits, the default first; None where the data set's own options decide
`PRIMARY`   the metric that counts on this data set; not there where it is its track's
`SHOTS_SPLIT` the split that few-shot examples come from; None, or not there: what a study leaves of its own split
`CALIBRATION_SPLIT` the split that calibration items come from; None, or not there: what a study leaves of its own split
`OPTIONS`   JSON-schema properties of its options in `config/datasets.yaml`; `REQUIRED` names those without a default
`LOCAL_PATHS` the options that name files or folders of the user's own; a changed one is read again
`fetch`     fills `resources/datasets/{dataset}/`, and says what it is: revision, licence (None: not known), source,
            files with SHA-256, and in `lock` what later downloads must find again where the entry pins nothing
`read_items` reads a split of a fetched folder
`read_categories` reads what kinds of objects there are, each an `id` and a `name`; not there where no objects are found
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
