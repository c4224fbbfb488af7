"""Wording about people that is prone to stereotypes, for a person to look at: a screen, not a verdict.

An adjective of the list counts where it is said of a person: before one ("an old Asian couple"), with nothing but
other such adjectives between, or after one and a form of "to be" or "look" ("the man looks poor"). "A black dog" and
"a man in black" do not count.
"""

from __future__ import annotations

import re

from bitbudget.inspection import words
from bitbudget.inspection.privacy import Span

_TOKEN = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*|[.,;:!?]")
_LISTS = words.read("people")
CLASSES: dict[str, dict] = _LISTS["classes"]  # name -> `why`, `source`, `adjectives` and `nouns`
_PERSONS = frozenset(_LISTS["persons"])
_LINKS = frozenset(
    {
        "is", "are", "was", "were", "looks", "look", "seems", "seem", "appears", "appear", "being",
    }
)  # fmt: skip
_DEGREES = frozenset(
    {
        "very", "quite", "rather", "so", "too", "really", "slightly", "to", "be", "a", "an", "the", "bit",
    }
)  # fmt: skip
# Besides the list's own adjectives, what may stand between one of them and the person.
_BETWEEN = frozenset(
    {
        "young", "middle-aged", "middle", "little", "small", "big", "tall", "short", "adult", "and", "looking",
        "business", "police", "army", "fire", "tennis", "baseball", "soccer", "basketball", "football", "bus",
        "truck", "taxi",
    }
)  # fmt: skip


def _by_first(words: dict[tuple[str, ...], str]) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    found: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for tokens, name in sorted(words.items(), key=lambda one: -len(one[0])):
        found.setdefault(tokens[0], []).append((tokens, name))
    return found


_ADJECTIVES = _by_first({tuple(w.split(" ")): name for name, one in CLASSES.items() for w in one["adjectives"]})
_NOUNS = _by_first({tuple(w.split(" ")): name for name, one in CLASSES.items() for w in one["nouns"]})


def find(text: str) -> list[Span]:
    """The words of a text that are said of a person, each with its class; none overlapping another, in their order."""
    places = [(one[0].lower(), one.start(), one.end()) for one in _TOKEN.finditer(text)]
    tokens = [token for token, _, _ in places]
    found, at = [], 0
    while at < len(tokens):
        match = _match(_ADJECTIVES, tokens, at)
        if match and not (_before_a_person(tokens, at + match[0]) or _after_a_person(tokens, at)):
            match = None
        match = match or _match(_NOUNS, tokens, at)
        if match:
            length, name = match
            found.append(Span(places[at][1], places[at + length - 1][2], name))
            at += length
        else:
            at += 1
    return found


def _match(words: dict[str, list[tuple[tuple[str, ...], str]]], tokens: list[str], at: int) -> tuple[int, str] | None:
    """The longest of these words at this place: its length and class."""
    for one, name in words.get(tokens[at], ()):
        if tuple(tokens[at : at + len(one)]) == one:
            return len(one), name
    return None


def _before_a_person(tokens: list[str], at: int) -> bool:
    for _ in range(4):
        if at >= len(tokens):
            return False
        if tokens[at] in _PERSONS:
            return True
        match = _match(_ADJECTIVES, tokens, at)
        if match is None and tokens[at] not in _BETWEEN:
            return False
        at += match[0] if match else 1
    return False


def _after_a_person(tokens: list[str], at: int) -> bool:
    at -= 1
    while at >= 0 and tokens[at] in _DEGREES:
        at -= 1
    if at < 1 or tokens[at] not in _LINKS:
        return False
    return tokens[at - 1] in _PERSONS or (at > 1 and tokens[at - 1] in ("who", "that") and tokens[at - 2] in _PERSONS)
