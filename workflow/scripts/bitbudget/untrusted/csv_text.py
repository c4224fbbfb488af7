"""Text in a table that a spreadsheet opens: no cell is a formula, whatever a model wrote.

A spreadsheet reads a cell of a CSV file that begins with = + - @ as a formula, and may drop white space or characters
that cannot be seen before it (OWASP, "CSV Injection"). Such a text gets an apostrophe in front, which makes it a text;
one that is nothing but a number stays, as it can do nothing. Numbers are written by whoever writes the table, as
numbers: they do not come here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

# The last four are the wide forms, which some spreadsheets take for the narrow ones.
_LEADING = tuple("=+-@\N{MINUS SIGN}\uff1d\uff0b\uff0d\uff20")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_UNSEEN = ("Cc", "Cf", "Zl", "Zp", "Zs")  # control and format characters, and every kind of white space


def harmless(text: str) -> str:
    """The text as a cell: control characters made blanks, half characters replaced, a formula made a text.

    >>> harmless("=1+1"), harmless("-3.5"), harmless("a red circle")
    ("'=1+1", '-3.5', 'a red circle')
    """
    # a half of a pair of surrogates, which JSON can hold, cannot be written
    whole = "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= one <= "\udfff" else one for one in text)
    shown = "".join(" " if unicodedata.category(one) in ("Cc", "Zl", "Zp") else one for one in whole)
    seen = next((one for one in whole if unicodedata.category(one) not in _UNSEEN), "")
    dangerous = seen in _LEADING or whole[:1] in ("\t", "\r", "\n")
    return f"'{shown}" if seen and dangerous and not _NUMBER.fullmatch(whole) else shown


def cell(value: Any) -> Any:
    """A value as a cell: text made harmless, None left empty, numbers and booleans as they are."""
    return harmless(value) if isinstance(value, str) else value


def row(values: dict[str, Any]) -> dict[str, Any]:
    """A row of a table with every cell made harmless."""
    return {key: cell(value) for key, value in values.items()}
