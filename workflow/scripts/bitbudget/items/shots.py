"""Few-shot prompting: the worked examples that stand before each item, the same for every precision."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence


def number_of(condition: str) -> int:
    """How many examples a condition asks for: 4 for `4-shot`, 0 for one that is not few-shot."""
    found = re.fullmatch(r"([1-9][0-9]*)-shot", condition)
    return int(found[1]) if found else 0


def answer_of(references: Sequence[str]) -> str:
    """The answer that an example shows: the most common of its references, the first of equally common ones."""
    return Counter(references).most_common(1)[0][0].strip() if references else ""
