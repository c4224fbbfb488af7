"""VQA v2: the official questions and answers about COCO 2014, and each image from its official address.

https://visualqa.org/download.html (Goyal et al., CVPR 2017). Questions and answers are CC BY 4.0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget.datasets import vqa_format
from bitbudget.errors import UserError
from bitbudget.items.item import Item

TRACKS = ("vqa",)
SPLITS = ("val", "train")
SHOTS_SPLIT = "train"
OPTIONS: dict[str, dict[str, Any]] = {
    "url": {
        "description": "Folder of the four official zips; change it to use a mirror, checksums stay the same.",
        "type": "string",
        "default": "https://s3.amazonaws.com/cvmlp/vqa/mscoco/vqa",
    },
    "images": {
        "description": "What holds the folders val2014 and train2014 of COCO's images: a web address, or an absolute "
        "path where you have them already.",
        "type": "string",
        "default": "http://images.cocodataset.org",
    },
}
REQUIRED: tuple[str, ...] = ()
LOCAL_PATHS: tuple[str, ...] = ()

ABOUT = "VQA v2 [@goyal2017vqa]"
PUBLISHED = True

# What each zip holds, and the zip's SHA-256 as facebookresearch/ParlAI (parlai/tasks/vqa_v2/build.py) checks it.
ZIPS = {
    "v2_Questions_Val_mscoco.zip": "v2_OpenEnded_mscoco_val2014_questions.json",
    "v2_Annotations_Val_mscoco.zip": "v2_mscoco_val2014_annotations.json",
    "v2_Questions_Train_mscoco.zip": "v2_OpenEnded_mscoco_train2014_questions.json",
    "v2_Annotations_Train_mscoco.zip": "v2_mscoco_train2014_annotations.json",
}
SHA256 = {
    "v2_Questions_Val_mscoco.zip": "e71f6c5c3e97a51d050f28243e262b28cd0c48d11a6b4632d769d30d3f93222a",
    "v2_Annotations_Val_mscoco.zip": "0caae7c8d1dafd852727f5ac046bc1efca9b72026bd6ffa34fc489f3a7b3291e",
    "v2_Questions_Train_mscoco.zip": "05a64b6e2582d06d7585f5429674a9a33851878be1bff9f8668cdcf792df611e",
    "v2_Annotations_Train_mscoco.zip": "fb101bcefe91422c543c2bb6d70af11eb3119d0ff745ae283d09acdf66250853",
}


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Download the four zips (about 43 MB) and keep their questions and annotations (about 0.6 GB)."""
    from bitbudget.datasets import zipped

    base = options["url"].rstrip("/")
    found, lock = {}, {}
    for archive, name in ZIPS.items():
        kept, zip_hash = zipped.fetch_members(
            f"{base}/{archive}", [name], folder / "annotations", partial, sha256=SHA256.get(archive)
        )
        found[f"annotations/{name}"] = kept[name]
        lock |= {f"sha256 of {name}": kept[name], f"sha256 of {archive}": zip_hash}
    return {
        "revision": "2017-04-26",  # the day of the files' last change, as the download page says
        "licence": "questions and answers CC-BY-4.0; images under their own licences",
        "source": options["url"],
        "files": found,
        "lock": lock,
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """The split's questions with their ten answers; `extra` has the official question type and answer type."""
    annotations = folder / "annotations"
    questions = annotations / f"v2_OpenEnded_mscoco_{split}2014_questions.json"
    base = f"{options['images'].rstrip('/')}/{split}2014"

    def source_of(question: dict[str, Any]) -> str:
        number = question["image_id"]
        if not isinstance(number, int):
            raise UserError(
                f"{questions}: question {question['question_id']!r} has the image {number!r}; fetch it again."
            )
        return f"{base}/COCO_{split}2014_{number:012d}.jpg"

    return vqa_format.read_questions(questions, annotations / f"v2_mscoco_{split}2014_annotations.json", source_of)
