"""Building what a template shows: paragraphs, tables and figures in which every value is a text and never markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Node = dict[str, Any]

# In the sentences of this package: {value}, [@key; @key] for a citation, [#label] for a table or figure.
PLACE = re.compile(r"\{(\w+)\}|\[(@[\w:.-]+(?:; @[\w:.-]+)*)\]|\[#([\w-]+)\]")
NOT_MEASURED = "\N{EM DASH}"
LONGEST_NAME = 32  # letters
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True)
class Unit:
    """Blocks that stand or fall together. Rank 0 always stands; of the others the lowest rank comes first."""

    blocks: Sequence[Node]
    rank: int = 0


def inline(sentence: str, **values: Any) -> list[Node]:
    """The inlines of one of our sentences, with these values as plain text in its places."""
    found: list[Node] = []
    at = 0
    for match in PLACE.finditer(sentence):
        if match.start() > at:
            found.append({"t": "s", "text": sentence[at : match.start()]})
        if match[1]:
            found.append({"t": "s", "text": str(values[match[1]])})
        elif match[2]:
            found.append({"t": "cite", "keys": [key.strip().removeprefix("@") for key in match[2].split(";")]})
        else:
            found.append({"t": "ref", "to": match[3]})
        at = match.end()
    return joined(found + ([{"t": "s", "text": sentence[at:]}] if at < len(sentence) else []))


def joined(inlines: Sequence[Node]) -> list[Node]:
    """The same with neighbouring texts as one, in which a number stays beside its unit."""
    found: list[Node] = []
    for one in inlines:
        if one["t"] == "s" and found and found[-1]["t"] == "s":
            found[-1] = {"t": "s", "text": found[-1]["text"] + one["text"]}
        elif one.get("text") != "":
            found.append(dict(one))
    return found


def text(value: Any) -> list[Node]:
    """One plain text."""
    return [{"t": "s", "text": str(value)}]


def strong(value: Any) -> list[Node]:
    return [{"t": "strong", "c": text(value)}]


def p(sentence: str, **values: Any) -> Node:
    """A paragraph."""
    return {"t": "p", "c": inline(sentence, **values)}


def brief(sentence: str, **values: Any) -> Node:
    """A paragraph that others of its kind right behind it are joined to, such as one that points to a figure."""
    return p(sentence, **values) | {"brief": True}


def flowing(blocks: Sequence[Node]) -> list[Node]:
    """The same with brief paragraphs joined that have nothing but what floats between them."""
    found: list[Node] = []
    open_at = None  # where the paragraph is that the next brief one joins
    for block in blocks:
        if block.get("brief") and open_at is not None:
            before = found[open_at]
            found[open_at] = paragraph(before["c"], block["c"]) | {"brief": True}
            continue
        if block.get("brief"):
            open_at = len(found)
        elif "label" not in block:
            open_at = None
        found.append(block)
    return found


def paragraph(*pieces: Sequence[Node]) -> Node:
    """A paragraph of inlines that are there already, with a space between each two."""
    found: list[Node] = []
    for piece in pieces:
        if piece:
            found += ([{"t": "s", "text": " "}] if found else []) + list(piece)
    return {"t": "p", "c": joined(found)}


def h(title: str, level: int = 2) -> Node:
    """A heading within a section."""
    return {"t": "h", "level": level, "c": text(title)}


def whole(value: str) -> list[Node]:
    """A name that is not broken at its hyphens, unless it is very long."""
    return [{"t": "whole" if len(value) <= LONGEST_NAME else "s", "text": value}]


def column(title: str, align: str = "left", wide: bool = False) -> Node:
    """A column of a table; a wide one takes the space that is left. The title's lines stay lines."""
    lines = [node for line in title.split("\n") for node in ({"t": "br"}, *text(line))][1:]
    return {"title": lines, "align": align, "wide": wide}


