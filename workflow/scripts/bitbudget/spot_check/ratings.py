"""Ratings files: what the page saves and people put into `ratings/{study}/`.

A file is `{"ratings_of": "bitbudget spot check", "study", "rater", "saved": time, "cards": {card id: {"item", "answer",
"rating", "unsafe", "comment"}}}`. A rating outlives new predictions: its card's id stands for the study, the item and
the answer, so it counts wherever the same answer is given to the same item of the same study.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitbudget.errors import UserError
from bitbudget.spot_check.cards import Card
from bitbudget.untrusted import foreign_json

MARK = "bitbudget spot check"
VALUES = {"right": 1.0, "partly": 0.5, "wrong": 0.0}
RATER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}")  # as the page asks for it


@dataclass(frozen=True)
class Rating:
    """One person's judgement of one answer."""

    item: str
    answer: str
    rating: str
    unsafe: bool
    comment: str

    @property
    def value(self) -> float:
        """1 for right, 0.5 for partly, 0 for wrong."""
        return VALUES[self.rating]


@dataclass(frozen=True)
class Ratings:
    """One person's ratings, by card id."""

    file: Path
    rater: str
    saved: str
    cards: dict[str, Rating]


def read_all(paths: Iterable[Path], study: str, cards: Mapping[str, Card]) -> list[Ratings]:
    """Every rater's ratings, in the order of their names; `cards` are those of the present page, by id.

    Raises `UserError` as `read` does, and where two files are of the same rater.
    """
    found: dict[str, Ratings] = {}
    for path in paths:
        ratings = read(path, study, cards)
        other = found.setdefault(ratings.rater.lower(), ratings)
        if other is not ratings:
            raise UserError(
                f"{other.file} and {path} are both of rater {ratings.rater!r} (each rates item "
                f"{_first_item(ratings)!r} or others); keep the newer one, or rename the rater in one of them."
            )
    return [found[name] for name in sorted(found)]


def read(path: Path, study: str, cards: Mapping[str, Card]) -> Ratings:
    """One ratings file.

    Ratings of answers that are not on the present page are kept apart by what uses them. Raises `UserError` that names
    file and item for what is no ratings file, for one of another study, and for a rating that is not complete or not
    of the answer that its card shows.
    """
    content = _content(path)
    found = {card: _rating(path, card, entry, cards.get(card)) for card, entry in content["cards"].items()}
    item = next(iter(found.values())).item
    if content["study"] != study:
        raise UserError(
            f"{path} holds ratings of study {content['study']!r} (the first of item {item!r}), not of {study!r}; "
            f"put it into ratings/{content['study']}/."
        )
    return Ratings(path, content["rater"], content["saved"], found)


def _content(path: Path) -> dict[str, Any]:
    """The file's JSON with its head checked: of the right kind, complete, and not empty."""
    content = foreign_json.read_json(path)
    if not isinstance(content, dict) or content.get("ratings_of") != MARK:
        raise UserError(f"{path} is no ratings file of a spot check; save one from the page, and keep this elsewhere.")
    for key, kind in (("study", str), ("rater", str), ("saved", str), ("cards", dict)):
        if not isinstance(content.get(key), kind):
            raise UserError(f"{path} has no usable {key!r}; save the ratings again from the page.")
    if not RATER.fullmatch(content["rater"]):
        raise UserError(f"{path} is of rater {content['rater']!r}; use at most 40 letters, digits and dashes.")
    if not content["cards"]:
        raise UserError(f"{path} holds no rating; rate at least one answer and save again, or remove the file.")
    return content


def _rating(path: Path, card: str, entry: Any, shown: Card | None) -> Rating:
    again = "save the ratings again from the page"
    if not isinstance(entry, dict):
        raise UserError(f"{path}, card {card}, is no rating; {again}.")
    where = f"{path}, item {entry.get('item')!r} (card {card})"
    for key, kind in (("item", str), ("answer", str), ("rating", str), ("unsafe", bool), ("comment", str)):
        if not isinstance(entry.get(key), kind):
            raise UserError(f"{where}, has no usable {key!r}; {again}.")
    if entry["rating"] not in VALUES:
        raise UserError(f"{where}, is rated {entry['rating']!r}; a rating is one of {', '.join(VALUES)}.")
    if shown is not None and (entry["item"], entry["answer"]) != (shown.item, shown.answer):
        raise UserError(
            f"{where}, is not what that card showed: item or answer ({entry['answer'][:40]!r}) was changed; {again}."
        )
    return Rating(entry["item"], entry["answer"], entry["rating"], entry["unsafe"], entry["comment"])


def _first_item(ratings: Ratings) -> str:
    return next(iter(ratings.cards.values())).item
