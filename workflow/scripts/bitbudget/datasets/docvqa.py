"""DocVQA: questions about scanned documents (Mathew et al., WACV 2021), from their copy on the Hugging Face Hub.

https://www.docvqa.org; the official files need a login, so the copy of lmms-lab is taken. There the images stand inside
the tables of questions: whatever subset a study takes, the whole split is downloaded. Only the validation split is
offered: the answers of the test split are secret, and the training split is seven times as large.
One answer or more a question. `extra.question_type` names the official types (form, layout, table/list, …), joined by
" + " where a question has several; the set names no types of answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.datasets import image_rows, vqa_format
from bitbudget.errors import UserError
from bitbudget.items.item import Item

TRACKS = ("vqa",)
SPLITS = ("val",)
PRIMARY = "anls"
SHOTS_SPLIT = None  # a held-out part of the validation split
OPTIONS: dict[str, dict[str, Any]] = {
    "revision": {
        "description": "Commit of the copy on the Hub.",
        "type": "string",
        "pattern": "^[0-9a-f]{40}$",
        "default": "539088ef8a8ada01ac8e2e6d4e372586748a265e",
    },
    "url": {
        "description": "Where the copy's files are, before the revision; change it to use a mirror.",
        "type": "string",
        "default": "https://huggingface.co/datasets/lmms-lab/DocVQA/resolve",
    },
}
REQUIRED: tuple[str, ...] = ()
LOCAL_PATHS: tuple[str, ...] = ()

ABOUT = "DocVQA [@mathew2021docvqa]"
PUBLISHED = True

SHARDS = tuple(f"DocVQA/validation-{number:05d}-of-00006.parquet" for number in range(6))
COLUMNS = (
    "questionId",
    "question",
    "question_types",
    "image",
    "ucsf_document_id",
    "ucsf_document_page_no",
    "answers",
)
QUESTIONS, ANNOTATIONS = "annotations/questions_val.json", "annotations/annotations_val.json"


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Download the validation split, and write its images and, in the VQA v2 format, its questions and answers.

    Raises `UserError` where a file cannot be had, or is no table with the columns of this set.
    """
    from bitbudget.fetching import download

    base = f"{options['url'].rstrip('/')}/{options['revision']}"
    shards = [partial / Path(name).name for name in SHARDS]
    for name, shard in zip(SHARDS, shards, strict=True):
        if not shard.exists():  # whole: a download takes this name only when it is complete
            download.download(f"{base}/{name}", shard, partial=partial)
    lock = {f"sha256 of {shard.name} at {options['revision']}": files.sha256_of(shard) for shard in shards}
    questions, annotations = _write_images(_rows(shards), folder / "images")
    common = {"info": {"description": "DocVQA, validation split", "url": base}, "data_subtype": "val"}
    files.write_json(folder / QUESTIONS, common | {"questions": questions})
    files.write_json(folder / ANNOTATIONS, common | {"annotations": annotations})
    read_items(options, folder, SPLITS[0])
    for shard in shards:
        shard.unlink()
    return {
        "revision": options["revision"],
        "licence": "Apache-2.0 as the copy's page on the Hub says; for the documents see https://www.docvqa.org",
        "source": options["url"],
        "files": {name: files.sha256_of(folder / name) for name in (QUESTIONS, ANNOTATIONS)},
        "lock": lock,
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """The questions with their answers, and their types."""
    return vqa_format.read_questions(
        folder / QUESTIONS, folder / ANNOTATIONS, lambda question: f"images/{question['file_name']}", answers=None
    )


def _rows(shards: Iterable[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of all shards, a few in memory at a time, with where each stands."""
    import pyarrow
    from pyarrow import parquet

    from bitbudget.fetching import download

    for shard in shards:
        with download.taken_up(shard, f"{shard.name} is not the table of DocVQA that was expected"):
            table = parquet.ParquetFile(shard)
            missing = [name for name in COLUMNS if name not in table.schema_arrow.names]
            if missing:
                raise pyarrow.ArrowInvalid(f"it has no column {missing[0]!r}")
            number = 0
            for batch in table.iter_batches(batch_size=16, columns=list(COLUMNS)):
                for row in batch.to_pylist():
                    yield f"row {number} of {shard.name}", row
                    number += 1


def _write_images(
    rows: Iterable[tuple[str, dict[str, Any]]], folder: Path
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Write each page once, byte for byte; the questions and annotations of the rows.

    A page is called as in the official files, by document and page number; should two pages bear one name, the second
    has the beginning of its SHA-256 as well.
    """
    from tqdm import tqdm

    pages: dict[str, str] = {}  # the image id of each page, by the SHA-256 of its bytes
    suffixes: dict[str, str] = {}  # the suffix of each page's file, by the page's image id
    questions, annotations = [], []
    for where, row in tqdm(rows, desc="DocVQA", mininterval=1):
        data = (row["image"] or {}).get("bytes")
        if not data:
            raise UserError(f"{where} has no image; choose another revision.")
        digest = hashlib.sha256(data).hexdigest()
        if digest not in pages:
            page = f"{row['ucsf_document_id']}_{row['ucsf_document_page_no']}"
            page = page if page not in suffixes else f"{page}_{digest[:8]}"
            pages[digest], suffixes[page] = page, image_rows.suffix_of(data, where)
            with files.written_whole(folder / (page + suffixes[page])) as temporary:
                temporary.write_bytes(data)
        image = pages[digest]
        question = {"question_id": row["questionId"], "image_id": image, "question": row["question"]}
        questions.append(question | {"file_name": image + suffixes[image]})
        annotation = {"question_id": row["questionId"], "image_id": image}
        if row["question_types"]:
            annotation["question_type"] = " + ".join(row["question_types"])
        texts = row["answers"] or []
        annotation["answers"] = [{"answer": text, "answer_id": n} for n, text in enumerate(texts, start=1)]
        annotations.append(annotation)
    return questions, annotations
