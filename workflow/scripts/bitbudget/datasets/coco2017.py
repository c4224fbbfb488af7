"""What the data sets of COCO 2017 have in common: the official zip of annotations."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.datasets import zipped

SPLITS = ("val", "train")
OPTIONS: dict[str, dict[str, Any]] = {
    "url": {
        "description": "Address of the official annotations zip; change it to use a mirror, checksums stay the same.",
        "type": "string",
        "default": "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
    },
}
ZIP = "annotations_trainval2017.zip"
LIMITS = {
    "val": "The {items} are of COCO's split val, because its test annotations are not published; developers of the "
    "models may have tuned on it.",
}


def name_of(kind: str, split: str) -> str:
    """The annotation file of a kind (`captions`, `instances`) and split, in the zip and in the data set's folder."""
    return f"annotations/{kind}_{split}2017.json"


def fetch(names: Sequence[str], url: str, folder: Path, partial: Path, sha256: Mapping[str, str]) -> dict[str, Any]:
    """Download the annotations zip and keep these files of it, named as `name_of` names them.

    `sha256` has the checksums that are known, by the files' names. Raises `UserError` where the download fails, is no
    zip, or holds another file than a known one.
    """
    from bitbudget.fetching import download

    archive = partial / ZIP
    if not archive.exists():  # whole: a download takes this name only when it is complete
        download.download(url, archive, partial=partial)
    found = {}
    with (
        download.taken_up(archive, f"{url} is not the annotations zip of COCO 2017"),
        zipfile.ZipFile(archive) as content,
    ):
        for name in names:
            short = Path(name).name
            found[name] = zipped.extract(content, name, folder / name, sha256.get(short), f"{short} from {url}")
    zip_hash = files.sha256_of(archive)
    archive.unlink()
    return {
        "revision": "2017-09-01",  # `info.date_created` of the annotation files
        "licence": "annotations CC-BY-4.0; images under their own licences",
        "source": url,
        "files": found,
        "lock": {f"sha256 of {Path(name).name}": value for name, value in found.items()}
        | {f"sha256 of {ZIP}": zip_hash},
    }
