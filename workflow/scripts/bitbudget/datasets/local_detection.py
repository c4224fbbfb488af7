"""Any folder of images with boxes in the COCO format."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.datasets import instances_format
from bitbudget.errors import UserError
from bitbudget.items import Item

TRACKS = ("detection",)
SPLITS = ("all",)
OPTIONS: dict[str, dict[str, Any]] = {
    "images": {
        "description": "Folder of the images; relative paths start at the repository's root.",
        "type": "string",
        "minLength": 1,
    },
    "annotations": {
        "description": "COCO-format instances JSON; its `file_name`s are paths inside the image folder.",
        "type": "string",
        "minLength": 1,
    },
    "unannotated": {
        "description": "What to do with an image that is listed without any annotation. refuse: it may have been "
        "forgotten, so stop and name it; keep: it shows none of the objects, and whatever is found there is wrong; "
        "drop: leave it out.",
        "enum": list(instances_format.UNANNOTATED),
        "default": "refuse",
    },
}
REQUIRED = ("images", "annotations")
LOCAL_PATHS = ("images", "annotations")

FILE = "annotations/instances.json"


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Read the annotations strictly, check that every image is there, and keep a copy of the annotations.

    The images stay where they are. Raises `UserError` for the first thing that is wrong.
    """
    images, annotations = Path(options["images"]), Path(options["annotations"])
    if not images.is_dir():
        raise UserError(f"the image folder {images} of a local-detection data set does not exist; name a folder.")
    items = instances_format.read_instances(
        annotations, lambda image: image["file_name"], unannotated=options["unannotated"]
    )
    missing = [item.images[0].source for item in items if not (images / item.images[0].source).is_file()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(
            f"{annotations} lists {missing[0]}{more}, which is not in the image folder {images}; "
            "add the file or remove its entry."
        )
    with files.written_whole(folder / FILE) as temporary:
        shutil.copyfile(annotations, temporary)
    found = files.sha256_of(folder / FILE)
    return {
        "revision": f"sha256:{found}",
        "licence": None,  # only the entry in config/datasets.yaml can say
        "source": str(annotations),
        "files": {FILE: found},
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """All images with their objects; the one split is called `all`."""
    images = Path(options["images"]).resolve()
    return instances_format.read_instances(
        folder / FILE, lambda image: str(images / image["file_name"]), unannotated=options["unannotated"]
    )


def read_categories(options: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The categories of the annotations, in their order."""
    return instances_format.read_categories(folder / FILE)
