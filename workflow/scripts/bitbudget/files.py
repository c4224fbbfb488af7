"""Reading and writing files so that neither a crash nor a power cut leaves half of one under its final name."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bitbudget.errors import FULL, UserError

ABOUT_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # nothing but writing fails with these


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name only when the block ends without an exception.

    What was written is flushed to the disk before it takes the name, and the name after: otherwise a power cut may
    leave an empty file of that name (https://lwn.net/Articles/457667). Raises `OSError` that names `path` where it
    cannot be written, also where the library that wrote it says so in other ways.
    """
    with naming(path):
        _make_folder(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner may read
            put_in_place(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a whole file its final name, in the place of what had that name, so that a power cut loses neither."""
    flush(temporary)
    temporary.replace(path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Wait until the disk holds what was written to this file, or the names that are in this folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as fault:
        if fault.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems flush no folders
            raise
    finally:
        os.close(handle)


def flush_all(folder: Path) -> None:
    """Flush every file and folder below this one, before a record is written that says they are whole."""
    with naming(folder):
        for path in [*folder.rglob("*"), folder]:
            if not path.is_symlink():
                flush(path)


def _make_folder(folder: Path) -> None:
    """Make a folder and those that it lies in, each with a name that outlives a power cut."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    flush(folder.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have every failure of writing within the block name `path`, as an `OSError` with its errno.

    Libraries tell of a full disk by a text (safetensors), by an error without a reason (torch, Pillow), or by the name
    of the file that was read (`shutil`).
    """
    try:
        yield
    except Exception as fault:
        code = _code(fault, path)
        if code is None:
            raise
        raise OSError(code, os.strerror(code), str(path)) from fault


def _code(fault: Exception, path: Path) -> int | None:
    """The errno behind a failure of writing; None for any other failure."""
    if isinstance(fault, UserError):
        return None
    if isinstance(fault, OSError) and fault.errno is not None:
        ours = isinstance(fault, PermissionError) and Path(str(fault.filename)).name.startswith(f".{path.name}.")
        return fault.errno if fault.errno in ABOUT_WRITING or ours else None
    said = re.search(r"\(os error (\d+)\)", str(fault))  # the form of Rust's errors
    if said and int(said[1]) in ABOUT_WRITING:
        return int(said[1])
    silent = isinstance(fault, (OSError, RuntimeError)) and path.parent.is_dir()
    return errno.ENOSPC if silent and shutil.disk_usage(path.parent).free < FULL else None


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all; NaN and infinity are refused, because JSON has no such numbers."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a missing or broken file is a `UserError` that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; name an existing file.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as fault:
        raise UserError(f"{path} is not valid JSON ({fault}); it may be cut off: fetch or make it again.") from None


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, whole or not at all."""
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    write_text(path, "".join(line + "\n" for line in lines))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read one JSON object a line; a broken line is a `UserError` that names file and line."""
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # splitlines() would also split inside a text
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; name an existing file.") from None
    except UnicodeDecodeError as fault:
        raise UserError(f"{path} is not in UTF-8 ({fault}); make the file again.") from None
    for number, line in enumerate(lines, start=1):
        if not line and number == len(lines):
            break
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as fault:
            raise UserError(f"{path}, line {number}, is not valid JSON ({fault.msg}); make the file again.") from None
    return rows


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_of(content: Any) -> str:
    """Hexadecimal SHA-256 of a JSON-like value, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
