"""VizWiz-VQA: questions that blind people asked about photographs of their own (Gurari et al., CVPR 2018).

https://vizwiz.org/tasks-and-datasets/vqa/. One question an image, so its id is the image's name. `extra.answer_type` is
yes/no, number, other or unanswerable. The set names no types of questions, and none are invented.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from bitbudget.datasets import strict
from bitbudget.errors import UserError
from bitbudget.items.item import ImageRef, Item, check
from bitbudget.untrusted import foreign_json

TRACKS = ("vqa",)
SPLITS = ("val", "train")
SHOTS_SPLIT = "train"
OPTIONS: dict[str, dict[str, Any]] = {
    "url": {
        "description": "Address of the official annotations zip; change it to use a mirror.",
        "type": "string",
        "default": "https://vizwiz.cs.colorado.edu/VizWiz_final/vqa_data/Annotations.zip",
    },
    "images": {
        "description": "Folder of the images, by the names in the annotations: a web address, or an absolute path "
        "where you have them already.",
        "type": "string",
        "default": "https://vizwiz.cs.colorado.edu/VizWiz_visualization_img",
    },
}
REQUIRED: tuple[str, ...] = ()
LOCAL_PATHS: tuple[str, ...] = ()

ABOUT = "VizWiz-VQA [@gurari2018vizwiz]"
PUBLISHED = True

KEYS = ("image", "question", "answers")
ANSWERS = 10


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Download the annotations zip; no checksum is published, so the first one found is locked."""
    from bitbudget.datasets import zipped

    names = [f"{split}.json" for split in SPLITS]
    kept, zip_hash = zipped.fetch_members(options["url"], names, folder / "annotations", partial)
    found = {f"annotations/{name}": value for name, value in kept.items()}
    return {
        "revision": f"sha256:{zip_hash}",
        "licence": "CC-BY-4.0",
        "source": options["url"],
        "files": found,
        "lock": {f"sha256 of {name}": value for name, value in (kept | {"Annotations.zip": zip_hash}).items()},
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """The split's questions with their ten answers."""
    path = folder / "annotations" / f"{split}.json"
    content = foreign_json.read_json(path)
    if not isinstance(content, list) or not content:
        raise UserError(f"{path} is not in the format of VizWiz-VQA; it needs to be a list of questions.")
    items = []
    for number, entry in enumerate(content):
        strict.require(entry, KEYS, f"{path}: [{number}]")
        name = strict.path_inside(entry["image"], f"{path}: [{number}]")
        where, key = f"{path}: the question about {name}", PurePosixPath(name).stem
        items.append(
            Item(
                id=key,
                images=(ImageRef(key, f"{options['images'].rstrip('/')}/{name}"),),
                question=strict.text(entry, "question", where),
                references=strict.answers(entry, ANSWERS, where),
                extra=strict.labels(entry, ("answer_type",), where),
            )
        )
    check(items, path)
    return items
