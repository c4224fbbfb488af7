"""Names of categories, as they are compared."""

from __future__ import annotations


def plain(name: str) -> str:
    """A name without regard to capitals, and with single spaces for underscores and any other white space."""
    return " ".join(name.replace("_", " ").split()).casefold()
