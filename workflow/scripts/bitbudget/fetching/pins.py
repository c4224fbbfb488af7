"""What was fetched first is held to: revisions and checksums that the presets leave open.

The presets in `config/` name a revision or checksum only where somebody could verify it. Where they leave it open, the
first download writes what it found to `config/locks.json`, and every later download must find the same.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.errors import UserError

LOCKS = Path("config/locks.json")


def locked(kind: str, name: str, *, path: Path = LOCKS) -> dict[str, Any]:
    """What is locked for `name` (of kind `models` or `datasets`); empty where nothing is yet."""
    return files.read_json(path).get(kind, {}).get(name, {}) if path.exists() else {}


def hold(kind: str, name: str, found: dict[str, Any], *, path: Path = LOCKS) -> None:
    """Lock what was found, or check it against what is locked; keys not locked yet are added.

    Raises `UserError` where a locked value differs: what is published under that name has changed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".guard").open("w") as guard:  # two fetch jobs may run side by side
        fcntl.flock(guard, fcntl.LOCK_EX)
        everything = files.read_json(path) if path.exists() else {}
        entry = everything.setdefault(kind, {}).setdefault(name, {})
        for key, value in found.items():
            if key in entry and entry[key] != value:
                raise UserError(
                    f"{key} of {name} is {value}, but {path} holds it to {entry[key]} since its first download: "
                    f"fetch that version, or remove the entry {kind}/{name} from {path} to accept the new one."
                )
        if any(key not in entry for key in found):
            entry.update(found)
            files.write_json(path, everything)
