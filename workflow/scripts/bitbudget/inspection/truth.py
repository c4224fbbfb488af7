"""Which objects the images of a study show, as far as its data set knows.

This is not part of the data sets' own modules: a change to one of these fetches its data again, and all that was made
of them would be made again too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from bitbudget.datasets import instances_format
from bitbudget.errors import UserError

# Where the objects of a data set's split stand in its own folder.
FILES = {
    "demo-scenes": "annotations/instances_val.json",
    "coco2017-captions": "annotations/instances_{split}2017.json",  # kept of the split val
}
REMEDY = (
    "a file of objects in COCO's format (`instances`) of these very images, named as `inspection.instances` in the "
    "study, would show it"
)
NO_WORDS = "no name of a category holds a word or a number that could be looked for; name the categories in words."


@dataclass(frozen=True)
class Truth:
    """The categories that were looked for in the images, and of each image's id those that it shows."""

    categories: tuple[str, ...]
    shown: dict[str, set[str]]
    source: str  # in words


def why_none(kind: str, track: str) -> str:
    """Why there is no ground truth of objects."""
    if track != "captioning":
        return {
            "vqa": "an answer to a question is not a description: what it names is right or wrong in the scores.",
            "lambada": "a word that ends a passage describes no image.",
            "detection": "boxes are no text; what a detector finds that is not there is in its scores.",
        }.get(track, f"the answers of the track {track} do not describe images.")
    if kind == "coco2017-captions":
        return (
            "COCO's objects are kept of the split val only; instances_train2017.json of the official zip of "
            "annotations, named as `inspection.instances` in the study, would show it."
        )
    return f"the data set kind {kind} does not know what objects its images show; {REMEDY}."


def read(kind: str, track: str, folder: Path, split: str, ids: Collection[str], instances: Path | None) -> Truth | None:
    """The objects of the images with these ids, of `instances` where that is given; None where there are none to read.

    Raises `UserError` where a file is not in COCO's format, or does not know one of the images.
    """
    if track != "captioning":
        return None
    path = instances or (folder / FILES[kind].format(split=split) if kind in FILES else None)
    if path is None or not (instances or path.is_file()):
        return None
    names = {one["id"]: one["name"] for one in instances_format.read_categories(path)}
    wanted = set(ids)
    shown = {
        item.id: {names[one["category_id"]] for one in item.extra["objects"]}
        for item in instances_format.read_instances(
            path, lambda image: image["file_name"], unannotated="keep", as_published=True
        )
        if item.id in wanted
    }
    missing = sorted(wanted - shown.keys())
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(
            f"{path} does not have the image {missing[0]!r}{more} of the study; name the objects of the same images."
        )
    categories = tuple(dict.fromkeys(names.values()))
    return Truth(categories, shown, f"the {len(categories)} categories of {path.name}")
