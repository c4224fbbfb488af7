"""Which objects a caption names: a closed vocabulary, the longest name first, in the singular or the plural."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from bitbudget.inspection import words

_LISTS = words.read("objects")
NAMES: dict[str, list[str]] = _LISTS["names"]  # category -> what else it is called

Mention = frozenset[str]  # the categories that a mention may be of: seldom more than one

_TOKEN = re.compile(r"[^\W\d_]+|\d+|[.,;:!?()\"]")
_POSSESSIVE = re.compile(r"['\u2019]s?\b")
# "orange" is a fruit where it is counted or cut, and nothing that has a colour follows.
_BEFORE_A_FRUIT = {
    "a", "an", "one", "the", "this", "that", "half", "sliced", "peeled", "cut", "fresh", "ripe", "whole", "single",
    "another", "of",
}  # fmt: skip
_AFTER_A_FRUIT = {
    "in", "on", "with", "next", "sitting", "sits", "is", "that", "which", "cut", "at", "near", "beside", "inside",
    "lying", "hanging", "for", "by", "being", "from", "resting",
}  # fmt: skip


def plural(name: str) -> str:
    """The plural of an English name, which is that of its last word (of the first, in "cup of coffee")."""
    head, of, rest = name.partition(" of ")
    if of:
        return f"{plural(head)} of {rest}"
    *before, last = name.split(" ")
    return " ".join([*before, _LISTS["plurals"].get(last) or _regular(last)])


def _regular(word: str) -> str:
    if re.search(r"(?:s|x|z|ch|sh)$", word):
        return word + "es"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + "s"


class Vocabulary:
    """The names of some categories, those of `NAMES` as far as it has them, else the categories' own.

    `left_out` are the categories that cannot be looked for: those whose names hold no word and no number.
    """

    def __init__(self, categories: Iterable[str]) -> None:
        self.categories = tuple(dict.fromkeys(categories))
        self.left_out = tuple(one for one in self.categories if not re.search(r"[^\W_]", one))
        meanings: dict[str, set[str]] = defaultdict(set)
        for category in self.categories:
            if category not in self.left_out:
                for name in (" ".join(category.lower().split()), *NAMES.get(category, ())):
                    meanings[name].add(category)
        for name, several in _LISTS["several"].items():
            if known := set(several) & set(self.categories):
                meanings[name] |= known
        self._forms: dict[tuple[str, ...], tuple[Mention, int]] = {}
        for name in _LISTS["not_objects"]:
            if name not in meanings:
                self._add(name, frozenset(), consumed=1 if name in _LISTS["only_first"] else None)
        for name, found in meanings.items():
            self._add(name, frozenset(found))
        self._names: dict[str, list[tuple[tuple[str, ...], Mention, int]]] = defaultdict(list)
        for tokens, (found, consumed) in sorted(self._forms.items(), key=lambda one: -len(one[0])):
            self._names[tokens[0]].append((tokens, found, consumed))

    def _add(self, name: str, found: Mention, consumed: int | None = None) -> None:
        for form in (name, plural(name)):
            tokens = tuple(_TOKEN.findall(form))
            before, taken = self._forms.get(tokens, (found, consumed or len(tokens)))
            self._forms[tokens] = (before | found if before else before, taken)  # names may differ in a dash alone

    def mentions(self, text: str) -> list[Mention]:
        """Every mention of an object, in its order; an object that is named twice is there twice."""
        tokens = _TOKEN.findall(_POSSESSIVE.sub(" ", text.lower()))
        found, place = [], 0
        while place < len(tokens):
            for name, meant, consumed in self._names.get(tokens[place], ()):
                if tuple(tokens[place : place + len(name)]) == name:
                    if meant and not _is_the_colour(tokens, place):
                        found.append(meant)
                    place += consumed
                    break
            else:
                place += 1
        return found


def _is_the_colour(tokens: Sequence[str], place: int) -> bool:
    """Whether the word at this place is "orange" said of something's colour."""
    if tokens[place] != "orange":
        return False
    before = tokens[place - 1] if place else ""
    after = tokens[place + 1] if place + 1 < len(tokens) else ""
    counted = before in _BEFORE_A_FRUIT
    return not (counted and (after in _AFTER_A_FRUIT or not after.isalpha()))


def named_by_people(vocabulary: Vocabulary, references: Iterable[str]) -> set[str]:
    """Every category that a reference names, or may name."""
    return {category for text in references for meant in vocabulary.mentions(text) for category in meant}
