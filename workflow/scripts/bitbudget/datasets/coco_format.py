"""The COCO captions format, read strictly: what is wrong in a file is said before a model sees it.

Format: https://cocodataset.org/#format-data, sections 1 (images) and 5 (captions).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bitbudget.datasets import licences, strict
from bitbudget.errors import UserError
from bitbudget.items.item import ImageRef, Item, check, is_address
from bitbudget.untrusted import foreign_json

IMAGE_KEYS = ("id", "file_name")
ANNOTATION_KEYS = ("id", "image_id", "caption")


def address_of(image: dict[str, Any], path: Path) -> str:
    """The official address of an image. Raises `UserError` where the entry has none."""
    address = image.get("coco_url")
    if not isinstance(address, str) or not is_address(address):
        raise UserError(f"{path}: image {image['id']!r} has no web address in `coco_url`; fetch the file again.")
    return address


def read_captions(path: Path, source_of: Callable[[dict[str, Any]], str], keep: Sequence[str] = ()) -> list[Item]:
    """The items of a COCO captions JSON, in the order of its images.

    `source_of` gives an image entry's source; the keys named in `keep` go from the image entry into the item's `extra`,
    and so do the image's `licence` and `credit` where the file has them.
    White space in captions is made single blanks, which no tokeniser tells from the original.

    Raises `UserError` that names the file and the entry: missing keys, an id used twice, a file name that leaves the
    folder, an annotation of an unknown image, an empty caption, an image without a caption.
    """
    content = foreign_json.read_json(path)
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in ("images", "annotations")):
        raise UserError(f"{path} is not in the COCO captions format; it needs the lists `images` and `annotations`.")
    images: dict[int | str, dict[str, Any]] = {}
    for number, image in enumerate(content["images"]):
        strict.require(image, IMAGE_KEYS, f"{path}: images[{number}]")
        strict.path_inside(image["file_name"], f"{path}: images[{number}]")
        if image["id"] in images:
            raise UserError(f"{path} has the image id {image['id']!r} twice; every image needs an id of its own.")
        images[image["id"]] = image
    captions: dict[int | str, list[str]] = {key: [] for key in images}
    seen: set[int | str] = set()
    for number, annotation in enumerate(content["annotations"]):
        strict.require(annotation, ANNOTATION_KEYS, f"{path}: annotations[{number}]")
        if annotation["id"] in seen:
            raise UserError(f"{path} has the annotation id {annotation['id']!r} twice; every one needs its own.")
        seen.add(annotation["id"])
        if annotation["image_id"] not in captions:
            raise UserError(
                f"{path}: annotation {annotation['id']!r} is about the image {annotation['image_id']!r}, "
                "which is not among `images`; add the image or remove the annotation."
            )
        text = annotation["caption"]
        if not isinstance(text, str) or not text.split():
            raise UserError(f"{path}: annotation {annotation['id']!r} has no text as its caption; write or remove it.")
        captions[annotation["image_id"]].append(" ".join(text.split()))
    bare = [key for key, texts in captions.items() if not texts]
    if bare:
        more = f" (and {len(bare) - 1} more)" if len(bare) > 1 else ""
        raise UserError(f"{path}: image {bare[0]!r}{more} has no caption; add one or remove the image from `images`.")
    if not images:
        raise UserError(f"{path} lists no image; it needs at least one.")
    items = [
        Item(
            id=str(key),
            images=(ImageRef(str(key), source_of(image)),),
            question=None,
            references=tuple(captions[key]),
            extra={name: image[name] for name in keep if name in image} | licences.of_image(image, content),
        )
        for key, image in images.items()
    ]
    check(items, path)
    return items
