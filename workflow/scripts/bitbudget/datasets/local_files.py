"""A user's own folder of images and its annotation file: checked against each other, and the file kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.datasets import strict
from bitbudget.errors import UserError
from bitbudget.items.item import Item

LIMITS = {"": "The data are the author's own, so nobody else may be able to repeat this."}


def check_folder(kind: str, images: Path) -> None:
    """Raise `UserError` where the folder of a data set's images is none."""
    if not images.is_dir():
        is_not = "is no folder" if images.exists() else "does not exist"
        raise UserError(f"the image folder {images} of a {kind} data set {is_not}; name a folder.")


def keep(
    kind: str, options: dict[str, Any], read: Callable[[Path], list[Item]], folder: Path, file: str
) -> dict[str, Any]:
    """Read the annotations strictly, check that every image is there, and keep a copy of the annotations as `file`.

    `read` gives the items of the annotation file, with the images' places inside their folder as sources. The images
    stay where they are. Returns what `fetch` of a data set does. Raises `UserError` for the first thing that is wrong.
    """
    images, annotations = Path(options["images"]), Path(options["annotations"])
    check_folder(kind, images)
    missing = [item.images[0].source for item in read(annotations) if not (images / item.images[0].source).is_file()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(
            f"{annotations} lists {strict.in_words(missing[0])}{more}, which is not in the image folder {images}; "
            "add the file or remove its entry."
        )
    with files.written_whole(folder / file) as temporary:
        shutil.copyfile(annotations, temporary)
    found = files.sha256_of(folder / file)
    return {
        "revision": f"sha256:{found}",
        "licence": None,  # only the entry in config/datasets.yaml can say
        "source": str(annotations),
        "files": {file: found},
    }
