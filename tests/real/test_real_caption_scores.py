"""coco-caption's own example: the published numbers, to three decimals."""

import json
from pathlib import Path

import pytest

from bitbudget.datasets import coco_format
from bitbudget.metrics import captions as caption_metrics
from bitbudget.tracks import captioning

CAPTIONS = Path(__file__).parents[3] / "shared" / "real" / "captions"
# coco-caption's README, and its SPICE example for SPICE.
PUBLISHED = {
    "BLEU-1": 0.579,
    "BLEU-2": 0.404,
    "BLEU-3": 0.279,
    "BLEU-4": 0.191,
    "METEOR": 0.195,
    "ROUGE-L": 0.396,
    "CIDEr": 0.600,
    "SPICE": 0.133,
}

pytestmark = pytest.mark.skipif(
    not CAPTIONS.is_dir(), reason=f"{CAPTIONS} is not there: the real files stand beside the checkout of the project"
)


@pytest.fixture(scope="module")
def texts():
    """References, already tokenised, and the published system's captions, tokenised here."""
    listed = json.loads((CAPTIONS / "coco_fakecap1000_tokenized_refs.json").read_text())
    captions = json.loads((CAPTIONS / "captions_val2014_fakecap_results.json").read_text())
    references = {str(one["image_id"]): one["refs"] for one in listed}
    predictions = caption_metrics.tokenize({str(one["image_id"]): [one["caption"]] for one in captions})
    return references, {key: predictions[key][0] for key in references}


def test_published_numbers_with_and_without_the_filtered_table(texts, tmp_path):
    corpus, items = caption_metrics.score_tokenized(*texts)
    if isinstance(corpus["SPICE"], str):
        del corpus["SPICE"]
    assert {name: round(value, 3) for name, value in corpus.items()} == {name: PUBLISHED[name] for name in corpus}

    caption_metrics.filter_paraphrases(texts[0], tmp_path / "paraphrases.gz")
    filtered, filtered_items = caption_metrics.score_tokenized(*texts, tmp_path / "paraphrases.gz")
    assert filtered["METEOR"] == corpus["METEOR"]
    assert filtered_items == items


def test_the_best_constant_caption_of_the_official_captions():
    """Of all 25 014 references; "A man riding a wave on top of a surfboard." has 0.070."""
    items = coco_format.read_captions(CAPTIONS / "captions_val2017.json", lambda image: image["file_name"])
    caption, answers = captioning.blind_answers([item.to_dict() for item in items], 1)
    assert caption == "A group of people standing on top of a tennis court." and len(answers) == 5000
    tokenized = caption_metrics.tokenize({item.id: item.references for item in items} | {"": [caption]})
    (test,) = tokenized.pop("")
    value, _ = caption_metrics._cider(list(tokenized.values()), [test] * 5000)
    assert value == pytest.approx(0.104554, abs=1e-6)
