"""Any folder of images with a captions file in the COCO format."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.datasets import coco_format
from bitbudget.errors import UserError
from bitbudget.items import Item

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

FILE = "annotations/captions.json"


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Read the captions file strictly, check that every image is there, and keep a copy of the captions.

    The images stay where they are. Raises `UserError` for the first thing that is wrong.
    """
    images, annotations = Path(options["images"]), Path(options["annotations"])
    if not images.is_dir():
        raise UserError(f"the image folder {images} of a local-captions data set does not exist; name a folder.")
    items = coco_format.read_captions(annotations, lambda image: image["file_name"])
    missing = [item.images[0].source for item in items if not (images / item.images[0].source).is_file()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(
            f"{annotations} lists {missing[0]}{more}, which is not in the image folder {images}; "
            "add the file or remove its entry."
        )
    target = folder / FILE
    with files.written_whole(target) as temporary:
        shutil.copyfile(annotations, temporary)
    found = files.sha256_of(target)
    return {
        "revision": f"sha256:{found}",
        "licence": None,  # only the entry in config/datasets.yaml can say
        "source": str(annotations),
        "files": {FILE: found},
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """All images with their captions; the one split is called `all`."""
    images = Path(options["images"]).resolve()
    return coco_format.read_captions(folder / FILE, lambda image: str(images / image["file_name"]))
