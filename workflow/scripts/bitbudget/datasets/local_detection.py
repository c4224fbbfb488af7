"""Any folder of images with boxes in the COCO format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget.datasets import instances_format, local_files
from bitbudget.items.item import Item

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

ABOUT = "the author's own pictures with boxes"
LIMITS = local_files.LIMITS

FILE = "annotations/instances.json"


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Read the annotations strictly, check that every image is there, and keep a copy of the annotations.

    The images stay where they are. Raises `UserError` for the first thing that is wrong.
    """
    return local_files.keep(
        "local-detection",
        options,
        lambda path: instances_format.read_instances(
            path, lambda image: image["file_name"], unannotated=options["unannotated"]
        ),
        folder,
        FILE,
    )


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """All images with their objects; the one split is called `all`."""
    images = Path(options["images"]).resolve()
    return instances_format.read_instances(
        folder / FILE, lambda image: str(images / image["file_name"]), unannotated=options["unannotated"]
    )


def read_categories(options: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The categories of the annotations, in their order."""
    return instances_format.read_categories(folder / FILE)
