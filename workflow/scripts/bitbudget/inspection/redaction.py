"""Personal strings replaced by what they are, in all that is published of a study that reads text in pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitbudget.inspection import privacy

READING_TRACKS = ("vqa",)  # whose questions may ask to read what stands in a picture: signs, plates, letters, forms
WITHHELD = "its text, or an answer about it, holds what may be a personal string, so the picture is not published."


def decided(track: str, inspection: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a study's personal strings are replaced, and why, in a sentence.

    `inspection` is that of the study: `redact`.
    """
    if track not in READING_TRACKS:
        return False, (
            "Personal strings are not replaced, because the models of this study are not asked to read text in "
            "pictures; what looks like one is listed as flagged."
        )
    if not inspection["redact"]:
        return False, (
            "Personal strings are shown as they are, because the study switches it off (`inspection.redact: false`); "
            "what looks like one is listed as flagged."
        )
    return True, (
        "Personal strings that models read off pictures are replaced by what they are, such as [e-mail] or [phone], in "
        "questions, references and answers, and pictures of such items are not published "
        "(`inspection.redact: false` switches it off)."
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
        about = asked if asked and privacy.asks_for_a_plate(asked) else None
        key = (text, about)
        if key not in self._seen:
            spans = privacy.find(text, self.region, about)
            self._seen[key] = (redact(text, spans) if self.on else text, spans)
        return self._seen[key]
