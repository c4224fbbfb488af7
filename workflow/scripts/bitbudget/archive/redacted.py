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
# What names a thing is not a text about one, and a number in it is nobody's telephone.
NOT_TEXTS = frozenset(
    {"id", "ids", "item", "items", "image", "images", "source", "path", "file", "sha256", "seed", "record", "study"}
    | {"model", "precision", "condition", "cells", "subset_hash", "checkpoint_hash", "dataset", "revision", "split"}
    | {"rater", "saved", "ratings_of", "primary", "provenance"}
)


def holds_texts(name: str) -> bool:
    """Whether a file of a study's results or ratings has texts that people or models wrote."""
    path = PurePosixPath(name)
    return path.suffix == ".jsonl" or path.name in WITH_TEXTS or (path.parts[0] == "ratings" and path.suffix == ".json")


def questions(folder: Path) -> dict[str, str]:
    """The question of each item that has one, of the study in this folder."""
    return {row["id"]: row["question"] for row in files.read_jsonl(folder / "items.jsonl") if row.get("question")}


def chunks(path: Path, redact: Redact, asked: Mapping[str, str]) -> Iterator[bytes]:
    """A file's bytes with its texts redacted; what has nothing to redact stays byte for byte as it is.

    `asked` has the items' questions. Raises `UserError` for a file that is not JSON.
    """
    if path.suffix == ".jsonl":
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                yield _line(line, f"{path}, line {number},", redact, asked).encode()
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


def _redacted(value: Any, redact: Redact, asked: Mapping[str, str], question: str | None) -> Any:
    if isinstance(value, str):
        return redact(value, question)
    if isinstance(value, list):
        return [_redacted(one, redact, asked, question) for one in value]
    if isinstance(value, dict):
        item = value.get("item", value.get("id"))
        question = asked.get(item, question) if isinstance(item, str) else question
        # a few-shot example stands beside its own question
        question = value["question"] if isinstance(value.get("question"), str) else question
        return {
            key: one if key in NOT_TEXTS else _redacted(one, redact, asked, None if key == "question" else question)
            for key, one in value.items()
        }
    return value
