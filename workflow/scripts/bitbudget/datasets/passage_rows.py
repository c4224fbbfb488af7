"""Passages whose last word is to be predicted, from a file with one JSON object a line.

A passage is split at its last space (U+0020), as lm-evaluation-harness splits LAMBADA: what stands before it is the
context, what follows is the word, with its punctuation. A line break is no space, so in the five passages of the
OpenAI file where nothing else parts the last two words, the "word" is both of them: published numbers count it so.
White space at the end of a text is removed first, because it would leave no word; no official passage has any.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bitbudget.datasets import strict
from bitbudget.errors import UserError
from bitbudget.items import Item


def read_passages(path: Path) -> list[Item]:
    """The items of a jsonl file whose objects have a `text`: `question` is the context, the one reference the word.

    An item's id is the number of its line, from 1. Other keys of an object are passed over, and so are empty lines at
    the end of the file.

    Raises `UserError` that names file and line for a line that is no JSON object with a text of at least two words
    parted by a space, and one that names the file where it is missing, not UTF-8, or has no passage.
    """
    items = []
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path}, line {number},"
        row = _parsed(line, where)
        strict.require(row, ("text",), where)
        context, word = split(strict.text(row, "text", where), where)
        items.append(Item(id=str(number), images=(), question=context, references=(word,)))
    if not items:
        raise UserError(f"{path} has no passage; it needs one JSON object with a `text` a line.")
    return items


def split(text: str, where: str) -> tuple[str, str]:
    """A passage's context, and its last word. Raises `UserError` that begins with `where` for a passage of one word."""
    context, _, word = text.rstrip().rpartition(" ")
    if not context.strip():
        raise UserError(
            f"{where} has a passage of one word ({_shortened(word)!r}), with nothing to predict it from; "
            "give at least two words with a space between them, or remove the line."
        )
    return context, word


def _lines(path: Path) -> list[str]:
    """The file's lines but for empty ones at its end; only a newline ends a line, as JSON has the others in texts."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path} does not exist; name a file with one JSON object a line.") from None
    except UnicodeDecodeError as fault:
        raise UserError(f"{path} is not UTF-8 text (byte {fault.start}); save it as UTF-8.") from None
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _parsed(line: str, where: str) -> Any:
    try:
        row = json.loads(line)
        json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair is JSON, but cannot be written as UTF-8
    except json.JSONDecodeError as fault:
        wrong = f"is not valid JSON ({fault.msg})" if line.strip() else "is empty"
        raise UserError(f"{where} {wrong}; write one JSON object with a `text` a line.") from None
    except UnicodeEncodeError:
        raise UserError(f"{where} has half a character (a lone surrogate) in a text; remove it.") from None
    return row


def _shortened(word: str) -> str:
    return word if len(word) <= 40 else f"{word[:39]}…"
