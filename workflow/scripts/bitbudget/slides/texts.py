"""Texts cut to what a slide holds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

ABSENT = "not measured"
REASON = 150  # letters of a reason

# A no-break space stays one.
_BLANKS = re.compile(r"[ \t\n\r\f\v]+")


def width(text: str) -> int:
    """Letters that a text is wide; those of East Asian scripts count twice (Unicode Standard Annex 11)."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def shortened(text: str, most: int) -> str:
    """The text in one line, cut with an ellipsis where it is wider than `most` letters."""
    line = _BLANKS.sub(" ", text).strip()
    if width(line) <= most:
        return line
    kept = line
    while width(kept) > most - 1:
        kept = kept[: most - 1] if len(kept) > most - 1 else kept[:-1]
    return kept.rstrip() + "…"


def some(texts: Sequence[str], most: int, joint: str = ", ") -> str:
    """The first `most` texts in a row, and how many more there are."""
    left = len(texts) - most
    return joint.join(texts[:most]) + (f" and {left} more" if left > 0 else "")


def capital(text: str) -> str:
    """The text with a capital at its beginning, where it begins with a small letter and is no name with digits."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.isalpha() else text


def reasons(why: Mapping[str, str], start: str = "") -> list[str]:
    """One line for each reason, with the precisions that it is of."""
    found: dict[str, list[str]] = {}
    for name, reason in why.items():
        # a record's sentence may begin with the precision's own name
        found.setdefault(reason.removeprefix(f"{name} is ").rstrip("."), []).append(name)
    lines = [f"{start}{some(names, 3)}: {reason}." for reason, names in found.items()]
    return [line if width(line) <= REASON else shortened(line, REASON) for line in lines]
