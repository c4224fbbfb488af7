"""Cards: what a rater judges, one for every distinct answer to a chosen item.

Precisions that answer alike share a card, so a rater judges each answer once, and never two equal ones differently.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bitbudget.items import subset

Cell = tuple[str, str, str]  # model, precision, condition


@dataclass(frozen=True)
class Card:
    """An item's answer, and the cells (model, precision, condition) that gave it."""

    id: str
    item: str
    answer: str
    cells: tuple[Cell, ...]


def card_id(study: str, item: Mapping[str, Any], answer: str) -> str:
    """16 hexadecimal digits of the SHA-256 of study, item and answer: the same in every run, and of every precision.

    `item` is a line of items.jsonl. Its question and references count beside its id: a rating must not be taken for
    one of another question that came to have the same id, as those of a generated set with another seed do.
    """
    text = json.dumps([study, item["id"], item["question"], item["references"], answer], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def choose_items(ids: Iterable[str], n: int, seed: int) -> list[str]:
    """`n` of the ids, or all where there are fewer: by rank under the seed, apart from the choice of the subset."""
    known = set(ids)
    return subset.choose(known, min(n, len(known)), f"spot check {seed}")


def make_cards(
    study: str, seed: int, chosen: Iterable[Mapping[str, Any]], answers: Mapping[Cell, Mapping[str, str]]
) -> tuple[Card, ...]:
    """The cards of the chosen items, lines of items.jsonl, in shuffled order.

    `answers` has each cell's text by item id; white space around it, which nobody sees, makes no difference. The order
    is that of a rank under the seed, so it says nothing about cells, and a new answer does not move the others.
    """
    items = {item["id"]: item for item in chosen}
    givers: dict[tuple[str, str], list[Cell]] = {}
    for cell, texts in answers.items():
        for item in items:
            givers.setdefault((item, texts[item].strip()), []).append(cell)
    made = [
        Card(card_id(study, items[item], answer), item, answer, tuple(cells))
        for (item, answer), cells in givers.items()
    ]
    cards = {card.id: card for card in made}
    return tuple(cards[one] for one in subset.choose(cards, None, f"spot check order {seed}"))