def table(
    label: str,
    caption: Sequence[Node],
    columns: Sequence[Node],
    rows: Sequence[Node],
    notes: Iterable[str] = (),
    *,
    wide: bool = True,
) -> Node:
    """A table over both columns, or (not wide) in one. Of rows with no value at all, only the notes tell."""
    rows, empty = _with_values(rows)
    notes = [*notes, *empty]
    about = {"label": label, "caption": list(caption), "wide": wide, "notes": [text(note) for note in notes]}
    return {"t": "table", **about, "columns": list(columns), "rows": list(rows)}


def _with_values(rows: Sequence[Node]) -> tuple[list[Node], list[str]]:
    """The rows that have a value, and notes of those that have none, where there are several with the same reasons."""
    empty: dict[tuple[str, ...], list[Node]] = {}
    for one in rows:
        marks = [cell[1]["text"] for cell in one.get("cells", ())[1:] if _is_absent(cell)]
        if marks and len(marks) == len(one["cells"]) - 1:
            empty.setdefault(tuple(dict.fromkeys(marks)), []).append(one)
    left = {id(one) for same in empty.values() if len(same) > 1 for one in same}
    names = {marks: [one["cells"][0][0]["text"] for one in same] for marks, same in empty.items() if len(same) > 1}
    notes = [
        f"Not shown, because all values are absent (note {' and '.join(marks)}): {', '.join(dict.fromkeys(of))}."
        for marks, of in names.items()
    ]
    return [one for one in rows if id(one) not in left], notes


def _is_absent(cell: Sequence[Node]) -> bool:
    return len(cell) == 2 and cell[0].get("text") == NOT_MEASURED and cell[1]["t"] == "sup"


def row(*cells: str | Sequence[Node], strong: bool = False) -> Node:
    """A row of texts or inlines, after the name of what it is of."""
    shown = [whole(one) if isinstance(one, str) else list(one) for one in cells[:1]]
    shown += [text(one) if isinstance(one, str) else list(one) for one in cells[1:]]
    return {"cells": shown, "strong": strong}


def group(title: str) -> Node:
    """A row that names those below it."""
    return {"group": text(title)}


class Notes:
    """Numbered reasons of absent values, in the order in which they are met; the same reason keeps its number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def absent(self, reason: str | None) -> list[Node]:
        """A dash with the number of its reason: an absent value is never a 0."""
        return [{"t": "s", "text": NOT_MEASURED}, *self.mark(reason)]

    def mark(self, reason: str | None) -> list[Node]:
        """The raised number of a note on a value."""
        number = self._numbers.setdefault(_tidy(reason), len(self._numbers) + 1)
        return [{"t": "sup", "text": str(number)}]

    def lines(self) -> list[str]:
        return [f"{number} {reason}" for reason, number in self._numbers.items()]


def _tidy(reason: str | None) -> str:
    """A reason as one line, without the name of the one format it speaks of."""
    shown = " ".join((reason or "no reason is recorded").split())
    return re.sub(r"^.+? (is|are) simulated", "simulated", shown).rstrip(".")


def shortened(value: str, most: int) -> str:
    """A text of at most so many letters: a longer one ends in an ellipsis."""
    one_line = " ".join(value.split())
    return one_line if len(one_line) <= most else one_line[: most - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def quoted(value: str) -> str:
    """A text in quotation marks."""
    return f"\N{LEFT DOUBLE QUOTATION MARK}{value}\N{RIGHT DOUBLE QUOTATION MARK}"


def sentence(value: str) -> str:
    """A recorded remark as a sentence: it begins with a capital and ends in a full stop."""
    shown = " ".join(value.split())
    return shown[:1].upper() + shown[1:].rstrip(".") + "." if shown else ""


def capital(value: str) -> str:
    """Our own sentence with a capital at its beginning."""
    return value[:1].upper() + value[1:]


def number_word(number: int) -> str:
    """A number as a sentence begins with it: "Three"."""
    return WORDS[number].capitalize() if number < len(WORDS) else str(number)


def sentence_end(value: str) -> str:
    """A recorded remark as it stands behind a colon."""
    shown = " ".join(value.split()).rstrip(".")
    return f"{shown}." if shown else ""


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 precision", "4 precisions"."""
    return f"{number} {one if number == 1 else many or one + 's'}"
