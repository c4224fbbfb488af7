"""The texts of calibration items, and what records know them by."""

from __future__ import annotations

from collections.abc import Iterable

from bitbudget import files
from bitbudget.items.item import Item


def text_of(item: Item) -> str:
    """The whole passage: what stands before its last word, and that word."""
    return f"{item.question} {item.references[0]}"


def hash_of(items: Iterable[Item]) -> str:
    """Hash of the texts in their order, the `calibration_hash` of records."""
    return files.hash_of([text_of(item) for item in items])
