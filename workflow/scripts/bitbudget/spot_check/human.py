"""What people say of each precision, and how far the metric and they agree.

An answer's human value is the mean over its raters (right 1, partly 0.5, wrong 0). Values of the metric are brought to
the range from 0 to 1 and held against it: metric and people agree on an answer where both put it at or above the
middle, or both below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from bitbudget import records
from bitbudget.spot_check.agreement import kappa, kappa_interval, wilson
from bitbudget.spot_check.cards import Card, Cell
from bitbudget.spot_check.ratings import VALUES, Ratings

MIDDLE = 0.5
WORDS = tuple(VALUES)

Metric = dict[str, Any]
Values = Mapping[tuple[Cell, str], float]  # the metric, from 0 to 1, of a cell's answer to an item


def report(
    cards: Sequence[Card], ratings: Sequence[Ratings], values: Values | None, primary: str, seed: int
) -> dict[str, Any]:
    """The content of the record: raters, cells, overall, raters_agreement, unsafe and comments.

    `values` is None where the metric says nothing about a single answer's being right, such as CIDEr; what compares
    with it is then absent.
    """
    people = _people(cards, ratings)
    return {
        "raters": [_rater(one, cards) for one in ratings],
        "cells": [_of_cell(cell, cards, people, values, primary) for cell in _cells(cards)],
        "overall": _overall(cards, people, values, primary, seed),
        "raters_agreement": _raters_agreement(cards, ratings, seed),
        "unsafe": _unsafe(cards, ratings),
        "comments": _comments(cards, ratings),
    }


def _people(cards: Iterable[Card], ratings: Iterable[Ratings]) -> dict[str, float]:
    """Each rated card's mean value over those who rated it."""
    found: dict[str, list[float]] = {}
    for card in cards:
        for one in ratings:
            if card.id in one.cards:
                found.setdefault(card.id, []).append(one.cards[card.id].value)
    return {card: sum(given) / len(given) for card, given in found.items()}


def _cells(cards: Iterable[Card]) -> list[Cell]:
    return sorted({cell for card in cards for cell in card.cells})


def _rater(ratings: Ratings, cards: Sequence[Card]) -> dict[str, Any]:
    """What a rater did: counts of each word, and of cards that are not rated or no longer there."""
    shown = [ratings.cards[card.id] for card in cards if card.id in ratings.cards]
    words = Counter(one.rating for one in shown)
    return {
        "rater": ratings.rater,
        "file": str(ratings.file),
        "saved": ratings.saved,
        "n_rated": len(shown),
        "n_not_rated": len(cards) - len(shown),
        "n_ignored": len(ratings.cards) - len(shown),
        **{word: words[word] for word in WORDS},
        "unsafe": sum(one.unsafe for one in shown),
    }


def _of_cell(
    cell: Cell, cards: Iterable[Card], people: Mapping[str, float], values: Values | None, primary: str
) -> dict[str, Any]:
    """A cell's answers: one card for each item."""
    given = [card for card in cards if cell in card.cells]
    rated = [card for card in given if card.id in people]
    metrics = {
        "human_accuracy": _share([people[card.id] for card in rated]),
        "human_agreement": _no_metric(primary),
        "metric_on_rated_items": _no_metric(primary),
    }
    if values is not None:
        by_metric = [values[cell, card.item] for card in rated]
        equal = [_same_side(value, people[card.id]) for value, card in zip(by_metric, rated, strict=True)]
        metrics["human_agreement"] = _share(equal)
        metrics["metric_on_rated_items"] = _share(by_metric)
    return {**_named(cell), "n_cards": len(given), "n_rated": len(rated), "metrics": metrics}


def _overall(
    cards: Sequence[Card], people: Mapping[str, float], values: Values | None, primary: str, seed: int
) -> dict[str, Any]:
    """The metric against people over all cards, whatever cell they are of.

    Cards of one item are not independent: the interval of the share counts items, not cards, and kappa's resamples
    items.
    """
    rated = [card for card in cards if card.id in people]
    found: dict[str, Any] = {"n_cards": len(cards), "n_rated": len(rated)}
    names = ("agreement", "kappa", "mean_absolute_difference")
    if values is None:
        return found | {"metrics": {name: _no_metric(primary) for name in names}}
    if not rated:
        return found | {"metrics": {name: _share([]) for name in names}}
    # cells that share a card gave the same answer; should the metric tell white space apart, their mean counts
    by_metric = [sum(values[cell, card.item] for cell in card.cells) / len(card.cells) for card in rated]
    by_people = [people[card.id] for card in rated]
    equal = [_same_side(a, b) for a, b in zip(by_metric, by_people, strict=True)]
    difference = sum(abs(a - b) for a, b in zip(by_metric, by_people, strict=True)) / len(rated)
    sides = [
        (card.item, int(a >= MIDDLE), int(b >= MIDDLE)) for card, a, b in zip(rated, by_metric, by_people, strict=True)
    ]
    one_side = "the metric and the raters put every rated answer on one and the same side, so chance agrees wholly"
    return found | {
        "metrics": {
            "agreement": _share(equal, n_items=len({card.item for card in rated})),
            "kappa": _kappa(sides, 2, seed, one_side),
            "mean_absolute_difference": records.metric(difference, "share", higher_is_better=False, n=len(rated)),
        }
    }


