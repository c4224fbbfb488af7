"""COCO 2017 captions: the official annotations, and each image from its official address.

https://cocodataset.org/#download. Annotations are CC BY 4.0; each image has its own licence, named in the annotations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget.datasets import coco2017, coco_format
from bitbudget.items.item import Item

TRACKS = ("captioning",)
SPLITS = coco2017.SPLITS
OPTIONS = coco2017.OPTIONS
REQUIRED: tuple[str, ...] = ()
LOCAL_PATHS: tuple[str, ...] = ()

ABOUT = "COCO 2017 Captions [@lin2014coco; @chen2015captions]"
PUBLISHED = True
LIMITS = coco2017.LIMITS
OBJECTS = coco2017.name_of("instances", "{split}")  # kept of the split val
WHY_NO_OBJECTS = (
    "COCO's objects are kept of the split val only; instances_train2017.json of the official zip of annotations, named "
    "as `inspection.instances` in the study, would show it."
)

ZIP = coco2017.ZIP
# Verified by hand where a checksum stands; the others are locked at the first download.
SHA256 = {"captions_val2017.json": "1018a8760deaf1fc71be2f1b8da1a1348b9c35994af4322ca2fd795a78abb79c"}


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Download the annotations zip and keep its two captions files, and the objects of the validation images.

    The objects are for the inspection of captions (which of those named are in the image?); those of the training
    images would be half a gigabyte.

    Raises `UserError` where the download fails, is no zip, or holds another captions_val2017.json than the pinned one.
    """
    names = [*(coco2017.name_of("captions", split) for split in SPLITS), coco2017.name_of("instances", "val")]
    return coco2017.fetch(names, options["url"], folder, partial, SHA256)


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """The split's images with their captions (five, seldom six or seven)."""
    path = folder / coco2017.name_of("captions", split)
    return coco_format.read_captions(path, lambda image: coco_format.address_of(image, path))
