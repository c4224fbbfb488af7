"""COCO 2017 captions: the official annotations, and each image from its official address.

https://cocodataset.org/#download. Annotations are CC BY 4.0; each image has its own licence, named in the annotations.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.datasets import coco_format
from bitbudget.errors import UserError
from bitbudget.items import Item

TRACKS = ("captioning",)
SPLITS = ("val", "train")
OPTIONS: dict[str, dict[str, Any]] = {
    "url": {
        "description": "Address of the official annotations zip; change it to use a mirror, checksums stay the same.",
        "type": "string",
        "default": "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
    },
}
REQUIRED: tuple[str, ...] = ()
LOCAL_PATHS: tuple[str, ...] = ()

ZIP = "annotations_trainval2017.zip"
# Verified by hand where a checksum stands; the others are locked at the first download.
SHA256 = {"captions_val2017.json": "1018a8760deaf1fc71be2f1b8da1a1348b9c35994af4322ca2fd795a78abb79c"}


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Download the annotations zip and keep its two captions files.

    Raises `UserError` where the download fails, is no zip, or holds another captions_val2017.json than the pinned one.
    """
    from bitbudget import download

    archive = partial / ZIP
    if not archive.exists():  # whole: a download takes this name only when it is complete
        download.download(options["url"], archive, partial=partial)
    found = {}
    try:
        with zipfile.ZipFile(archive) as content:
            for split in SPLITS:
                name = f"captions_{split}2017.json"
                target = folder / "annotations" / name
                with files.written_whole(target) as temporary:
                    with content.open(f"annotations/{name}") as packed, temporary.open("wb") as out:
                        shutil.copyfileobj(packed, out, 2**20)
                    found[f"annotations/{name}"] = files.sha256_of(temporary)
                    download.check_sha256(temporary, SHA256.get(name), name=f"{name} from {options['url']}")
    except (zipfile.BadZipFile, KeyError, UserError) as fault:
        archive.unlink()
        if isinstance(fault, UserError):
            raise
        raise UserError(
            f"{options['url']} is not the annotations zip of COCO 2017 ({fault}); check the address and run again."
        ) from None
    zip_hash = files.sha256_of(archive)
    archive.unlink()
    return {
        "revision": "2017-09-01",  # `info.date_created` of the annotation files
        "licence": "annotations CC-BY-4.0; images under their own licences",
        "source": options["url"],
        "files": found,
        "lock": {f"sha256 of {Path(name).name}": value for name, value in found.items()}
        | {f"sha256 of {ZIP}": zip_hash},
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """The split's images with their captions (five, seldom six or seven)."""
    path = folder / "annotations" / f"captions_{split}2017.json"
    return coco_format.read_captions(path, lambda image: coco_format.address_of(image, path))
