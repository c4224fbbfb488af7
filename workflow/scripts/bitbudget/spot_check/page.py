"""The page that raters open: a template filled with cards, images and nothing that tells a precision.

Questions, references and answers are other people's and models' text. They stand in the page as JSON in which no
character can end the element around it, the page's program shows them as text only, and the page's content security
policy lets the browser run that one program, by its hash, and load nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bitbudget.spot_check.cards import Card
from bitbudget.untrusted.page_data import embedded, script_hash

DATA, PROGRAM_HASH = "{{data}}", "{{program hash}}"
_PROGRAM = re.compile(r'<script id="program">(.*?)</script>', re.DOTALL)


def page_data(
    study: str, cards: Iterable[Card], items: Mapping[str, Mapping[str, Any]], prompt: str, uris: Mapping[str, str]
) -> dict[str, Any]:
    """What the page's program needs to know: the study's name, each image once, and the cards in their order.

    `items` are by id, with the paths of their prepared images in `images`; `uris` has each path's data URI. An item
    without a question of its own is shown with the study's `prompt`.
    """
    places = {path: number for number, path in enumerate(uris)}

    def shown(card: Card) -> dict[str, Any]:
        item = items[card.item]
        return {
            "id": card.id,
            "item": card.item,
            "question": item["question"],
            "answer": card.answer,
            "references": counted(item["references"]),
            "images": [places[path] for path in item["images"]],
        }

    return {"study": study, "prompt": prompt, "images": list(uris.values()), "cards": [shown(card) for card in cards]}


def counted(references: Sequence[str]) -> list[tuple[str, int]]:
    """Each distinct reference with how often it was given, the most frequent first."""
    return Counter(text.strip() for text in references).most_common()


def fill(template: str, data: Mapping[str, Any]) -> str:
    """The page: the template with the data, and with the hash of its program in the content security policy.

    Raises `ValueError` where the template lacks one of the places.
    """
    program = _PROGRAM.search(template)
    if program is None or template.count(DATA) != 1 or template.count(PROGRAM_HASH) != 1:
        raise ValueError(f'a template needs {DATA} and {PROGRAM_HASH} once each, and a <script id="program">')
    # the data last, because a text in it may look like a place
    return template.replace(PROGRAM_HASH, script_hash(program[1])).replace(DATA, embedded(data))
