"""The flags of a study's answers, questions and references: what, of which kind, and an excerpt to recognise it by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitbudget.inspection import people, profanity, redaction
from bitbudget.inspection.privacy import Span

PRIVACY, PROFANITY, PEOPLE, OBJECTS = "privacy", "profanity", "people", "objects"
ANSWER, QUESTION, REFERENCE = "answer", "question", "reference"
AROUND, LONGEST = 60, 160  # characters of an excerpt: on either side of what is flagged, and of a whole text

Cell = tuple[str, str, str]  # model, precision, condition
Answers = Mapping[Cell, Mapping[str, str]]  # of each cell the text of each item's id


@dataclass(frozen=True)
class Flag:
    """What was found in a text. `kind` is one of the four above; `what` can be read by itself."""

    kind: str
    what: str
    excerpt: str


class Screen:
    """Flags texts; each distinct one is looked through once."""

    def __init__(self, texts: Iterable[str], redactor: redaction.Redactor) -> None:
        """`texts` are all answers that will be asked about."""
        self._profane = profanity.Screen(texts)
        self._redactor = redactor
        self._seen: dict[str, list[tuple[str, str, Span]]] = {}

    def answer(self, text: str, asked: str | None) -> list[Flag]:
        """What is flagged in an answer to the question `asked`."""
        private = self._redactor.spans(text, asked)
        found = [(PRIVACY, span.what, span) for span in private]
        if text not in self._seen:
            self._seen[text] = [(PROFANITY, span.what, span) for span in self._profane.find(text)] + [
                (PEOPLE, f"wording about people: {span.what}", span) for span in people.find(text)
            ]
        return self._flags(text, [*found, *self._seen[text]], private)

    def given(self, text: str, asked: str | None = None) -> list[Flag]:
        """What may be personal in a question or a reference, which people wrote."""
        private = self._redactor.spans(text, asked)
        return self._flags(text, [(PRIVACY, span.what, span) for span in private], private)

    def not_there(self, text: str, asked: str | None, categories: Sequence[str]) -> list[Flag]:
        """A flag for each category that a caption names and the image does not show."""
        shown = self._redactor(text, asked)
        shown = shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"
        return [Flag(OBJECTS, f"not in the image: {name}", shown) for name in dict.fromkeys(categories)]

    def _flags(self, text: str, found: Sequence[tuple[str, str, Span]], private: Sequence[Span]) -> list[Flag]:
        unique = {(kind, what): span for kind, what, span in reversed(found)}
        hidden = private if self._redactor.on else ()
        return [Flag(kind, what, _excerpt(text, unique[kind, what], hidden)) for kind, what in reversed(unique)]


def _excerpt(text: str, span: Span, hidden: Sequence[Span]) -> str:
    """The text around a span, in which the `hidden` ones are replaced; none of these is cut."""
    start, end = max(0, span.start - AROUND), min(len(text), span.end + AROUND)
    for one in hidden:
        if one.start < end and one.end > start:
            start, end = min(start, one.start), max(end, one.end)
    inside = [Span(one.start - start, one.end - start, one.what) for one in hidden if start <= one.start < end]
    return f"{'…' * (start > 0)}{redaction.redact(text[start:end], inside)}{'…' * (end < len(text))}"


def of_answers(
    items: Sequence[Mapping[str, Any]],
    answers: Answers,
    screen: Screen,
    not_there: Mapping[Cell, Mapping[str, Sequence[str]]],
) -> tuple[list[dict[str, Any]], dict[Cell, dict[str, int]], dict[Cell, int]]:
    """Everything flagged in the answers, a row each; how many answers of each cell have something of a kind; and how
    many have anything of any of these kinds, each answer counted once.

    Objects that are not there are no finding of a screen, and are counted as CHAIR. Precisions that gave the same
    answer share a row. `not_there` has, of the cells and items that have any, the categories that are named and not
    there.
    """
    rows: list[dict[str, Any]] = []
    counts = {cell: dict.fromkeys((PRIVACY, PROFANITY, PEOPLE), 0) for cell in answers}
    answers_flagged = dict.fromkeys(answers, 0)
    for item in items:
        key, grouped = item["id"], {}
        for cell, texts in answers.items():
            grouped.setdefault((cell[0], cell[2], texts[key]), []).append(cell)
        for (model, condition, text), cells in grouped.items():
            flags = screen.answer(text, item["question"])
            for cell in cells:
                answers_flagged[cell] += bool(flags)
                for kind in {flag.kind for flag in flags}:
                    counts[cell][kind] += 1
            flags += screen.not_there(text, item["question"], not_there.get(cells[0], {}).get(key, ()))
            about = {"item": key, "model": model, "condition": condition, "precisions": [cell[1] for cell in cells]}
            rows += [_row(flag, ANSWER, about) for flag in flags]
    return rows, counts, answers_flagged


def of_given(items: Sequence[Mapping[str, Any]], screen: Screen) -> list[dict[str, Any]]:
    """Personal strings in what people wrote: the questions and the references, a row each."""
    rows = []
    for item in items:
        about = {"item": item["id"], "model": None, "condition": None, "precisions": []}
        if item["question"]:
            rows += [_row(flag, QUESTION, about) for flag in screen.given(item["question"])]
        for text in dict.fromkeys(item["references"]):
            rows += [_row(flag, REFERENCE, about) for flag in screen.given(text, item["question"])]
    return rows


def _row(flag: Flag, where: str, about: Mapping[str, Any]) -> dict[str, Any]:
    return {**about, "kind": flag.kind, "what": flag.what, "where": where, "excerpt": flag.excerpt}
