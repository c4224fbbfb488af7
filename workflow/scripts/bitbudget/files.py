"""Reading and writing files so that a crash never leaves half of one under its final name."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bitbudget.errors import UserError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name only when the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner may read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
