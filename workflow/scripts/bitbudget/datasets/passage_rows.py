"""Passages whose last word is to be predicted, from a file with one JSON object a line.

A passage is split at its last space (U+0020), as lm-evaluation-harness splits LAMBADA: what stands before it is the
context, what follows is the word, with its punctuation. A line break is no space, so in the five passages of the
OpenAI file where nothing else parts the last two words, the "word" is both of them: published numbers count it so.
White space at the end of a text is removed first, because it would leave no word; no official passage has any.
"""

from __future__ import annotations

from pathlib import Path

from bitbudget.datasets import strict
from bitbudget.errors import UserError
from bitbudget.items.item import Item
from bitbudget.untrusted import foreign_json


def read_passages(path: Path) -> list[Item]:
    """The items of a jsonl file whose objects have a `text`: `question` is the context, the one reference the word.

    An item's id is the number of its line, from 1. Other keys of an object are passed over, and so are empty lines at
    the end of the file.

    Raises `UserError` that names file and line for a line that is no JSON object with a text of at least two words
    parted by a space, and one that names the file where it is missing, not UTF-8, or has no passage.
    """
    items = []
    for number, (where, row) in enumerate(foreign_json.read_jsonl(path), start=1):
        strict.require(row, ("text",), where)
        context, word = split(strict.text(row, "text", where), where)
        items.append(Item(id=str(number), images=(), question=context, references=(word,)))
    if not items:
        raise UserError(f"{path} has no passage; it needs one JSON object with a `text` per line.")
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


def _shortened(word: str) -> str:
    return word if len(word) <= 40 else f"{word[:39]}…"
