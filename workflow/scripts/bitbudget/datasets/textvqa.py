"""TextVQA 0.5.1: questions about text in Open Images photographs (Singh et al., CVPR 2019).

https://textvqa.org. Each image has ten answers; the set names no types of questions or answers, so none are invented.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.datasets import strict
from bitbudget.errors import UserError
from bitbudget.items.item import ImageRef, Item, check, is_address
from bitbudget.untrusted import foreign_json

TRACKS = ("vqa",)
SPLITS = ("val", "train")
SHOTS_SPLIT = "train"
FLICKR = ("flickr_300k_url", "flickr_original_url")  # addresses that each question carries
OPTIONS: dict[str, dict[str, Any]] = {
    "url": {
        "description": "Folder of the official question files; change it to use a mirror, checksums stay the same.",
        "type": "string",
        "default": "https://dl.fbaipublicfiles.com/textvqa/data",
    },
    "images": {
        # Images of both splits are of Open Images' training set; its copy at CVDF has them at the size (longest side
        # 1024) of the official 7 GB zip. Those at Flickr are 640 pixels or the original, and some are gone.
        "description": "Folder of the images {image_id}.jpg: a web address, or the absolute path of train_images of "
        "the official zip; or flickr_300k_url or flickr_original_url for the address in the question file.",
        "type": "string",
        "default": "https://open-images-dataset.s3.amazonaws.com/train",
    },
}
REQUIRED: tuple[str, ...] = ()
LOCAL_PATHS: tuple[str, ...] = ()

ABOUT = "TextVQA [@singh2019textvqa]"
PUBLISHED = True

# As huggingface/datasets (datasets/textvqa/dataset_infos.json) recorded them.
SHA256 = {
    "TextVQA_0.5.1_val.json": "4ceb5aadc1a41719d0a3e4dfdf06838bcfee1db569a9a65ee67d31c99893081d",
    "TextVQA_0.5.1_train.json": "95f5c407db56cba56a177799dcd685a7cc0ec7c0d851b59910acf7786d31b68a",
}
KEYS = ("question_id", "image_id", "question", "answers")
ANSWERS = 10


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Download the questions of both splits (25 MB)."""
    from bitbudget.fetching import download

    found = {}
    for split in SPLITS:
        name = f"TextVQA_0.5.1_{split}.json"
        path = folder / "annotations" / name
        download.download(f"{options['url'].rstrip('/')}/{name}", path, sha256=SHA256.get(name), partial=partial)
        found[f"annotations/{name}"] = files.sha256_of(path)
    return {
        "revision": "0.5.1",
        "licence": "questions and answers CC-BY-4.0; images CC-BY-2.0 (Open Images)",
        "source": options["url"],
        "files": found,
        "lock": {f"sha256 of {Path(name).name}": value for name, value in found.items()},
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """The split's questions with their ten answers."""
    path = folder / "annotations" / f"TextVQA_0.5.1_{split}.json"
    content = foreign_json.read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("data"), list) or not content["data"]:
        raise UserError(f"{path} is not in the format of TextVQA; it needs the list `data` of questions.")
    items = []
    for number, entry in enumerate(content["data"]):
        strict.require(entry, KEYS, f"{path}: data[{number}]")
        where = f"{path}: question {entry['question_id']!r}"
        items.append(
            Item(
                id=str(entry["question_id"]),
                images=(ImageRef(str(entry["image_id"]), _source(entry, options["images"], where)),),
                question=strict.text(entry, "question", where),
                references=strict.answers(entry, ANSWERS, where),
            )
        )
    check(items, path)
    return items


def _source(entry: dict[str, Any], images: str, where: str) -> str:
    if images not in FLICKR:
        return f"{images.rstrip('/')}/{entry['image_id']}.jpg"
    address = entry.get(images)
    if not isinstance(address, str) or not is_address(address):
        raise UserError(
            f"{where} has no web address as its `{images}`; choose another `images` in config/datasets.yaml."
        )
    return address
