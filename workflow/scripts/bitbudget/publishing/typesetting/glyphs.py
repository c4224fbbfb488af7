"""Which characters the report's own fonts can show, and what stands in place of those that none of them has.

A character without a glyph would be printed as an empty box, which says nothing. It is replaced by its Unicode name in
brackets, as `[MELTING FACE]`. Characters that are there to be obeyed and not to be seen (control characters, overrides
of the writing direction, variation selectors) are taken out, so that no text can reorder what stands around it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

FONTS = Path(__file__).parents[4] / "report" / "fonts"
SUFFIXES = (".otf", ".ttf")
# Spaces and breaks of a line: they need no glyph.
BLANK = {"\t": " ", "\r": " ", "\v": " ", "\f": " ", "\u2028": "\n", "\u2029": "\n", "\u0085": "\n"}
# Joiners: they shape the letters of some scripts, and glue emoji elsewhere.
JOINERS = "\u200c\u200d"
PLAIN = re.compile(r"[\n\x20-\x7e]*")


@cache
def covered(fonts: Path = FONTS) -> frozenset[int]:
    """Code points with an agreed meaning for which at least one font of the folder has a glyph."""
    from fontTools.ttLib import TTFont

    found: set[int] = set()
    for path in sorted(fonts.iterdir()):
        if path.suffix in SUFFIXES:
            with TTFont(path, lazy=True) as font:
                found.update(font.getBestCmap())
    return frozenset(
        code for code in found if unicodedata.category(chr(code)) != "Co"
    )  # private: a font's own drawings


def shown(text: str) -> str:
    """The text as the fonts can show it, in Unicode's composed form (NFC).

    Lines keep their ends; nothing but what is described at the head of this module is changed.
    """
    if PLAIN.fullmatch(text):
        return text
    composed = unicodedata.normalize("NFC", text.replace("\r\n", "\n"))
    has = covered()
    pieces = []
    for i, letter in enumerate(composed):
        if letter == "\n" or letter in BLANK:
            pieces.append(BLANK.get(letter, letter))
        elif letter in JOINERS:
            pieces.append(letter if _between_letters(composed, i) else "")
        elif not _obeyed(letter):
            pieces.append(letter if ord(letter) in has else f"[{named(letter)}]")
    return "".join(pieces)


def named(letter: str) -> str:
    """A character's Unicode name, or its number where it has none: "SNOWMAN", "U+E000"."""
    return unicodedata.name(letter, f"U+{ord(letter):04X}")


def shown_within(data: Any) -> Any:
    """JSON-like data in which every text, also a key, is as the fonts can show it."""
    if isinstance(data, str):
        return shown(data)
    if isinstance(data, Mapping):
        return {shown(str(key)): shown_within(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [shown_within(value) for value in data]
    return data


def _obeyed(letter: str) -> bool:
    """Whether a character is an instruction to what shows it: nothing of it is ever to be seen."""
    selector = 0xFE00 <= ord(letter) <= 0xFE0F or 0xE0100 <= ord(letter) <= 0xE01EF
    return selector or unicodedata.category(letter) in ("Cc", "Cf")


def _between_letters(text: str, i: int) -> bool:
    around = text[max(i - 1, 0) : i] + text[i + 1 : i + 2]
    return len(around) == 2 and all(unicodedata.category(one)[0] in "LM" for one in around)
