"""Files of finished answers, each of which proves itself: a damaged one, or another request's, is never taken over.

The first line names the request and holds a digest of it, of the items' ids and of the lines that follow.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.errors import UserError

Row = dict[str, Any]


class Unusable(UserError):
    """A shard that cannot be used; the message says what it is."""


def write(path: Path, request: str, ids: Sequence[str], rows: Sequence[Row]) -> None:
    """Write the rows of these items, in their order, as the answer to a request."""
    body = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    files.write_text(path, json.dumps({"request": request, "sha256": _digest(request, ids, body)}) + "\n" + body)


def read(path: Path, request: str, ids: Sequence[str]) -> list[Row]:
    """The rows of a shard. Raises `Unusable` for one that was not written for this request and these items."""
    try:
        head, _, body = path.read_bytes().decode().partition("\n")
        said = json.loads(head) if head else {}
        rows = [json.loads(line) for line in body.split("\n")[:-1]]
    except (OSError, ValueError, RecursionError):  # cannot be read, is no UTF-8 or no JSON
        raise Unusable("damaged") from None
    if not head:
        raise Unusable("empty")
    if not isinstance(said, dict) or "sha256" not in said:
        raise Unusable("damaged")
    if said.get("request") != request:
        raise Unusable("of another request")
    if said["sha256"] != _digest(request, ids, body):
        raise Unusable("damaged, or of other items")
    return rows


def forget(folder: Path) -> None:
    """Remove a folder of shards whose answers have been accepted, and the folders that are empty without it."""
    shutil.rmtree(folder, ignore_errors=True)
    for above in list(folder.parents)[:3]:  # of the precision, the model and the study
        try:
            above.rmdir()
        except OSError:  # not empty, or never there
            return


def _digest(request: str, ids: Sequence[str], body: str) -> str:
    return hashlib.sha256(json.dumps([request, list(ids), body]).encode()).hexdigest()
