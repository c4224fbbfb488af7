"""Files of weights that several checkpoints have alike are on the disk once: int8 layers of a decoder, for example.

The same layers in the same format are the same bytes, and lie in files of their own (`checkpoint.save`). A hard link
takes no room, and lives on when one of the checkpoints is deleted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bitbudget import files, records
from bitbudget.errors import UserError


def share(folder: Path, found: Mapping[str, Mapping[str, Any]], others: Iterable[Path]) -> int:
    """Replace the files `found` in a checkpoint's folder by links to equal ones. Returns the bytes that this saves.

    `found` is what its manifest says of its files. The `others` are manifests; one that cannot be read is passed over,
    and so is a disk without hard links.
    """
    saved = 0
    known = {key: path for manifest in others for key, path in _files(manifest).items()}
    for name, facts in found.items():
        equal, link = known.get((facts["bytes"], facts["sha256"])), folder / f".{name}.link"
        try:
            if equal is None or equal.samefile(folder / name) or files.sha256_of(equal) != facts["sha256"]:
                continue  # also where it was damaged since: a checkpoint that is made anew must not be damaged again
            link.unlink(missing_ok=True)
            os.link(equal, link)
        except OSError:  # also where another job makes it anew just now
            continue
        link.replace(folder / name)
        saved += facts["bytes"]
    return saved


def _files(manifest: Path) -> dict[tuple[int, str], Path]:
    """The files of a checkpoint by size and SHA-256."""
    try:
        made = records.read(manifest, ("files",))["files"]
    except (UserError, OSError):
        return {}
    return {(facts["bytes"], facts["sha256"]): manifest.parent / name for name, facts in made.items()}
