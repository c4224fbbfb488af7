"""Files held to the SHA-256 that a record has of them, each read once in a boot of the machine.

That a file was read and found right is noted outside of it, under the machine's boot and everything by which the
system would show that it was written to since: device, inode, size, and the times of its last changes. A program can
set the one (`mtime`) but not the other (`ctime`). Where the boot is unknown nothing is noted, and every job reads.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitbudget import files, records
from bitbudget.errors import UserError

MEMO = Path("resources/.verified")  # in a working folder that has resources: MEMO/{boot}/{file}, empty files
BOOT = Path("/proc/sys/kernel/random/boot_id")
# Seconds: a file changed so shortly ago could be changed again without another date (git: "racily clean").
SETTLED = 2.0


def boot() -> str | None:
    """What names this boot of the machine (Linux); None where that is unknown."""
    try:
        return BOOT.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def hold(path: Path, facts: Mapping[str, Any], remedy: str) -> None:
    """Hold a file to its size (`bytes`) and SHA-256 (`sha256`) as a record has them.

    Raises `UserError` that names the file and ends in the remedy, where it is missing, cut off or changed.
    """
    if not path.exists() or path.stat().st_size != facts["bytes"]:
        raise UserError(f"{path} is missing or cut off: {remedy}.")
    state = _state(path)
    note = _note(state, facts["sha256"])
    if note is not None and note.exists():
        return
    settled = time.time() - max(path.stat().st_mtime, path.stat().st_ctime) > SETTLED
    found = files.sha256_of(path)
    if found != facts["sha256"]:
        raise UserError(
            f"{path} has changed since it was made (its SHA-256 is {found[:12]}… in place of "
            f"{facts['sha256'][:12]}…): {remedy}."
        )
    if note is not None and settled and _state(path) == state:
        with contextlib.suppress(OSError):  # a note that cannot be taken costs another reading, and nothing else
            _make_room(note.parent)
            note.touch()


def hold_folder(folder: Path, record: str) -> None:
    """Hold what was fetched or exported into a folder to the record that lies there; without one nothing is known.

    Raises `UserError` for the first file that is not what it was, and for a damaged record.
    """
    if (folder / record).exists():
        for name, facts in records.read(folder / record, ("files",))["files"].items():
            hold(folder / name, facts, f"delete {folder} and run the same command again, which makes it anew")


def _state(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _note(state: tuple[int, ...], sha256: str) -> Path | None:
    """Where it is noted that a file in this state has this SHA-256."""
    now = boot()
    return MEMO / now / files.hash_of([*state, sha256]) if now and MEMO.parent.is_dir() else None


def _make_room(folder: Path) -> None:
    """Make the folder of this boot's notes, without those of earlier boots, which nothing asks for any more."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        for other in folder.parent.iterdir():
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
