"""LAMBADA as OpenAI gave it out with GPT-2: the 5153 test passages in ordinary writing, not the tokenised original.

Paperno et al., ACL 2016 (arXiv 1606.06031), in the text that Radford et al. (2019) evaluated on: upper and lower case,
punctuation and line breaks as in the books. The kind `lambada-standard` is the original, lower-cased and tokenised;
accuracies on the two differ by some ten points (EleutherAI/lm-evaluation-harness, issue 356) and must never stand side
by side. lm-evaluation-harness calls this one `lambada_openai`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget.datasets import passage_rows
from bitbudget.errors import UserError
from bitbudget.items.item import Item

TRACKS = ("lambada",)
SPLITS = ("test",)
CALIBRATION_SPLIT = None  # passages of the test split that are not evaluated: OpenAI gave out no other
OPTIONS: dict[str, dict[str, Any]] = {
    "url": {
        "description": "Address of the file; change it to use a mirror, the checksum stays the same.",
        "type": "string",
        "default": "https://openaipublic.blob.core.windows.net/gpt-2/data/lambada_test.jsonl",
    },
}
REQUIRED: tuple[str, ...] = ()
LOCAL_PATHS: tuple[str, ...] = ()

ABOUT = "LAMBADA [@paperno2016lambada] in the version of the GPT-2 authors [@radford2019language]"
PUBLISHED = True

FILE = "passages/lambada_openai_test.jsonl"
SHA256 = "4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226"
PASSAGES = 5153


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Download the file (2 MB). Raises `UserError` where it cannot be had, or is not the one that is known."""
    from bitbudget.fetching import download

    download.download(options["url"], folder / FILE, sha256=SHA256, partial=partial)
    found = len(passage_rows.read_passages(folder / FILE))
    if found != PASSAGES:
        raise UserError(f"{options['url']} holds {found} passages in place of {PASSAGES}; check the address.")
    return {
        "revision": f"sha256:{SHA256}",
        "licence": "CC-BY-4.0",
        "source": f"{options['url']} (OpenAI's variant: cased, untokenised)",
        "files": {FILE: SHA256},
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """The passages; an id is the number of the line in OpenAI's file, from 1."""
    return passage_rows.read_passages(folder / FILE)
