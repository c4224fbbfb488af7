"""Predicting in shards: a crash loses at most one, and the next run goes on from there.

Snakemake deletes the outputs of a job that failed or that it does not accept, so shards lie elsewhere, in a folder
whose name covers everything the answers depend on: the checkpoint, the items, the prompt and the decoding. They stay
there until the answers are scored, which they are once Snakemake has accepted them. What an answer is, a dataclass
whose fields become its line, the track decides.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bitbudget.runtimes import shard_files

log = logging.getLogger("bitbudget")

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
    remade: list[dict[str, str]] | None = None,
) -> list[dict[str, Any]]:
    """The answers to all items in their order, from finished shards in `folder` where there are some.

    `ask` answers one batch with a dataclass for each item. Each line is its item's `id` and its fields. A shard that
    cannot be used is made again; its name (`shard`) and what was wrong with it (`reason`) are added to `remade`.
    """
    rows: list[dict[str, Any]] = []
    with tqdm(total=len(items), desc="predict", unit="item", mininterval=1) as bar:
        for start, part in shards(items, shard_size):
            path, ids = folder / f"{start:08d}-{len(part)}.jsonl", [item["id"] for item in part]
            found = _finished(path, ids, remade)
            if found is not None:
                bar.update(len(found))
            else:
                found = []
                for _, batch in shards(part, batch_size):
                    found += [{"id": item["id"], **asdict(a)} for item, a in zip(batch, ask(batch), strict=True)]
                    bar.update(len(batch))
                shard_files.write(path, folder.name, ids, found)
            rows += found
    return rows


def _finished(path: Path, ids: list[str], remade: list[dict[str, str]] | None) -> list[dict[str, Any]] | None:
    """The rows of a shard that is there and can be used."""
    if not path.exists():
        return None
    try:
        return shard_files.read(path, path.parent.name, ids)
    except shard_files.Unusable as fault:
        log.warning("the shard %s is %s: its answers are made again", path, fault)
        if remade is not None:
            remade.append({"shard": path.name, "reason": str(fault)})
        return None


def batches(items: Sequence[Item], *, batch_size: int, shard_size: int) -> Iterator[Sequence[Item]]:
    """The batches in which `predict` asks these items, so that they can be asked in just these again."""
    for _, part in shards(items, shard_size):
        for _, batch in shards(part, batch_size):
            yield batch


def asked_in(items: Sequence[Item], spec: dict[str, Any], length: Callable[[Item], Any]) -> list[Item]:
    """The items in the order in which they are asked: by falling `length`, a number of tokens or what grows with it.

    A batch then holds alike ones, and hardly any of it is padding: of LAMBADA's tokens a fourth is in the items' own
    order, and a seventieth by length. The longest come first, so that a lack of memory shows at once.

    The noise floor (`again`) has an order by the seed: by length, an item would meet nearly the same neighbours again,
    and what padding does to an answer would go unseen.
    """
    if not spec.get("again"):
        return sorted(items, key=length, reverse=True)
    return random.Random(f"noise-floor-{spec['seed']}").sample(list(items), len(items))


def in_order_of(items: Sequence[Item], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of these items in the items' order."""
    by_id = {row["id"]: row for row in rows}
    return [by_id[item["id"]] for item in items]
