"""Texts of a study's files as they may be published: every other step works with them as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bitbudget import files
from bitbudget.errors import UserError

# A text, and the question that it answers, where it answers one -> the text as it may be published.
Redact = Callable[[str, str | None], str]

# Records with what people or models wrote. inspection.json and examples.json are redacted when they are made.
WITH_TEXTS = ("spot_check.json", "human.json", "blind.json", "shots.json")
# A user's own files that are redacted as text, line by line; of others nobody here knows what is in them.
PLAIN = frozenset({".txt", ".md", ".typ", ".bib", ".csv", ".tsv", ".yaml", ".yml", ".log"})
# What names a thing is not a text about one, and a number in it is nobody's telephone.
NOT_TEXTS = frozenset(
    {"id", "ids", "item", "items", "image", "images", "source", "path", "file", "sha256", "seed", "record", "study"}
    | {"model", "precision", "condition", "cells", "subset_hash", "checkpoint_hash", "dataset", "revision", "split"}
    | {"licence", "credit"}
    | {"rater", "saved", "ratings_of", "primary", "provenance"}
)


def holds_texts(name: str) -> bool:
    """Whether a file of a study's results or ratings has texts that people or models wrote."""
    path = PurePosixPath(name)
    return path.suffix == ".jsonl" or path.name in WITH_TEXTS or (path.parts[0] == "ratings" and path.suffix == ".json")


def is_readable(name: str) -> bool:
    """Whether a file of the user's own can be redacted: JSON, or plain text."""
    return PurePosixPath(name).suffix.lower() in PLAIN | {".json", ".jsonl"}


def questions(folder: Path) -> dict[str, str]:
    """The question of each item of the study in this folder; empty for one without."""
    return {row["id"]: row.get("question") or "" for row in files.read_jsonl(folder / "items.jsonl")}


def chunks(path: Path, redact: Redact, asked: Mapping[str, str]) -> Iterator[bytes]:
    """A file's bytes with its texts redacted; what has nothing to redact stays byte for byte as it is.

    `asked` has every item's question. Raises `UserError` for a file that is not JSON, or no text.
    """
    suffix = path.suffix.lower()
    if suffix in PLAIN or suffix == ".jsonl":
        of_line = _line if suffix == ".jsonl" else _plain
        try:
            with path.open(encoding="utf-8", newline="\n") as file:
                for number, line in enumerate(file, start=1):
                    yield of_line(line, f"{path}, line {number},", redact, asked).encode()
        except UnicodeDecodeError:
            raise UserError(
                f"{path} is not UTF-8 text, so no personal string can be replaced in it; save it as UTF-8."
            ) from None
        return
    before = files.read_json(path)
    after = _redacted(before, redact, asked, None)
    yield path.read_bytes() if after == before else (json.dumps(after, indent=1, ensure_ascii=False) + "\n").encode()


def _line(line: str, where: str, redact: Redact, asked: Mapping[str, str]) -> str:
    try:
        before = json.loads(line)
    except json.JSONDecodeError as fault:
        raise UserError(f"{where} is not valid JSON ({fault.msg}); make the file again.") from None
    after = _redacted(before, redact, asked, None)
    return line if after == before else json.dumps(after, ensure_ascii=False) + "\n"


def _plain(line: str, _where: str, redact: Redact, asked: Mapping[str, str]) -> str:
    """A line of text, redacted but for one that is an item's id, as in a list of items."""
    return line if line.strip() in asked else redact(line, None)


def _redacted(value: Any, redact: Redact, asked: Mapping[str, str], question: str | None) -> Any:
    if isinstance(value, str):
        return redact(value, question or None)
    if isinstance(value, list):
        return [_redacted(one, redact, asked, question) for one in value]
    if isinstance(value, dict):
        item = value.get("item", value.get("id"))
        question = asked.get(item, question) if isinstance(item, str) else question
        # a few-shot example stands beside its own question
        question = value["question"] if isinstance(value.get("question"), str) else question
        found: dict[str, Any] = {}
        for key, one in value.items():
            shown = key if key in NOT_TEXTS or key in asked else redact(key, question or None)
            while shown in found:  # two that are personal are still two
                shown += "'"
            found[shown] = (
                one if key in NOT_TEXTS else _redacted(one, redact, asked, None if key == "question" else question)
            )
        return found
    return value
