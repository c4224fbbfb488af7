"""Captioning sets on the Hugging Face Hub, through the `datasets` library, at one revision.

The rows are written as image files and a COCO-format captions file, so that all else reads them like any other set.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.datasets import coco_format, image_rows
from bitbudget.errors import UserError, lack_in_one_sentence
from bitbudget.items.item import Item
from bitbudget.untrusted import foreign_json

TRACKS = ("captioning",)
SPLITS = None
OPTIONS: dict[str, dict[str, Any]] = {
    "repo": {
        "description": "Name on the Hub, `owner/name`. Sets that need code of their own to load are not supported.",
        "type": "string",
        "minLength": 1,
    },
    "revision": {
        "description": "Commit of the repository; empty: the newest at the first download, held to from then on.",
        "type": "string",
        "pattern": "^([0-9a-f]{40})?$",
        "default": "",
    },
    "config": {
        "description": "Configuration (subset) of the set, where it has several.",
        "type": ["string", "null"],
        "default": None,
    },
    "splits": {
        "description": "The splits to fetch, by their names on the Hub; a study's split is one of them.",
        "type": "array",
        "items": {"type": "string", "pattern": "^[A-Za-z0-9._-]+$"},
        "minItems": 1,
        "default": ["test"],
    },
    "image_column": {"description": "Column of the image.", "type": "string", "default": "image"},
    "caption_column": {
        "description": "Column of the captions: a string or a list of strings a row.",
        "type": "string",
        "default": "caption",
    },
    "id_column": {
        "description": "Column of the image's id; without one the row's number in the pinned revision is the id.",
        "type": ["string", "null"],
        "default": None,
    },
}
REQUIRED = ("repo",)
LOCAL_PATHS: tuple[str, ...] = ()

ABOUT = "captioned pictures of a repository on the Hugging Face Hub"


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Download the splits, and write their images and captions.

    Raises `UserError` where repository, revision, split or column cannot be had, and for a row without a usable image,
    id or caption.
    """
    commit, licence = _resolve(options["repo"], options["revision"] or None)
    found = {}
    for split in options["splits"]:
        rows = _load(options, commit, split, partial)
        name = f"annotations/captions_{split}.json"
        files.write_json(folder / name, _write_images(rows, options, folder, split))
        found[name] = files.sha256_of(folder / name)
        read_items(options, folder, split)
    return {
        "revision": commit,
        "licence": licence,
        "source": f"https://huggingface.co/datasets/{options['repo']}",
        "files": found,
        "lock": {} if options["revision"] else {"revision": commit},
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """The rows of a fetched split."""
    if split not in options["splits"]:
        raise UserError(
            f"the split {split!r} of {options['repo']} was not fetched; choose one of {', '.join(options['splits'])}, "
            "or add it to `splits` in config/datasets.yaml."
        )
    return coco_format.read_captions(
        folder / "annotations" / f"captions_{split}.json", lambda image: f"images/{image['file_name']}"
    )


def _resolve(repo: str, revision: str | None) -> tuple[str, str | None]:
    """The commit that a revision (None: the newest) stands for, and the licence, where the repository states one."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

    try:
        info = HfApi().dataset_info(repo, revision=revision)
    except (HTTPError, OfflineModeIsEnabled, OSError, ValueError) as fault:
        wanted = f"{repo} at revision {revision}" if revision else repo
        raise UserError(
            f"the Hub data set {wanted} cannot be had ({_first_line(fault)}); "
            "check its name and revision, the network, and whether it asks for a login."
        ) from None
    licence = (info.card_data or {}).get("license")
    return info.sha, ", ".join(licence) if isinstance(licence, list) else licence


def _load(options: dict[str, Any], commit: str, split: str, partial: Path) -> Iterable[dict[str, Any]]:
    """The rows of a split, with images as undecoded bytes."""
    import datasets

    try:
        rows = datasets.load_dataset(
            options["repo"], options["config"], split=split, revision=commit, cache_dir=str(partial / "hub")
        )
    except (OSError, ValueError, RuntimeError) as fault:  # what `datasets` raises for names, splits and the network
        if lack_in_one_sentence(fault) is not None:
            raise
        raise UserError(
            f"the split {split!r} of the Hub data set {options['repo']} cannot be loaded ({_first_line(fault)})."
        ) from fault
    for option in ("image_column", "caption_column", "id_column"):
        if options[option] is not None and options[option] not in rows.column_names:
            raise UserError(
                f"{options['repo']} has no column {options[option]!r} ({option}); "
                f"its columns are: {', '.join(rows.column_names)}."
            )
    return rows.cast_column(options["image_column"], datasets.Image(decode=False))


def _write_images(
    rows: Iterable[dict[str, Any]], options: dict[str, Any], folder: Path, split: str
) -> dict[str, list[dict[str, Any]]]:
    """Write the images as they are, byte for byte, and return the captions in the COCO format."""
    from tqdm import tqdm

    images, annotations = [], []
    for number, row in enumerate(tqdm(rows, desc=f"images of {split}")):
        key = row[options["id_column"]] if options["id_column"] else number
        if isinstance(key, bool) or not isinstance(key, int | str):
            raise UserError(
                f"row {number} of {options['repo']} has {foreign_json.shown(key)} in {options['id_column']!r}; choose "
                "a column of whole numbers or strings as id_column, or none."
            )
        data = _bytes_of(row[options["image_column"]], options, number)
        suffix = image_rows.suffix_of(data, f"row {number} of {options['repo']}")
        name = f"{split}/{number:06d}{suffix}"
        with files.written_whole(folder / "images" / name) as temporary:
            temporary.write_bytes(data)
        images.append({"id": key, "file_name": name})
        captions = row[options["caption_column"]]
        for caption in captions if isinstance(captions, list) else [captions]:
            if not isinstance(caption, str) or not caption.split():
                raise UserError(
                    f"row {number} of {options['repo']} has {foreign_json.shown(caption)} as a caption in "
                    f"{options['caption_column']!r}; choose another caption_column."
                )
            annotations.append({"id": len(annotations) + 1, "image_id": key, "caption": caption})
    return {"images": images, "annotations": annotations}


def _bytes_of(image: dict[str, Any] | None, options: dict[str, Any], number: int) -> bytes:
    if image and image["bytes"]:
        return image["bytes"]
    if image and image["path"] and Path(image["path"]).is_file():
        return Path(image["path"]).read_bytes()
    raise UserError(
        f"row {number} of {options['repo']} has no image in {options['image_column']!r}; choose another image_column."
    )


def _first_line(fault: Exception) -> str:
    return str(fault).strip().split("\n")[0].rstrip(".") or type(fault).__name__
