"""Reasons and tables, as slides set them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.typesetting.texts import sentences, shortened, some, width

REASON = 110  # letters of a reason


def reasons(why: Mapping[str, str], start: str = "") -> list[str]:
    """One line for each reason, with the precisions that it is of."""
    found: dict[str, list[str]] = {}
    for name, reason in why.items():
        # a record's sentence may begin with the precision's own name
        short = sentences(reason.removeprefix(f"{name} is "), REASON)
        found.setdefault(short.rstrip("."), []).append(name)
    return [f"{start}{some(names, 3)}: {reason}." for reason, names in found.items()]


def stacked(name: str, most: int) -> str:
    """A name of a model and a condition: in two lines where it is wider than `most` letters."""
    parts = [name] if width(name) <= most else name.split(", ")
    return ",\n".join(shortened(part, most) for part in parts)


def broken(name: str, most: int) -> str:
    """A name in lines of at most `most` letters where its blanks and hyphens allow."""
    lines = [""]
    for part in re.findall(r"[^\s-]*[\s-]+|[^\s-]+", name):
        if lines[-1] and width(lines[-1] + part.rstrip()) > most:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def table(
    title: str,
    heading: str,
    columns: Sequence[str],
    align: str,
    rows: Sequence[Any],
    where: str,
    notes: Sequence[str],
    most: int = 9,
    **more: Any,
) -> dict[str, Any]:
    """A slide of a table with `most` rows; the file `where` has the others. `align` has an "l" or "r" per column."""
    return {
        "kind": "table",
        "title": title,
        "heading": heading,
        "columns": list(columns),
        "align": [{"l": "left", "r": "right"}[one] for one in align],
        "rows": rows[:most],
        "left": max(len(rows) - most, 0),
        "where": where,
        "notes": list(notes),
        **more,
    }
