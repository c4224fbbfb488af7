"""Any file of passages whose last word is to be predicted: one JSON object with a `text` a line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.datasets import local_files, passage_rows
from bitbudget.items.item import Item

TRACKS = ("lambada",)
SPLITS = ("all",)
CALIBRATION_SPLIT = None  # passages of the file that are not evaluated
OPTIONS: dict[str, dict[str, Any]] = {
    "file": {
        "description": "A jsonl file with a `text` of at least two words a line; relative paths start at the "
        "repository's root.",
        "type": "string",
        "minLength": 1,
    },
}
REQUIRED = ("file",)
LOCAL_PATHS = ("file",)

ABOUT = "the author's own passages"
LIMITS = local_files.LIMITS

FILE = "passages/passages.jsonl"


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Read the file strictly and keep a copy of it. Raises `UserError` for the first line that is wrong."""
    source = Path(options["file"])
    passage_rows.read_passages(source)
    with files.written_whole(folder / FILE) as temporary:
        shutil.copyfile(source, temporary)
    found = files.sha256_of(folder / FILE)
    return {
        "revision": f"sha256:{found}",
        "licence": None,  # only the entry in config/datasets.yaml can say
        "source": str(source),
        "files": {FILE: found},
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """All passages; the one split is called `all`, and an id is the number of a passage's line, from 1."""
    return passage_rows.read_passages(folder / FILE)
