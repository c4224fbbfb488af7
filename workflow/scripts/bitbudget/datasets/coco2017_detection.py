"""COCO 2017 objects: the official boxes of 80 categories, and each image from its official address.

https://cocodataset.org/#download. Annotations are CC BY 4.0; each image has its own licence, named in the annotations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget.datasets import coco2017, coco_format, instances_format
from bitbudget.items.item import Item

TRACKS = ("detection",)
SPLITS = coco2017.SPLITS
OPTIONS = coco2017.OPTIONS
REQUIRED: tuple[str, ...] = ()
LOCAL_PATHS: tuple[str, ...] = ()

ABOUT = "COCO 2017 [@lin2014coco]"
PUBLISHED = True
LIMITS = coco2017.LIMITS

SHA256: dict[str, str] = {}  # none was verified by hand: all are locked at the first download


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Download the annotations zip and keep its two files of instances (about 0.5 GB).

    Raises `UserError` where the download fails or is not that zip.
    """
    names = [coco2017.name_of("instances", split) for split in SPLITS]
    return coco2017.fetch(names, options["url"], folder, partial, SHA256)


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """The split's images with their objects.

    The official evaluation counts the images without an object as well (whatever is found there is wrong), and takes
    every box as it is; so does this. Two boxes of the train split have no height (cocodataset/cocoapi#355).
    """
    path = folder / coco2017.name_of("instances", split)
    return instances_format.read_instances(
        path, lambda image: coco_format.address_of(image, path), unannotated="keep", as_published=True
    )


def read_categories(options: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The 80 categories, the same in both splits; their ids go to 90."""
    return instances_format.read_categories(folder / coco2017.name_of("instances", "val"))
