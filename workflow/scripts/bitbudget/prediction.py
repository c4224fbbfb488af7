"""Predicting in shards: a crash loses at most one, and the next run goes on from there.

Snakemake deletes the declared outputs of a failed job, so shards lie elsewhere, under a key that covers everything the
answers depend on: the checkpoint, the items, the prompt and the decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bitbudget import files
from bitbudget.generation import Answer

Item = dict[str, Any]


def shards(items: Sequence[Item], size: int) -> Iterator[tuple[int, Sequence[Item]]]:
    """The items in runs of `size`, each with the number of its first."""
    for start in range(0, len(items), size):
        yield start, items[start : start + size]


def predict(
    items: Sequence[Item],
    ask: Callable[[Sequence[Item]], list[Answer]],
    *,
    batch_size: int,
    shard_size: int,
    folder: Path,
) -> list[dict[str, Any]]:
    """The answers to all items in their order, from finished shards in `folder` where there are some.

    `ask` answers one batch. Each line is `{id, text, prompt_tokens, new_tokens, finish}`.
    """
    rows: list[dict[str, Any]] = []
    with tqdm(total=len(items), desc="predict", unit="item", mininterval=1) as bar:
        for start, part in shards(items, shard_size):
            path = folder / f"{start:08d}-{len(part)}.jsonl"
            if path.exists():
                found = files.read_jsonl(path)
                bar.update(len(found))
            else:
                found = []
                for first in range(0, len(part), batch_size):
                    batch = part[first : first + batch_size]
                    found += [{"id": item["id"], **asdict(a)} for item, a in zip(batch, ask(batch), strict=True)]
                    bar.update(len(batch))
                files.write_jsonl(path, found)
            rows += found
    return rows
