"""Any folder of images with a captions file in the COCO format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget.datasets import coco_format, local_files
from bitbudget.items.item import Item

TRACKS = ("captioning",)
SPLITS = ("all",)
OPTIONS: dict[str, dict[str, Any]] = {
    "images": {
        "description": "Folder of the images; relative paths start at the repository's root.",
        "type": "string",
        "minLength": 1,
    },
    "annotations": {
        "description": "COCO-format captions JSON; its `file_name`s are paths inside the image folder.",
        "type": "string",
        "minLength": 1,
    },
}
REQUIRED = ("images", "annotations")
LOCAL_PATHS = ("images", "annotations")

ABOUT = "the author's own captioned pictures"
LIMITS = local_files.LIMITS

FILE = "annotations/captions.json"


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Read the captions file strictly, check that every image is there, and keep a copy of the captions.

    The images stay where they are. Raises `UserError` for the first thing that is wrong.
    """
    return local_files.keep(
        "local-captions",
        options,
        lambda path: coco_format.read_captions(path, lambda image: image["file_name"]),
        folder,
        FILE,
    )


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """All images with their captions; the one split is called `all`."""
    images = Path(options["images"]).resolve()
    return coco_format.read_captions(folder / FILE, lambda image: str(images / image["file_name"]))
