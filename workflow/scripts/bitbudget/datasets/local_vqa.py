"""Any folder of images with questions and answers in the VQA v2 format."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.datasets import local_files, strict, vqa_format
from bitbudget.errors import UserError
from bitbudget.items.item import Item

TRACKS = ("vqa",)
SPLITS = ("all",)
SHOTS_SPLIT = None  # a held-out part of the questions
OPTIONS: dict[str, dict[str, Any]] = {
    "images": {
        "description": "Folder of the images; relative paths start at the repository's root.",
        "type": "string",
        "minLength": 1,
    },
    "questions": {
        "description": "JSON with the list `questions`: question_id, image_id, question, and if you like file_name.",
        "type": "string",
        "minLength": 1,
    },
    "annotations": {
        "description": "JSON with the list `annotations`: question_id, image_id and ten answers; it may be the same "
        "file as `questions`.",
        "type": "string",
        "minLength": 1,
    },
    "pattern": {
        "description": "Path in the image folder of a question without file_name: {image_id} stands for its image_id, "
        "{image_id:012d} for that number in twelve digits.",
        "type": "string",
        "pattern": r"^[^{}]*\{image_id(:0[1-9][0-9]?d)?\}[^{}]*$",
        "default": "{image_id}.jpg",
    },
}
REQUIRED = ("images", "questions", "annotations")
LOCAL_PATHS = ("images", "questions", "annotations")

ABOUT = "the author's own questions about pictures"
LIMITS = local_files.LIMITS

QUESTIONS, ANNOTATIONS = "annotations/questions.json", "annotations/annotations.json"


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Read both files strictly, check that every image is there, and keep a copy of the files.

    The images stay where they are. Raises `UserError` for the first thing that is wrong.
    """
    images, questions, annotations = (Path(options[name]) for name in LOCAL_PATHS)
    local_files.check_folder("local-vqa", images)
    items = vqa_format.read_questions(questions, annotations, _name(options, questions))
    missing = {i.images[0].source: i.id for i in items if not (images / i.images[0].source).is_file()}
    if missing:
        name, question = next(iter(missing.items()))
        more = f" ({len(missing) - 1} more files are missing)" if len(missing) > 1 else ""
        raise UserError(
            f"{questions}: question {question!r} is about {strict.in_words(name)}, which is not in the image folder "
            f"{images}{more}; add the file, remove its questions, or correct `pattern`."
        )
    found = {}
    for source, name in ((questions, QUESTIONS), (annotations, ANNOTATIONS)):
        with files.written_whole(folder / name) as temporary:
            shutil.copyfile(source, temporary)
        found[name] = files.sha256_of(folder / name)
    return {
        "revision": f"sha256:{files.hash_of(found)}",
        "licence": None,  # only the entry in config/datasets.yaml can say
        "source": str(questions),
        "files": found,
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """All questions with their ten answers; the one split is called `all`."""
    images, name = Path(options["images"]).resolve(), _name(options, folder / QUESTIONS)
    return vqa_format.read_questions(
        folder / QUESTIONS, folder / ANNOTATIONS, lambda question: str(images / name(question))
    )


def _name(options: dict[str, Any], path: Path) -> Callable[[dict[str, Any]], str]:
    """How a question of this file names its image: by its own `file_name`, else by the pattern."""

    def name(question: dict[str, Any]) -> str:
        where = f"{path}: question {question['question_id']!r}"
        if "file_name" in question:
            return strict.path_inside(question["file_name"], where)
        try:
            return strict.path_inside(options["pattern"].format(image_id=question["image_id"]), where)
        except ValueError:  # digits are asked for, and the id is a string
            raise UserError(
                f"{where} has the image id {question['image_id']!r}, which is no number as the pattern "
                f"{options['pattern']!r} needs; correct one of the two."
            ) from None

    return name
