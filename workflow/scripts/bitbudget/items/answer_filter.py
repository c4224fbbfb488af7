"""What counts of an answer: a study's `answer` takes a model's chatter away before the answer is scored.

Answers are filtered when they are scored, and kept as they were written, so that another filter asks no model again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bitbudget.errors import UserError

LONGEST = 2000  # characters of an answer that a regular expression is looked for in
SECONDS = 1.0  # that it may take for one answer

Rules = Mapping[str, Any]


def fault(rules: Rules) -> str | None:
    """What is wrong with a study's `answer`, in a clause; None where nothing is."""
    pattern = rules.get("regex")
    if pattern is None:
        return None
    try:
        groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError) as wrong:
        return f"`regex` is no regular expression ({wrong}); correct it"
    return None if groups < 2 else "`regex` has more than one group; mark with one what counts, and write (?:…) else"


def of(rules: Rules, text: str, whose: str) -> str:
    """What counts of a text.

    The first match of `regex`, or of the group in it, the whole text where there is none; of this the first line that
    is not empty (`first_line`), without the first of the beginnings in `strip_prefix` that it has, whatever their case.
    Raises `UserError` that names `whose` text it is where the regular expression takes too long.
    """
    if rules.get("regex"):
        text = _matched(rules["regex"], text, whose)
    if rules.get("first_line"):
        text = next((line for line in text.splitlines() if line.strip()), "")
    text = text.strip()
    for prefix in rules.get("strip_prefix", ()):
        if text.lower().startswith(prefix.lower()):
            return text[len(prefix) :].strip()
    return text


def _matched(pattern: str, text: str, whose: str) -> str:
    import regex

    try:
        found = regex.search(pattern, text[:LONGEST], timeout=SECONDS)
    except TimeoutError:
        raise UserError(
            f"`answer.regex` of the study takes more than {SECONDS:.0f} s for {whose}: write it without repeats within "
            "repeats."
        ) from None
    if found is None:
        return text
    return found[found.re.groups] or ""
