"""The captioning track: one image, one generated caption, several reference captions.

Importable without any heavy library: the config is checked, and the workflow parsed, with nothing but Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from bitbudget.stats import bootstrap

PRIMARY = "CIDEr"
PROMPT = "Describe the image in one sentence."  # of a study that names none
RUNTIME = "transformers"
IMAGES = True
USES_PARAPHRASES = True  # scoring is given METEOR's table (rule filter_paraphrases)
FEW_SHOT = False  # zero-shot is its only condition
SPOT_CHECK = 0  # captions that people rate where the study names no number: no metric of captions is held against them
DEFAULT_PRECISIONS = ("auto", "int8-language", "int8-vision", "int8-language-vision")
# What figures say of the floor, of the bootstrap's draws, and which figures there are beside those of all tracks.
FLOOR = "the best constant caption (the reference that scores highest as the answer to every image)"
RESAMPLED = "items"
ITEM = "image"  # what a model is asked about
RATE = ("throughput", "images/s")  # the speed that the track is told by: a metric for every batch size, and its unit
FIGURES: tuple[str, ...] = ()
# For the paper: what its task's models are made of, what the primary metric punishes, and what others published.
BACKGROUND = (
    "A vision-language model joins three parts: a vision tower that turns an image into tokens, a small projector, "
    "and a language model that reads these tokens and the prompt and writes the caption [@liu2023llava]. The language "
    "model holds most of the weights and is read once for every token that it writes, so its format decides size and "
    "decoding time. The vision tower is read once for an image, and every later token depends on what it saw: its "
    "errors cannot be made good by the parts behind it.",
)
PUNISHES = {
    "CIDEr": "CIDEr weighs words by how rare they are among the references [@vedantam2015cider]: one wrong rare word, "
    "as a colour or a count, costs more than a clumsy sentence, and a true caption in other words may score low.",
}
RELATED = (
    "Nearest to this is a study of BLIP-2, whose vision tower, connector and language model are rounded apart, without "
    "costs or intervals [@mmq]: CIDEr falls from 1.254 at 16 bits to 1.249 with the language model in 8 bits and to "
    "1.164 in 4, but another file of the same repository has 1.204 at 16 bits, so without intervals one cannot tell "
    "which of these differences mean anything. On speed, reports differ by kernel and not by bits: LLM.int8() writes "
    "6.0 instead of 25.7 tokens/s on a T4 (Qwen2.5-3B, batch size 1) [@bitsandbytes], while 4-bit weights of AWQ "
    "[@lin2024awq] with kernels of their own write 183 instead of 105 on an A100 (VILA-1.5-3B) [@llmawq]."
)

READS_TEXT = False  # nobody asks for the text in a picture
WHY_NO_OBJECTS = ""  # objects that are not in the image are looked for in captions

TASK = "image captioning"
GOAL = "how many bits the parts of a vision-language model need before its captions get worse"
SCORED = "Captions are scored by {cited}, with the document frequencies of the evaluated references{beside}."
APPLICATION = (
    "Captions make pictures accessible to people who do not see them [@gurari2020captioning], and searchable for "
    "everybody. The applications run where pictures arise, on phones and in archives, and a vision-language model has "
    "to fit there beside everything else: its memory, the time of its vision tower and the time for every generated "
    "token are what decides. Metrics of captions can miss that a caption names what is not in the picture "
    "[@rohrbach2018chair], so a smaller model has to be checked for more than its average score."
)
RISK = (
    "A caption can name what is not in the picture [@rohrbach2018chair], fluently and without any sign of doubt, and "
    "captions of people tend to follow stereotypes [@hendricks2018women]. Someone who relies on the caption because "
    "they cannot see the picture cannot notice either."
)
RISK_IN_SHORT = "a caption may name what is not there or repeat what is private"

SCORE = {"unit": "score", "higher_is_better": True}
METRICS: dict[str, dict[str, Any]] = {
    "CIDEr": {"label": "CIDEr", **SCORE, "cited": "CIDEr [@vedantam2015cider]"},
    "BLEU-1": {"label": "BLEU-1", **SCORE, "cited": "BLEU [@papineni2002bleu]"},
    "BLEU-2": {"label": "BLEU-2", **SCORE, "cited": "BLEU [@papineni2002bleu]"},
    "BLEU-3": {"label": "BLEU-3", **SCORE, "cited": "BLEU [@papineni2002bleu]"},
    "BLEU-4": {"label": "BLEU-4", **SCORE, "cited": "BLEU [@papineni2002bleu]"},
    "ROUGE-L": {"label": "ROUGE-L", **SCORE, "cited": "ROUGE-L [@lin2004rouge]"},
    "METEOR": {"label": "METEOR", **SCORE, "cited": "METEOR [@denkowski2014meteor]"},
    "SPICE": {"label": "SPICE", **SCORE, "cited": "SPICE [@anderson2016spice]"},
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
    Returned are the metrics of the record (each with its 95 % bootstrap interval over items, from two items on, or the
    reason why it has no value) and one dict an item: its id, its value in every metric, and the counts that its BLEU
    and METEOR are made of.

    Both sides are tokenised by the Penn Treebank tokeniser. The corpus CIDEr is the mean of the per-item values, whose
    IDF is that of the references of these items; it stays as it is when items are resampled. Corpus BLEU and METEOR
    are not means of per-item values but are computed from summed counts, and so are they from each resample's.

    All metrics are computed, whichever of them is the study's `primary`. `paraphrases` makes METEOR start faster
    (`captions.filter_paraphrases`). Raises `UserError` where an item has no reference, or Java is missing.
    """
    from bitbudget.metrics import captions

    references = {f"reference {item['id']}": item["references"] for item in items}
    texts = {f"prediction {item['id']}": [predictions[item["id"]]] for item in items}
    tokenized = captions.tokenize(references | texts)
    corpus, per_item = captions.score_tokenized(
        {item["id"]: tokenized[f"reference {item['id']}"] for item in items},
        {item["id"]: tokenized[f"prediction {item['id']}"][0] for item in items},
        paraphrases,
    )
    rows = [{"id": item["id"], **per_item[item["id"]]} for item in items]
    return _metrics(corpus, rows, seed), rows


