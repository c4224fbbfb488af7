"""Made-up item scores of precisions, as cells that can be compared, for the tests of the statistics."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from bitbudget import registry
from bitbudget.judging import comparison
from bitbudget.judging.comparison import Cell
from bitbudget.metrics import captions

BASELINE = "bfloat16"
IDENTITY = {"study": "s", "model": "m", "condition": "zero-shot", "seed": 3, "subset_hash": "c" * 64}


def spec(track: str, primary: str, precisions: list[str]) -> dict[str, Any]:
    cells = {"models": ["m"], "precisions": [BASELINE, *precisions], "conditions": ["zero-shot"]}
    return {"study": "s", "track": track, "primary": primary, "seed": 3, "baseline": BASELINE, **cells}


def scores(track: str, rows: list[dict[str, Any]], precision: str, **more: Any) -> dict[str, Any]:
    """The record of these rows, in whatever order, with the metrics that a resample gives again."""
    module = registry.module_of("track", track)
    metrics = {}
    for name, value in module.resampled(sorted(rows, key=itemgetter("id"))).whole().items():
        about = {key: module.METRICS[name][key] for key in ("unit", "higher_is_better")}
        metrics[name] = {"value": value, "n": len(rows), **about}
    return {**IDENTITY, "precision": precision, "checkpoint_hash": "b" * 64, "metrics": metrics, **more}


def cell(track: str, rows: list[dict[str, Any]], precision: str = BASELINE, answers: Any = None) -> Cell:
    """A cell of these rows; an item's answer is its row unless `answers` maps its id to another."""
    given = {row["id"]: row for row in rows}
    return Cell(Path(f"{precision}/scores.json"), scores(track, rows, precision), given, answers or given)


def answered(values: Any, name: str = "vqa_accuracy", a_image: int = 1) -> list[dict[str, Any]]:
    """Rows of the vqa track with these values, `a_image` questions about each image."""
    return [{"id": str(i), "image": f"image {i // a_image}", name: float(v)} for i, v in enumerate(values)]


def captioned(count: int, seed: int, loss: float = 0.0) -> list[dict[str, Any]]:
    """Rows of the captioning track, of which the seed decides all but what `loss` (0 to 1) takes away."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        length, quality = int(rng.integers(6, 15)), rng.uniform(0.3, 1) * (1 - loss * rng.random())
        guess = [length - order for order in range(4)]
        correct = [int(one * quality ** (order + 1)) for order, one in enumerate(guess)]
        matches = max(1, int(length * quality))
        meteor = [length, length, 2, 2, matches, matches, *[0] * 14, 1 + matches // 3, matches, matches]
        counts = {"correct": correct, "guess": guess, "test_length": length, "reference_length": length + i % 2}
        by_order = dict.fromkeys(captions.BLEU_NAMES, quality)
        values = {"CIDEr": 2 * quality**2, "ROUGE-L": quality, "METEOR": quality / 2}
        rows.append({"id": str(i), **values, **by_order, "bleu": counts, "meteor": meteor})
    return rows


def compare(track, primary, *rows, noise=(), **more):
    """The comparisons of these rows with the first of them, as p1, p2 …"""
    names = [f"p{number}" for number in range(1, len(rows))]
    cells = [cell(track, one, name) for one, name in zip(rows, [BASELINE, *names], strict=True)]
    return comparison.compare(spec(track, primary, names), cells, [cell(track, one) for one in noise], **more)
