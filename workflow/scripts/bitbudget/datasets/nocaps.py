"""nocaps: captions of Open Images photographs whose objects COCO does not name (Agrawal et al., ICCV 2019).

https://nocaps.org. Only the validation split has public captions; `extra.domain` is in-, near- or out-domain.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.datasets import coco_format
from bitbudget.items.item import Item

TRACKS = ("captioning",)
SPLITS = ("val",)
OPTIONS: dict[str, dict[str, Any]] = {
    "url": {
        "description": "Address of the validation captions; change it to use a mirror.",
        "type": "string",
        "default": "https://s3.amazonaws.com/nocaps/nocaps_val_4500_captions.json",
    },
}
REQUIRED: tuple[str, ...] = ()
LOCAL_PATHS: tuple[str, ...] = ()

ABOUT = "nocaps [@agrawal2019nocaps]"
PUBLISHED = True

FILE = "annotations/nocaps_val_4500_captions.json"


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Download the validation captions; no checksum is published, so the first one found is locked."""
    from bitbudget.fetching import download

    path = folder / FILE
    download.download(options["url"], path, partial=partial)
    found = files.sha256_of(path)
    return {
        "revision": "0.1",  # as named on the project's download page
        "licence": "images CC-BY-2.0 (Open Images); for the captions see https://nocaps.org",
        "source": options["url"],
        "files": {FILE: found},
        "lock": {f"sha256 of {Path(FILE).name}": found},
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """The 4500 images with ten captions each, and their domain."""
    path = folder / FILE
    return coco_format.read_captions(path, lambda image: coco_format.address_of(image, path), keep=("domain",))
