"""The VQA v2 format, read strictly: what is wrong in a file is said before a model sees it.

Format: https://visualqa.org/download.html, `questions` and `annotations`. The two lists may stand in one file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bitbudget.datasets import strict
from bitbudget.errors import UserError
from bitbudget.items.item import ImageRef, Item, check
from bitbudget.untrusted import foreign_json

QUESTION_KEYS = ("question_id", "image_id", "question")
ANNOTATION_KEYS = ("question_id", "image_id", "answers")
TYPES = ("question_type", "answer_type")  # what the official annotations say of a question; not every set does
ANSWERS = 10  # annotators a question


def read_questions(
    questions: Path,
    annotations: Path,
    source_of: Callable[[dict[str, Any]], str],
    *,
    answers: int | None = ANSWERS,
    keep: Sequence[str] = (),
) -> list[Item]:
    """The items of a pair of VQA v2 files, in the order of the questions, with all texts as they are written.

    `source_of` gives the source of a question's image. The types that an annotation names go into the item's `extra`,
    and so do the keys of the question named in `keep`. Every question has `answers` answers (None: one at least).

    Raises `UserError` that names the file and the entry: missing keys, a question id used twice, a question without
    annotation or the other way round, two that speak of different images, an empty question, a wrong number of
    answers, an answer that is no text.
    """
    answered: dict[int | str, dict[str, Any]] = {}
    for number, annotation in enumerate(_list(annotations, "annotations")):
        strict.require(annotation, ANNOTATION_KEYS, f"{annotations}: annotations[{number}]")
        key = annotation["question_id"]
        if key in answered:
            raise UserError(f"{annotations} has two annotations of the question {key!r}; every question needs one.")
        answered[key] = annotation
    seen: set[int | str] = set()
    items = []
    for number, question in enumerate(_list(questions, "questions")):
        strict.require(question, QUESTION_KEYS, f"{questions}: questions[{number}]")
        key, image = question["question_id"], question["image_id"]
        if key in seen:
            raise UserError(f"{questions} has the question id {key!r} twice; every question needs an id of its own.")
        seen.add(key)
        annotation = answered.get(key)
        if annotation is None:
            raise UserError(
                f"{questions}: question {key!r} has no annotation in {annotations}; add its answers or remove it."
            )
        if annotation["image_id"] != image:
            raise UserError(
                f"{questions}: question {key!r} is about the image {image!r}, but its annotation in {annotations} is "
                f"about {annotation['image_id']!r}; correct one of the two."
            )
        where = f"{annotations}: the annotation of question {key!r}"
        items.append(
            Item(
                id=str(key),
                images=(ImageRef(str(image), source_of(question)),),
                question=strict.text(question, "question", f"{questions}: question {key!r}"),
                references=strict.answers(annotation, answers, where),
                extra=strict.labels(annotation, TYPES, where)
                | {name: question[name] for name in keep if name in question},
            )
        )
    for key in answered:
        if key not in seen:
            raise UserError(
                f"{annotations} has an annotation of question {key!r}, which {questions} does not ask; "
                "add the question or remove the annotation."
            )
    if not items:
        raise UserError(f"{questions} asks no question; it needs at least one.")
    check(items, questions)
    return items


def _list(path: Path, key: str) -> list[Any]:
    content = foreign_json.read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise UserError(f"{path} is not in the VQA v2 format; it needs the list `{key}`.")
    return content[key]
