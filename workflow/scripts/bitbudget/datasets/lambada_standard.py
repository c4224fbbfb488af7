"""LAMBADA as its authors gave it out: the passages lower-cased and tokenised, with a validation split beside the test.

Paperno et al., ACL 2016 (arXiv 1606.06031), https://doi.org/10.5281/zenodo.2630551. Punctuation stands apart and
quotation marks are written as two back-quotes or two apostrophes ("`` i do n't , '' he said"). The kind
`lambada-openai` is the same passages in ordinary writing; accuracies on the two differ by some ten points
(EleutherAI/lm-evaluation-harness, issue 356) and must never stand side by side. lm-evaluation-harness calls this one
`lambada_standard`.

The official archive holds 2662 novels for training as well (334 MB); the authors' copy on the Hugging Face Hub keeps
each split in files of its own, and only those of the two small splits are downloaded (2 MB).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.datasets import passage_rows
from bitbudget.errors import UserError
from bitbudget.items.item import Item
from bitbudget.untrusted import foreign_json

TRACKS = ("lambada",)
SPLITS = ("test", "validation")
CALIBRATION_SPLIT = "validation"
OPTIONS: dict[str, dict[str, Any]] = {
    "revision": {
        "description": "Commit of the copy on the Hub; empty: the newest at the first download, held to from then on.",
        "type": "string",
        "pattern": "^([0-9a-f]{40})?$",
        "default": "",
    },
    "url": {
        "description": "Address of the Hub; change it to use a mirror.",
        "type": "string",
        "default": "https://huggingface.co",
    },
}
REQUIRED: tuple[str, ...] = ()
LOCAL_PATHS: tuple[str, ...] = ()

ABOUT = "LAMBADA [@paperno2016lambada]"
PUBLISHED = True

REPOSITORY = "cimec/lambada"
PASSAGES = {"test": 5153, "validation": 4869}  # Paperno et al. 2016, section 3.2


def fetch(options: dict[str, Any], folder: Path, partial: Path) -> dict[str, Any]:
    """Download the tables of the two splits at one commit, and write their passages as jsonl.

    Raises `UserError` where the Hub, the commit or a file cannot be had, and where a split has not as many passages as
    it is known to have.
    """
    from bitbudget.fetching import download

    commit, tables = _describe(options, partial)
    base = f"{options['url'].rstrip('/')}/datasets/{REPOSITORY}"
    found, lock = {}, {} if options["revision"] else {"revision": commit}
    for split in SPLITS:
        table = partial / f"{split}.parquet"
        url = f"{base}/resolve/{commit}/{tables[split]['rfilename']}"
        download.download(url, table, sha256=(tables[split].get("lfs") or {}).get("sha256"), partial=partial)
        lock[f"sha256 of {tables[split]['rfilename']} at {commit}"] = files.sha256_of(table)
        files.write_jsonl(folder / _file(split), ({"text": text} for text in _texts(table, url)))
        table.unlink()
        passages = len(passage_rows.read_passages(folder / _file(split)))
        if passages != PASSAGES[split]:
            raise UserError(
                f"{url} holds {passages} passages in place of {PASSAGES[split]}; choose another `revision`."
            )
        found[_file(split)] = files.sha256_of(folder / _file(split))
    return {
        "revision": commit,
        "licence": "CC-BY-4.0",
        "source": f"{base} (the authors' variant: lower-cased, tokenised)",
        "files": found,
        "lock": lock,
    }


def read_items(options: dict[str, Any], folder: Path, split: str) -> list[Item]:
    """The split's passages; an id is the number of the row, from 1."""
    return passage_rows.read_passages(folder / _file(split))


def _file(split: str) -> str:
    return f"passages/lambada_standard_{split}.jsonl"


def _describe(options: dict[str, Any], partial: Path) -> tuple[str, dict[str, Mapping[str, Any]]]:
    """The commit that is asked for, and what the Hub says of the one table of each split: its name and checksum.

    The Hub's own answer (https://huggingface.co/docs/hub/api) has the commit as `sha`, and in `siblings` a file's name
    as `rfilename` and its SHA-256 as `lfs.sha256`.
    """
    from bitbudget.fetching import download

    address = f"{options['url'].rstrip('/')}/api/datasets/{REPOSITORY}/revision/{options['revision'] or 'main'}"
    answer = download.download(f"{address}?blobs=true", partial / "lambada_standard.json", partial=partial)
    try:
        about = foreign_json.read_json(answer)
        commit, names = about["sha"], {split: f"plain_text/{split}-" for split in SPLITS}
        tables = {
            split: [one for one in about["siblings"] if one["rfilename"].startswith(start)]
            for split, start in names.items()
        }
    except (UserError, TypeError, KeyError, AttributeError):
        raise UserError(f"{address} does not describe a data set as the Hub does; check `url`.") from None
    finally:
        answer.unlink()
    for split, found in tables.items():
        if len(found) != 1:
            raise UserError(
                f"{REPOSITORY} at {commit} has {len(found)} files {names[split]}* where one is expected; "
                "choose another `revision`."
            )
    return commit, {split: found[0] for split, found in tables.items()}


def _texts(table: Path, url: str) -> list[str]:
    """The column `text` of a parquet file."""
    from pyarrow import parquet

    from bitbudget.fetching import download

    with download.taken_up(table, f"{url} is no table with a column `text`"):
        return parquet.read_table(table, columns=["text"])["text"].to_pylist()
