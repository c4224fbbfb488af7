"""Reasons and tables, as slides set them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.typesetting.texts import sentences, some

REASON = 110  # letters of a reason


def reasons(why: Mapping[str, str], start: str = "") -> list[str]:
    """One line for each reason, with the precisions that it is of."""
    found: dict[str, list[str]] = {}
    for name, reason in why.items():
        # a record's sentence may begin with the precision's own name
        short = sentences(reason.removeprefix(f"{name} is "), REASON)
        found.setdefault(short.rstrip("."), []).append(name)
    return [f"{start}{some(names, 3)}: {reason}." for reason, names in found.items()]


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