def _raters_agreement(cards: Sequence[Card], ratings: Sequence[Ratings], seed: int) -> dict[str, Any]:
    """Cohen's kappa of each two raters over the cards that both rated, in the three classes, and the mean of them."""
    pairs = [_pair(a, b, cards, seed) for a, b in combinations(ratings, 2)]
    kappas = [pair["kappa"]["value"] for pair in pairs if "value" in pair["kappa"]]
    if kappas:
        mean = records.metric(sum(kappas) / len(kappas), "kappa", higher_is_better=True, n=len(kappas))
    elif pairs:
        mean = _absent("no two raters have a kappa; let two people rate the same answers.", "kappa")
    else:
        mean = _absent("there is one rater; agreement between raters needs a second one's file.", "kappa")
    return {"pairs": pairs, "mean_kappa": mean}


def _pair(a: Ratings, b: Ratings, cards: Sequence[Card], seed: int) -> dict[str, Any]:
    both = [card for card in cards if card.id in a.cards and card.id in b.cards]
    words = [(card.item, a.cards[card.id].rating, b.cards[card.id].rating) for card in both]
    classes = [(item, WORDS.index(one), WORDS.index(other)) for item, one, other in words]
    same = (
        _share([one == other for _, one, other in words], n_items=len({item for item, _, _ in words}))
        if both
        else _absent("these two raters have rated no card in common; let both rate all.", "share")
    )
    why = "both gave one and the same word to every card, so chance agrees wholly" if both else "they share no card"
    return {
        "raters": [a.rater, b.rater],
        "n_cards": len(both),
        "agreement": same,
        "kappa": _kappa(classes, len(WORDS), seed, why),
    }


def _kappa(judgements: Sequence[tuple[str, int, int]], classes: int, seed: int, why_not: str) -> Metric:
    """Kappa of (item, one judge's class, the other's), or why it is undefined."""
    items = {item: place for place, item in enumerate(dict.fromkeys(item for item, _, _ in judgements))}
    tables = np.zeros((len(items), classes, classes))
    for item, one, other in judgements:
        tables[items[item], one, other] += 1
    value = float(kappa(tables.sum(axis=0)))
    if np.isnan(value):
        return _absent(f"Cohen's kappa is undefined here: {why_not}.", "kappa")
    return records.metric(value, "kappa", higher_is_better=True, n=len(judgements), ci=kappa_interval(tables, seed))


def _unsafe(cards: Iterable[Card], ratings: Iterable[Ratings]) -> list[dict[str, Any]]:
    """Every answer that someone flagged, with the cells that gave it."""
    found = []
    for card in cards:
        raters = [one.rater for one in ratings if card.id in one.cards and one.cards[card.id].unsafe]
        if raters:
            cells = [_named(cell) for cell in card.cells]
            found.append({"item": card.item, "answer": card.answer, "raters": raters, "cells": cells})
    return found


def _comments(cards: Iterable[Card], ratings: Iterable[Ratings]) -> list[dict[str, Any]]:
    """What raters wrote beside answers."""
    return [
        {"item": card.item, "answer": card.answer, "rater": one.rater, "rating": one.cards[card.id].rating}
        | {"comment": one.cards[card.id].comment}
        for card in cards
        for one in ratings
        if card.id in one.cards and one.cards[card.id].comment.strip()
    ]


def _same_side(metric: float, people: float) -> bool:
    return (metric >= MIDDLE) == (people >= MIDDLE)


def _share(values: Sequence[float], **n_items: int) -> Metric:
    """The mean of values from 0 to 1, with the interval of a proportion of so many independent items.

    Each value is of an item of its own unless `n_items` says that there are fewer items.
    """
    if not values:
        return _absent("none of its answers has been rated yet; rate more, save, and read the ratings again.", "share")
    n = len(values)
    mean = min(1.0, sum(values) / n)
    interval = wilson(mean, n_items.get("n_items", n))
    return records.metric(mean, "share", higher_is_better=True, n=n, ci=interval, **n_items)


def _no_metric(primary: str) -> Metric:
    return _absent(
        f"{primary} does not say whether a single answer is right, so it cannot be held against ratings.", "share"
    )


def _absent(reason: str, unit: str) -> Metric:
    return records.absent(reason, unit, higher_is_better=True)


def _named(cell: Cell) -> dict[str, str]:
    return dict(zip(("model", "precision", "condition"), cell, strict=True))
