"""Which objects the images of a study show, as far as its data set knows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from bitbudget import contracts, registry
from bitbudget.datasets import instances_format
from bitbudget.errors import UserError

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
    """Why there is no ground truth of objects, of a data set kind and a track."""
    reader = registry.module_of("dataset", kind)
    return (
        registry.module_of("track", track).WHY_NO_OBJECTS
        or contracts.of(reader, "WHY_NO_OBJECTS")
        or f"the data set kind {kind} does not know what objects its images show; {REMEDY}."
    )


def read(kind: str, folder: Path, split: str, ids: Collection[str], instances: Path | None) -> Truth | None:
    """The objects of the images with these ids, of `instances` where that is given; None where there are none to read.

    Raises `UserError` where a file is not in COCO's format, or does not know one of the images.
    """
    own = contracts.of(registry.module_of("dataset", kind), "OBJECTS")
    path = instances or (folder / own.format(split=split) if own else None)
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
