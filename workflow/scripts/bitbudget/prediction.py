"""Predicting in shards: a crash loses at most one, and the next run goes on from there.

Snakemake deletes the declared outputs of a failed job, so shards lie elsewhere, under a key that covers everything the
answers depend on: the checkpoint, the items, the prompt and the decoding. What an answer is, a dataclass whose fields
become its line, the track decides.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bitbudget import files

Item = dict[str, Any]


def shards(items: Sequence[Item], size: int) -> Iterator[tuple[int, Sequence[Item]]]:
    """The items in runs of `size`, each with the number of its first."""
    for start in range(0, len(items), size):
        yield start, items[start : start + size]


def predict(
    items: Sequence[Item],
    ask: Callable[[Sequence[Item]], Sequence[Any]],
    *,
    batch_size: int,
    shard_size: int,
    folder: Path,
) -> list[dict[str, Any]]:
    """The answers to all items in their order, from finished shards in `folder` where there are some.

    `ask` answers one batch with a dataclass for each item. Each line is its item's `id` and its fields.
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
                for _, batch in shards(part, batch_size):
                    found += [{"id": item["id"], **asdict(a)} for item, a in zip(batch, ask(batch), strict=True)]
                    bar.update(len(batch))
                files.write_jsonl(path, found)
            rows += found
    return rows


def batches(items: Sequence[Item], *, batch_size: int, shard_size: int) -> Iterator[Sequence[Item]]:
    """The batches in which `predict` asks these items, so that they can be asked in just these again."""
    for _, part in shards(items, shard_size):
        for _, batch in shards(part, batch_size):
            yield batch


def asked_in(items: Sequence[Item], spec: dict[str, Any]) -> list[Item]:
    """The items in the order in which they are asked: their own, or for the noise floor (`again`) one by the seed."""
    if not spec.get("again"):
        return list(items)
    return random.Random(f"noise-floor-{spec['seed']}").sample(list(items), len(items))


def in_order_of(items: Sequence[Item], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of these items in the items' order."""
    by_id = {row["id"]: row for row in rows}
    return [by_id[item["id"]] for item in items]
