"""COCO's format of boxes around objects ("instances"), read strictly: what is wrong is said before a model sees it.

Format: https://cocodataset.org/#format-data, sections 1 (images) and 2 (object detection). Outlines (`segmentation`)
are not read. A box is x, y, width, height in pixels of the upright image, x and y those of its upper left corner.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitbudget.datasets import licences, strict
from bitbudget.datasets.names import plain
from bitbudget.errors import UserError
from bitbudget.items.item import ImageRef, Item, check
from bitbudget.untrusted import foreign_json
from bitbudget.untrusted.foreign_json import shown

IMAGE_KEYS = ("id", "file_name", "width", "height")
ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox")
CATEGORY_KEYS = ("id", "name")
UNANNOTATED = ("refuse", "keep", "drop")  # what to do with an image without an annotation
HIGHEST_ID = 2**31 - 1  # of a category: no detector has a label beyond
MARGIN = 1.0  # pixels that a box may reach beyond its image: COCO's own do so by rounding


def read_instances(
    path: Path, source_of: Callable[[dict[str, Any]], str], *, unannotated: str = "refuse", as_published: bool = False
) -> list[Item]:
    """The items of a COCO instances JSON, in the order of its images.

    `source_of` gives an image entry's source. An item's `extra` has `width` and `height` of the image in pixels, and
    its `objects`: `category_id`, `bbox`, `area` in square pixels (the box's where the annotation has none) and
    `iscrowd` (0 where the annotation does not say), and the image's `licence` and `credit` where the file has them.
    `unannotated` is one of `UNANNOTATED`. With `as_published`, boxes without an extent and boxes that reach beyond
    their image are taken as they are, for a benchmark that has such.

    Raises `UserError` that names the file and the entry: missing keys, an id used twice, a file name that leaves the
    folder, an image without a size, an annotation of an unknown image or category, a box that is none, or is not in
    its image, an image without an annotation where these are refused.
    """
    content = _read(path)
    categories = {category["id"] for category in _categories(content, path)}
    images: dict[int | str, dict[str, Any]] = {}
    for number, image in enumerate(content["images"]):
        where = f"{path}: images[{number}]"
        strict.require(image, IMAGE_KEYS, where)
        strict.path_inside(image["file_name"], where)
        if not all(type(image[side]) is int and image[side] > 0 for side in ("width", "height")):
            raise UserError(
                f"{where} has the size {image['width']!r} x {image['height']!r}; use whole numbers of pixels, "
                "as the upright image has them."
            )
        if image["id"] in images:
            raise UserError(f"{path} has the image id {image['id']!r} twice; every image needs an id of its own.")
        images[image["id"]] = image
    objects: dict[int | str, list[dict[str, Any]]] = {key: [] for key in images}
    seen: set[int | str] = set()
    for number, annotation in enumerate(content["annotations"]):
        strict.require(annotation, ANNOTATION_KEYS, f"{path}: annotations[{number}]")
        where = f"{path}: annotation {annotation['id']!r}"
        if annotation["id"] in seen:
            raise UserError(f"{path} has the annotation id {annotation['id']!r} twice; every one needs its own.")
        seen.add(annotation["id"])
        if annotation["image_id"] not in images:
            raise UserError(
                f"{where} is about the image {annotation['image_id']!r}, which is not among `images`; "
                "add the image or remove the annotation."
            )
        if annotation["category_id"] not in categories:
            raise UserError(
                f"{where} has the category {annotation['category_id']!r}, which is not among `categories`; "
                "add the category or correct the annotation."
            )
        box = _box(annotation, where)
        if not as_published:
            _check_place(box, images[annotation["image_id"]], where)
        objects[annotation["image_id"]].append(_object(annotation, box, where))
    bare = [key for key, found in objects.items() if not found]
    if bare and unannotated == "refuse":
        more = f" (and {len(bare) - 1} more)" if len(bare) > 1 else ""
        raise UserError(
            f"{path}: image {bare[0]!r}{more} has no annotation; annotate it, or say with the option `unannotated` of "
            "the data set what this means: keep (it shows none of the objects) or drop (leave it out)."
        )
    kept = {key: image for key, image in images.items() if objects[key] or unannotated == "keep"}
    if not any(objects.values()):
        raise UserError(f"{path} has no annotated image; it needs at least one.")
    items = [
        Item(
            id=str(key),
            images=(ImageRef(str(key), source_of(image)),),
            question=None,
            references=(),
            extra={"width": image["width"], "height": image["height"], "objects": objects[key]}
            | licences.of_image(image, content),
        )
        for key, image in kept.items()
    ]
    check(items, path)
    return items


def read_categories(path: Path) -> list[dict[str, Any]]:
    """The categories of a COCO instances JSON in its order: their `id` and `name`.

    Raises `UserError` that names the file and the entry: missing keys, an id that is no number or used twice, an empty
    name or one that two categories have, no category at all.
    """
    return _categories(_read(path), path)


def _read(path: Path) -> dict[str, Any]:
    content = foreign_json.read_json(path)
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in lists):
        raise UserError(
            f"{path} is not in the COCO instances format; it needs the lists `images`, `annotations` and `categories`."
        )
    return content


def _categories(content: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    found: dict[int, str] = {}
    for number, category in enumerate(content["categories"]):
        where = f"{path}: categories[{number}]"
        strict.require(category, CATEGORY_KEYS, where)
        key = category["id"]
        if not isinstance(key, int) or not 0 <= key <= HIGHEST_ID:
            raise UserError(f"{where} has {shown(key)} as its `id`; number the categories.")
        if key in found:
            raise UserError(f"{path} has the category id {key} twice; every category needs an id of its own.")
        found[key] = strict.text(category, "name", where)
    if not found:
        raise UserError(f"{path} lists no category; it needs at least one.")
    by_name: dict[str, int] = {}
    for key, name in found.items():
        other = by_name.setdefault(plain(name), key)
        if other != key:
            raise UserError(
                f"{path} calls both category {other} ({shown(found[other])}) and category {key} ({shown(name)}) by one "
                "name, without regard to capitals and underscores; rename one, or put the two together."
            )
    return [{"id": key, "name": name} for key, name in found.items()]


def _box(annotation: dict[str, Any], where: str) -> list[float]:
    """The box of an annotation: four finite numbers, which need not make sense."""
    box = annotation["bbox"]
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
        raise UserError(
            f"{where} has {shown(box)} as its `bbox`; use four finite numbers: x, y, width, height in pixels."
        )
    return [float(value) for value in box]


def _object(annotation: dict[str, Any], box: list[float], where: str) -> dict[str, Any]:
    """An item's object from its annotation."""
    area, crowd = annotation.get("area", box[2] * box[3]), annotation.get("iscrowd", 0)
    if not _is_number(area) or area < 0:
        raise UserError(f"{where} has {shown(area)} as its `area`; use a number of square pixels, or leave it out.")
    if crowd not in (0, 1):
        raise UserError(f"{where} has {shown(crowd)} as `iscrowd`; use 0 for an object and 1 for a crowd of them.")
    return {"category_id": annotation["category_id"], "bbox": box, "area": float(area), "iscrowd": int(crowd)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_place(box: list[float], image: dict[str, Any], where: str) -> None:
    """Raise `UserError` for a box without an extent, or that is not in its image."""
    x, y, width, height = box
    if width <= 0 or height <= 0:
        raise UserError(
            f"{where} has a box of {width:g} x {height:g} pixels; its third and fourth number are width and height: "
            "correct or remove it."
        )
    right, bottom = image["width"] + MARGIN, image["height"] + MARGIN
    if min(x, y) < -MARGIN or x + width > right or y + height > bottom:
        raise UserError(
            f"{where} has the box {box} (x, y, width, height in pixels), which is not inside image {image['id']!r} of "
            f"{image['width']} x {image['height']}; correct the box or the image's size."
        )
