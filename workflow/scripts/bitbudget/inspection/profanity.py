"""Profanity and slurs, word by word.

Each word is given by itself to the classifier of `alt-profanity-check`, a linear model of words that was trained on
comments. Given whole sentences it adds up the weights of harmless words: of COCO's 25 014 captions of val2017 it flags
518 at the usual threshold of .5, such as "A dog sits on the back of a truck". By single words, from .95 on, it flags 5
("piss", "crap", "ass", "hoe", "cock"). Words that name who somebody is ("gay"), which it scores high as well, and a few
ordinary ones are left out; some slurs that it does not know are added.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bitbudget.inspection import words
from bitbudget.inspection.privacy import Span

PROFANITY = "profanity"
THRESHOLD = 0.95  # of the classifier's probability for one word
SHORTEST = 3  # letters of a word that is judged: a broken model writes pieces of words

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_LISTS = words.read("profanity")
NOT_PROFANE = frozenset(_LISTS["not_profane"])
ALSO_PROFANE = frozenset(_LISTS["also_profane"])


def words_of(text: str) -> list[tuple[str, int, int]]:
    """The words of a text in small letters, each with its place."""
    return [(one[0].lower(), one.start(), one.end()) for one in _WORD.finditer(text)]


class Screen:
    """Which of the words of some texts are profane; all are judged at once, as loading the model takes a second."""

    def __init__(self, texts: Iterable[str]) -> None:
        found = {word for text in texts for word, _, _ in words_of(text) if len(word) >= SHORTEST}
        asked = sorted(found - NOT_PROFANE)
        self.profane = set(asked) & ALSO_PROFANE
        if asked:
            from profanity_check import predict_prob

            self.profane |= {word for word, value in zip(asked, predict_prob(asked), strict=True) if value >= THRESHOLD}

    def find(self, text: str) -> list[Span]:
        """The profane words of one of the texts."""
        return [Span(start, end, PROFANITY) for word, start, end in words_of(text) if word in self.profane]
