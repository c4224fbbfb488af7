"""Short texts of the report: cut to a width, listed with how many are left out, and the note of a demo study."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from bitbudget.telling import wording

# A no-break space stays one.
_BLANKS = re.compile(r"[ \t\n\r\f\v]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
NEW_LINE = " / "  # stands for a line break in a text of one line


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


def sentences(text: str, most: int) -> str:
    """As many whole sentences from the text's beginning as `most` letters hold; of a longer first one its first whole
    clauses, and only a clause that is itself too long is cut."""
    line = _BLANKS.sub(" ", text).strip()
    for mark, end in ((_SENTENCE, ""), (re.compile(r"(?<=;)\s+"), ";")):
        kept = ""
        for part in mark.split(line):
            longer = f"{kept} {part}".strip()
            if width(longer) > most:
                break
            kept = longer
        if kept:
            return kept.removesuffix(end) if end else kept
    return shortened(line, most)


def fitting(parts: Sequence[str], most: int | None, joint: str, where: str) -> str:
    """As many whole parts as `most` letters hold (None: all), at least one, and how many more there are and where."""
    count = len(parts)
    while most is not None and count > 1 and width(joint.join(parts[:count])) > most:
        count -= 1
    return some(parts, count, joint, where)


def one_line(text: str) -> str:
    """A text whose line breaks are told by a slash."""
    return NEW_LINE.join(part.strip() for part in text.strip().splitlines())


def some(texts: Sequence[str], most: int | None, joint: str = ", ", where: str = "") -> str:
    """The texts in a row, all or the first `most`, and then how many more there are and, if given, where they stand."""
    shown = texts if most is None else texts[:most]
    left = len(texts) - len(shown)
    if not left:
        return joint.join(shown)
    place = f": see {where}" if where else ""
    return f"{joint.join(shown)} and {left} more{place}" if shown else f"{left}{place}"


capital = wording.capital


def demo_note(names: Sequence[str], count: int) -> str:
    """What is said of the demo studies among `count` studies; empty where none is one."""
    if not names:
        return ""
    many = len(names) > 1
    if len(names) == count:
        who = "These are demo studies" if many else "This is a demo study"
    else:
        who = f"{wording.listed(names)} {'are demo studies' if many else 'is a demo study'}"
    return f"{who}: inputs and models are small and made by the project."
