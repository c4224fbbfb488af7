"""Which files are the workflow's code, of which commit they are, and what was changed since.

A checkout asks git. The working folder in an unpacked archive has no git; `archive.json` in it says the same.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bitbudget import files
from bitbudget.system import programs

SIGN = "archive.json"  # in the working folder of an unpacked archive
# What a study may add to the code without committing it: files here are in the archive although git does not know them.
OPEN = ("config", "envs", "profiles", "rules", "workflow")
# The whole of the code, where neither git nor an archive says what it is.
FOLDERS = (*OPEN, "demo", "docs", "tests")


@dataclass(frozen=True)
class Code:
    """Files of the working folder, as relative paths with `/`, sorted."""

    files: list[str]
    commit: str | None  # None where nobody knows
    changed: list[str]  # of these files, and of those deleted, what is not as at that commit


def of(work: Path) -> Code:
    """The code in a working folder: what git tracks, or what an unpacked archive brought, or its well-known folders."""
    if _git(work, "rev-parse", "--show-cdup") == "":  # its top, and not a folder somewhere in another checkout
        return _from_git(work)
    if (work / SIGN).exists():
        return _from_archive(work)
    found = {path.name for path in work.iterdir() if path.is_file() and not _hidden(path.name)}
    return Code(sorted(found | set(_below(work, FOLDERS))), None, [])


def sign(study: str, code: Code, hashes: dict[str, str]) -> dict[str, object]:
    """What `archive.json` says; `hashes` has the SHA-256 of each of the code's files."""
    return {"archive_of": study, "commit": code.commit, "changed": code.changed, "code": hashes}


def _from_git(work: Path) -> Code:
    tracked = set(_split(_git(work, "ls-files", "-z")))
    added = set(_split(_git(work, "ls-files", "--others", "--exclude-standard", "-z", "--", *OPEN)))
    commit = (_git(work, "rev-parse", "--verify", "--quiet", "HEAD") or "").strip() or None
    changed = set(_split(_git(work, "diff", "--name-only", "-z", "HEAD"))) if commit else tracked
    return Code(_there(work, tracked | added), commit, sorted(changed | added))


def _from_archive(work: Path) -> Code:
    said = files.read_json(work / SIGN)
    brought: dict[str, str] = said["code"]
    found = _there(work, brought.keys() | set(_below(work, OPEN)))
    same = {name for name in found if brought.get(name) == files.sha256_of(work / name)}
    changed = (brought.keys() | set(found)) - same | set(said["changed"])
    return Code(found, said["commit"], sorted(changed))


def _there(work: Path, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if (work / name).is_file())


def _below(work: Path, folders: Iterable[str]) -> Iterator[str]:
    """Every file in these folders but for hidden ones and what Python compiled."""
    for folder in folders:
        for path in (work / folder).rglob("*"):
            name = path.relative_to(work)
            if path.is_file() and name.name != "locks.guard" and not any(map(_hidden, name.parts)):
                yield name.as_posix()


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__" or name == SIGN


def _split(output: str | None) -> list[str]:
    return [name for name in (output or "").split("\0") if name]


def _git(work: Path, *arguments: str) -> str | None:
    """What git prints, without the line's end; None where there is no git, or no checkout."""
    try:
        done = programs.ask(["git", *arguments], cwd=work, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.removesuffix("\n")
