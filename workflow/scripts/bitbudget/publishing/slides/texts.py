"""Texts of slides: reasons in whole sentences, and what all of them say of what is not there."""

from __future__ import annotations

from collections.abc import Mapping

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
