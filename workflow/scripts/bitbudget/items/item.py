"""Items: what a model is asked and what a right answer is, in one form for every track.

An item of the captioning track has one image and its reference captions; one of visual question answering has also a
question, and its references are the answers. One of a language track has no image: its question is a passage without
its last word, and its reference that word. A study's items stand in `items.jsonl`, one object a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.errors import UserError

SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def is_address(source: str) -> bool:
    """Whether a source is on the web."""
    return source.startswith(("http://", "https://"))


@dataclass(frozen=True)
class ImageRef:
    """An image: its id, and its source.

    `id` can be part of a file name and is unique in the data set. `source` is a web address, a path relative to
    `resources/datasets/{dataset}/`, or an absolute path.
    """

    id: str
    source: str

    @property
    def is_remote(self) -> bool:
        """Whether the image has to be downloaded."""
        return is_address(self.source)


@dataclass(frozen=True)
class Item:
    """One thing to ask a model. `extra` holds what only some data sets know, e.g. the domain of a nocaps image."""

    id: str
    images: tuple[ImageRef, ...]
    question: str | None
    references: tuple[str, ...]
    extra: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The item as its line in `items.jsonl`."""
        return {
            "id": self.id,
            "images": [{"id": image.id, "source": image.source} for image in self.images],
            "question": self.question,
            "references": list(self.references),
            "extra": self.extra,
        }

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Item:
        """The item of a line in `items.jsonl`. Raises `KeyError` or `TypeError` where the line is none."""
        images = tuple(ImageRef(image["id"], image["source"]) for image in row["images"])
        return cls(row["id"], images, row["question"], tuple(row["references"]), dict(row["extra"]))


def check(items: Iterable[Item], where: Path | str) -> None:
    """Raise a `UserError` that names `where` for ids that are used twice or cannot stand in a file name."""
    seen: set[str] = set()
    sources: dict[str, str] = {}
    for item in items:
        if item.id in seen:
            raise UserError(f"{where} has the item id {item.id!r} twice; every item needs an id of its own.")
        seen.add(item.id)
        for image in item.images:
            if not SAFE_ID.fullmatch(image.id):
                raise UserError(
                    f"{where} has the image id {image.id!r}, which cannot be a file's name; "
                    "use at most 128 letters, digits, dots, dashes and underscores."
                )
            if sources.setdefault(image.id, image.source) != image.source:
                raise UserError(
                    f"{where} gives the image id {image.id!r} to both {sources[image.id]} and {image.source}; "
                    "every image needs an id of its own."
                )


def write(path: Path, items: Iterable[Item]) -> None:
    """Write `items.jsonl`, whole or not at all. Raises `UserError` for ids that are used twice."""
    rows = list(items)
    check(rows, path)
    files.write_jsonl(path, (item.to_dict() for item in rows))


def read(path: Path) -> list[Item]:
    """Read `items.jsonl`. Raises `UserError` that names file and line for anything that is not an item."""
    found = []
    for number, row in enumerate(files.read_jsonl(path), start=1):
        try:
            found.append(Item.from_dict(row))
        except (KeyError, TypeError, ValueError):
            raise UserError(
                f"{path}, line {number}, is not an item (id, images, question, references, extra); "
                "make the file again with select_subset."
            ) from None
    check(found, path)
    return found
