"""Personal strings replaced by what they are, in all that is published of a study whose pictures may be personal.

Replaced they are where the study's switch is on (`inspection.redact`) and, besides, either its questions may ask to
read text in pictures (the track vqa), or its captions are of pictures that nobody but the user has chosen: those of
the user's own, and those of a repository on the Hub. The known sets of captions show photos of everyday scenes, or
drawn ones, and were published for this use; what looks personal there is flagged, and its picture is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitbudget.inspection import plates, privacy

READING_TRACKS = ("vqa",)  # whose questions may ask to read what stands in a picture: signs, plates, letters, forms
UNKNOWN_PICTURES = ("local-captions", "hub-captions")  # kinds of data sets that may show anything
WITHHELD = (
    "a text or an answer about it, or about another item that shows it too, holds what may be a personal string, so "
    "the picture is not published."
)
_LISTED = "what looks like one is listed as flagged."


def decided(track: str, kind: str, inspection: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a study's personal strings are replaced, and why, in a sentence.

    `kind` is that of its data set, and `inspection` what the study says of it: `redact`.
    """
    if track not in READING_TRACKS and kind not in UNKNOWN_PICTURES:
        return False, f"Personal strings are not replaced, because {_why_not(track, kind)}; {_LISTED}"
    if not inspection["redact"]:
        return False, (f"Personal strings are shown as they are, because the study switches replacing off; {_LISTED}")
    what = (
        "models read off pictures"
        if track in READING_TRACKS
        else "captions of pictures outside the known data sets may hold"
    )
    return True, (
        f"Personal strings that {what} are replaced by what they are, such as [e-mail] or [phone], in questions, "
        "references and answers, and pictures of such items are not published."
    )


def _why_not(track: str, kind: str) -> str:
    if track == "captioning":
        return (
            f"the captions are of the known data set kind {kind}, whose pictures were published for this use, and no "
            "model is asked to read text in them"
        )
    return "the models of this study are not asked to read text in pictures"


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