def blind_answers(
    items: Sequence[Mapping[str, Any]], seed: int, *, primary: str | None = None
) -> tuple[str, dict[str, str]]:
    """The best constant caption: of all references the one that, as the answer to every item, has the highest CIDEr.

    Returned are the caption, and the same as the answer to each item's id. A model that does not clearly beat its score
    does not see. All references are compared, exactly, on all items and with the IDF that `score` uses; of equally good
    ones the first in the order of characters is taken. Nothing is drawn, so the seed does not matter.
    """
    from bitbudget.metrics import captions, constant_captions

    texts = sorted({text for item in items for text in item["references"]})
    tokenized = captions.tokenize({f"item {item['id']}": item["references"] for item in items} | {"": texts})
    candidates = tokenized.pop("")
    values = constant_captions.cider(list(tokenized.values()), candidates)
    # Rounded, because sums in another order may differ in their last digits, and a tie is to end alike everywhere.
    best = max(range(len(texts)), key=lambda number: round(float(values[number]), 9), default=None)
    caption = "" if best is None else texts[best]
    return caption, {item["id"]: caption for item in items}


def resampled(rows: Sequence[Mapping[str, Any]]) -> bootstrap.Resampled:
    """How the metrics that these rows have follow from the items drawn.

    CIDEr, ROUGE-L and SPICE are means of items' values, of which CIDEr's IDF stays that of all items; BLEU and METEOR
    are computed from summed counts.
    """
    import numpy as np

    from bitbudget.metrics import captions
    from bitbudget.stats import bootstrap

    means = [name for name in ("CIDEr", "ROUGE-L", "SPICE") if name in rows[0]]
    values = np.array([[row[name] for name in means] for row in rows])
    counts = captions.bleu_counts_array([row["bleu"] for row in rows])
    columns = [values, counts]
    made_of = dict.fromkeys(captions.BLEU_NAMES, "bleu") | {name: name for name in means}
    if "METEOR" in rows[0]:
        made_of["METEOR"] = "meteor"
        columns.append(np.array([row["meteor"] for row in rows]))

    def of(sums: np.ndarray, items: np.ndarray) -> bootstrap.Values:
        of_means, of_bleu, of_meteor = np.split(sums, [len(means), len(means) + counts.shape[1]], axis=1)
        found = dict(zip(means, of_means.T / items, strict=True))
        found |= zip(captions.BLEU_NAMES, captions.bleu_from_counts(of_bleu).T, strict=True)
        return found | ({"METEOR": captions.meteor_from_statistics(of_meteor)} if "METEOR" in made_of else {})

    return bootstrap.of_sums(np.hstack(columns), [row["id"] for row in rows], made_of, of)


def _metrics(corpus: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], seed: int) -> dict[str, dict[str, Any]]:
    """The record's metrics: values with their intervals, or the reason why one is absent."""
    from bitbudget import records
    from bitbudget.stats import bootstrap

    enough = len(rows) > 1  # all resamples of one item are alike: an interval without width would say that it is sure
    drawn = bootstrap.draws([resampled(rows)], seed)[0] if enough else {}
    found = {}
    for name, about in METRICS.items():
        unit, better, value = about["unit"], about["higher_is_better"], corpus[name]
        if isinstance(value, str):
            found[name] = records.absent(value, unit, higher_is_better=better)
        else:
            ci = bootstrap.interval(drawn[name]) if enough else None
            found[name] = records.metric(value, unit, higher_is_better=better, n=len(rows), ci=ci)
    return found
