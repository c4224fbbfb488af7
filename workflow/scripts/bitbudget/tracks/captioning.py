"""The captioning track: one image, one generated caption, several reference captions.

Importable without any heavy library: the config is checked, and the workflow parsed, with nothing but Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PRIMARY = "CIDEr"
PROMPT = "Describe the image in one sentence."  # of a study that names none
RUNTIME = "transformers"
IMAGES = True
USES_PARAPHRASES = True  # scoring is given METEOR's table (rule filter_paraphrases)
FEW_SHOT = False  # zero-shot is its only condition
DEFAULT_PRECISIONS = ("float16", "int8-language", "int8-vision", "int8-language-vision")
# What figures say of the floor, of the bootstrap's draws, and which figures there are beside those of all tracks.
FLOOR = "the best single caption given to every image without looking"
RESAMPLED = "items"
FIGURES: tuple[str, ...] = ()

METRICS: dict[str, dict[str, Any]] = {
    "CIDEr": {"label": "CIDEr", "unit": "score", "higher_is_better": True},
    "BLEU-1": {"label": "BLEU-1", "unit": "score", "higher_is_better": True},
    "BLEU-2": {"label": "BLEU-2", "unit": "score", "higher_is_better": True},
    "BLEU-3": {"label": "BLEU-3", "unit": "score", "higher_is_better": True},
    "BLEU-4": {"label": "BLEU-4", "unit": "score", "higher_is_better": True},
    "ROUGE-L": {"label": "ROUGE-L", "unit": "score", "higher_is_better": True},
    "METEOR": {"label": "METEOR", "unit": "score", "higher_is_better": True},
    "SPICE": {"label": "SPICE", "unit": "score", "higher_is_better": True},
}


def score(
    items: Sequence[Mapping[str, Any]],
    predictions: Mapping[str, str],
    seed: int,
    *,
    primary: str | None = None,
    paraphrases: Path | None = None,
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Score one caption an item against the item's references.

    `items` are the lines of items.jsonl that were to be predicted; `predictions` maps each of their ids to its text.
    Returned are the metrics of the record (each with its 95 % bootstrap interval over items) and one dict an item: its
    id, its value in every metric, and the counts that its BLEU and METEOR are made of.

    Both sides are tokenised by the Penn Treebank tokeniser. The corpus CIDEr is the mean of the per-item values, whose
    IDF is that of the references of these items; it stays as it is when items are resampled. Corpus BLEU and METEOR
    are not means of per-item values but are computed from summed counts, and so are they from each resample's.

    All metrics are computed, whichever of them is the study's `primary`. `paraphrases` makes METEOR start faster
    (`caption_metrics.filter_paraphrases`). Raises `UserError` where an item has no reference, or Java is missing.
    """
    from bitbudget import caption_metrics

    references = {f"reference {item['id']}": item["references"] for item in items}
    texts = {f"prediction {item['id']}": [predictions[item["id"]]] for item in items}
    tokenized = caption_metrics.tokenize(references | texts)
    corpus, per_item = caption_metrics.score_tokenized(
        {item["id"]: tokenized[f"reference {item['id']}"] for item in items},
        {item["id"]: tokenized[f"prediction {item['id']}"][0] for item in items},
        paraphrases,
    )
    rows = [{"id": item["id"], **per_item[item["id"]]} for item in items]
    return _metrics(corpus, rows, seed), rows


BLIND_CANDIDATES, BLIND_ITEMS = 100, 50


def blind_answers(
    items: Sequence[Mapping[str, Any]], seed: int, *, primary: str | None = None
) -> tuple[str, dict[str, str]]:
    """A caption that suits many images: of at most 100 references, the best one to give to every image.

    Returned are the caption, and the same as the answer to each item's id. The references are drawn by the seed,
    and the best is the one whose CIDEr over at most 50 items, drawn likewise, is highest. A model that does not
    clearly beat its score does not see.
    """
    import random

    from bitbudget import caption_metrics

    rng = random.Random(f"blind-{seed}")
    judged = rng.sample(list(items), min(BLIND_ITEMS, len(items)))
    texts = sorted({text for item in items for text in item["references"]})
    candidates = rng.sample(texts, min(BLIND_CANDIDATES, len(texts)))
    tokenized = caption_metrics.tokenize(
        {"candidates": candidates} | {f"item {item['id']}": item["references"] for item in judged}
    )
    references = [tokenized[f"item {item['id']}"] for item in judged]
    values = caption_metrics.cider_of_constants(references, tokenized["candidates"])
    best = candidates[max(range(len(candidates)), key=values.__getitem__)]
    return best, {item["id"]: best for item in items}


def _metrics(corpus: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], seed: int) -> dict[str, dict[str, Any]]:
    """The record's metrics: values with their intervals, or the reason why one is absent."""
    import numpy as np

    from bitbudget import caption_metrics, records, statistics

    measured = [name for name in METRICS if not isinstance(corpus[name], str)]
    values = np.array([[row[name] for name in measured] for row in rows])
    counts = caption_metrics.bleu_counts_array([row["bleu"] for row in rows])
    columns = [values, counts]
    if "METEOR" in measured:
        columns.append(np.array([row["meteor"] for row in rows]))
    # One set of draws for everything: means from the first columns, BLEU and METEOR from the summed counts after them.
    sums = statistics.bootstrap_sums(np.hstack(columns), seed=seed)
    of_values, of_bleu, of_meteor = np.split(sums, [len(measured), len(measured) + counts.shape[1]], axis=1)
    means = of_values / len(rows)
    bleu = caption_metrics.bleu_from_counts(of_bleu)
    found = {}
    for name, about in METRICS.items():
        unit, better = about["unit"], about["higher_is_better"]
        if name not in measured:
            found[name] = records.absent(corpus[name], unit, higher_is_better=better)
            continue
        column = measured.index(name)
        if name in caption_metrics.BLEU_NAMES:
            draws = bleu[:, caption_metrics.BLEU_NAMES.index(name)]
        elif name == "METEOR":
            draws = caption_metrics.meteor_from_statistics(of_meteor)
        else:
            draws = means[:, column]
        interval = statistics.interval(draws)
        found[name] = records.metric(corpus[name], unit, higher_is_better=better, n=len(rows), ci=interval)
    return found
