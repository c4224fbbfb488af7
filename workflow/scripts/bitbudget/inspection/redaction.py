"""Personal strings replaced by what they are, in all that is published of a study whose items may be personal.

Replaced they are where the study's switch is on (`inspection.redact`) and, besides, either its questions may ask to
read text in pictures (`READS_TEXT` of its track), or nobody says that its data set was published for such use
(`PUBLISHED`): the user's own, and those of a repository on the Hub. What looks personal in known sets is flagged, and
its picture is kept. A track or data set that says nothing of this counts as one that may be personal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitbudget import contracts, registry
from bitbudget.inspection import plates, privacy

WITHHELD = (
    "a text or an answer about it, or about another item that shows it too, holds what may be a personal string, so "
    "the picture is not published."
)
_LISTED = "what looks like one is listed as flagged."


def decided(track: str, kind: str, inspection: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a study's personal strings are replaced, and why, in a sentence.

    `kind` is that of its data set, and `inspection` what the study says of it: `redact`.
    """
    about = registry.module_of("track", track)
    reads, known = contracts.of(about, "READS_TEXT"), contracts.of(registry.module_of("dataset", kind), "PUBLISHED")
    if known and not reads:
        return False, (
            f"Personal strings are not replaced, because the data set kind {kind} is known and was published for this "
            f"use, and no model is asked to read text in pictures; {_LISTED}"
        )
    if not inspection["redact"]:
        return False, (f"Personal strings are shown as they are, because the study switches replacing off; {_LISTED}")
    what = "models read off pictures" if reads else "items outside the known data sets may hold"
    pictures = ", and pictures of such items are not published" if about.IMAGES else ""
    return True, (
        f"Personal strings that {what} are replaced by what they are, such as [e-mail] or [phone], in questions, "
        f"references and answers{pictures}."
    )


def redact(text: str, spans: list[privacy.Span]) -> str:
    """The text with these spans, which do not overlap, replaced: `call [phone]`."""
    for span in sorted(spans, key=lambda one: -one.start):
        text = f"{text[: span.start]}[{span.what}]{text[span.end :]}"
    return text


class Redactor:
    """Finds and, where that is on, replaces personal strings; every text is looked through once."""

    def __init__(self, on: bool, region: str) -> None:
        privacy.check_region(region)
        self.on, self.region = on, region
        self._seen: dict[tuple[str, str | None], tuple[str, list[privacy.Span]]] = {}

    def __call__(self, text: str, asked: str | None = None) -> str:
        """The text as it may be published. `asked` is the question that it answers."""
        return self._of(text, asked)[0]

    def spans(self, text: str, asked: str | None = None) -> list[privacy.Span]:
        """What may be personal in a text, whether it is replaced or not."""
        return self._of(text, asked)[1]

    @property
    def replaced(self) -> int:
        """How many strings were replaced in the distinct texts given so far."""
        return sum(len(spans) for _, spans in self._seen.values()) if self.on else 0

    def _of(self, text: str, asked: str | None) -> tuple[str, list[privacy.Span]]:
        about = asked if asked and plates.asked_for(asked) else None
        key = (text, about)
        if key not in self._seen:
            spans = privacy.find(text, self.region, about)
            self._seen[key] = (redact(text, spans) if self.on else text, spans)
        return self._seen[key]
