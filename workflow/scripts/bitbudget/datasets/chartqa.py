"""ChartQA: questions about charts, by people and by a machine (Masry et al., Findings of ACL 2022).

https://github.com/vis-nlp/ChartQA. One answer a question. `extra.question_type` is human or augmented, as the two
files of a split are called; results are usually told apart by it. The set names no types of answers.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from bitbudget import files
from bitbudget.datasets import strict
from bitbudget.errors import UserError
from bitbudget.items.item import ImageRef, Item, check
from bitbudget.untrusted import foreign_json

TRACKS = ("vqa",)
SPLITS = ("test", "val", "train")
PRIMARY = "relaxed_accuracy"
SHOTS_SPLIT = "train"
OPTIONS: dict[str, dict[str, Any]] = {
    "revision": {
        "description": "Commit of the repository on GitHub.",
        "type": "string",
        "pattern": "^[0-9a-f]{40}$",
        "default": "3dab8e83b6ac559b847b7c6e2f24d1faa95a4507",
    },
    "url": {
        "description": "Where the repository's files are, before the revision; change it to use a mirror.",
        "type": "string",
        "default": "https://raw.githubusercontent.com/vis-nlp/ChartQA",
    },
}
REQUIRED: tuple[str, ...] = ()
LOCAL_PATHS: tuple[str, ...] = ()

ABOUT = "ChartQA [@masry2022chartqa]"
PUBLISHED = True

TYPES = ("human", "augmented")
KEYS = ("imgname", "query", "label")


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Download the question files of the three splits (about 5 MB)."""
    from bitbudget.fetching import download

    found = {}
    for split in SPLITS:
        for kind in TYPES:
            name = f"{split}_{kind}.json"
            path = folder / "annotations" / name
            download.download(f"{_base(options, split)}/{name}", path, partial=partial)
            found[f"annotations/{name}"] = files.sha256_of(path)
    return {
        "revision": options["revision"],
        "licence": "GPL-3.0",
        "source": options["url"],
        "files": found,
        "lock": {f"sha256 of {Path(n).name} at {options['revision']}": value for n, value in found.items()},
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """The split's questions with their answer; an id is the place in its file, e.g. `test-human-17`."""
    items = []
    for kind in TYPES:
        path = folder / "annotations" / f"{split}_{kind}.json"
        content = foreign_json.read_json(path)
        if not isinstance(content, list) or not content:
            raise UserError(f"{path} is not in the format of ChartQA; it needs to be a list of questions.")
        for number, entry in enumerate(content):
            where = f"{path}: [{number}]"
            strict.require(entry, KEYS, where)
            name, answer = strict.path_inside(entry["imgname"], where), {"answers": [entry["label"]]}
            image = ImageRef(f"{split}-{PurePosixPath(name).stem}", f"{_base(options, split)}/png/{quote(name)}")
            items.append(
                Item(
                    id=f"{split}-{kind}-{number}",
                    images=(image,),
                    question=strict.text(entry, "query", where),
                    references=strict.answers(answer, 1, where),
                    extra={"question_type": kind},
                )
            )
    check(items, folder / "annotations")
    return items


def _base(options: dict[str, Any], split: str) -> str:
    return f"{options['url'].rstrip('/')}/{options['revision']}/ChartQA%20Dataset/{split}"
