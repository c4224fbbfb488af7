"""CIDEr of constant captions: worked by hand, equal to pycocoevalcap's, and the floor the best of all references."""

import math
import random

import numpy as np
import pytest

from bitbudget.metrics import captions as caption_metrics
from bitbudget.metrics import constant_captions
from bitbudget.tracks import captioning


def brute_force(references, captions):
    """Each caption as the answer to every item, scored by pycocoevalcap; a reason why there is no value counts 0."""
    values = [caption_metrics._cider(references, [caption] * len(references))[0] for caption in captions]
    return [0.0 if isinstance(value, str) else value for value in values]


WORDS = ("a", "man", "dog", "on", "wave", "the", "red", "big", "runs", "sits")


def random_study(seed, words=WORDS[:5], items=9):
    """Few words, so that they repeat within a text, across items, and in all items; some texts are empty."""
    rng = random.Random(seed)

    def text():
        return " ".join(rng.choices(words, k=rng.choice([0, 1, 2, 3, 5, 8, 8, 13, 30])))

    return [[text() for _ in range(rng.randint(1, 6))] for _ in range(rng.randint(2, items))]


def test_worked_by_hand():
    """Counts are clipped (one "a" of two), lengths are of bigrams (1 and 2), every word is in one item of two."""
    ones, twos = 3 / (math.sqrt(2) * math.sqrt(5)), 1 / math.sqrt(2)
    expected = 10 / 4 * (ones + twos) * math.exp(-1 / 72) / 2
    assert constant_captions.cider([["a a b"], ["c"]], ["a b"]) == pytest.approx([expected])
    # A perfect caption of one reference has cosine 1 for each order that it has.
    three = [["red round circle"], ["two dogs"], ["grey mouse"]]
    values = constant_captions.cider(three, ["red round circle", "two dogs", "x", ""])
    assert values == pytest.approx([7.5 / 3, 5 / 3, 0, 0])


@pytest.mark.parametrize("seed", range(12))
def test_equal_to_brute_force_on_random_texts(seed, monkeypatch):
    references = random_study(seed)
    captions = [text for group in references for text in group] + ["a man unheard of", "", "dog " * 40]
    expected = brute_force(references, captions)
    assert max(expected) > 0
    np.testing.assert_allclose(constant_captions.cider(references, captions), expected, rtol=1e-12, atol=1e-15)
    monkeypatch.setattr(constant_captions, "CELLS", 20)  # the table is then made one or two n-grams at a time
    np.testing.assert_allclose(constant_captions.cider(references, captions), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "references",
    [[["a red circle", "a circle"]], [["a red circle"], ["a red circle"]], [["", ""], [""]], [[], []], []],
)
def test_where_no_word_weighs_anything_every_caption_has_zero(references):
    assert constant_captions.cider(references, ["a red circle", ""]).tolist() == [0, 0]
    assert constant_captions.cider(references, []).shape == (0,)


def as_items(references):
    return [{"id": str(number), "references": group} for number, group in enumerate(references)]


@pytest.mark.parametrize("seed", range(3))
def test_the_floor_is_the_reference_that_brute_force_finds(seed):
    references = random_study(100 + seed, WORDS, items=30)
    candidates = sorted({text for group in references for text in group})
    values = brute_force(references, candidates)
    caption, answers = captioning.blind_answers(as_items(references), seed)
    assert caption == candidates[int(np.argmax(values))]
    assert answers == dict.fromkeys(map(str, range(len(references))), caption)


def test_the_floor_may_be_a_reference_of_one_item_in_hundreds():
    references = [[f"man walks {number}" if number % 2 else f"dog sits {number}"] for number in range(300)]
    references[123] = ["man walks dog sits"]
    assert captioning.blind_answers(as_items(references), 1)[0] == "man walks dog sits"


def test_the_floor_is_judged_by_its_tokens_and_given_as_it_was_written():
    references = [["A Dog, (running)!", f"thing {number}"] for number in range(5)] + [["grey mouse"]] * 4
    assert captioning.blind_answers(as_items(references), 1)[0] == "A Dog, (running)!"


def test_of_equally_good_captions_the_first_is_the_floor_whatever_the_seed():
    tied = as_items([["b runs"], ["a runs"], ["b runs"], ["a runs"]])
    assert {captioning.blind_answers(tied, seed)[0] for seed in range(4)} == {"a runs"}


def test_items_without_any_reference_leave_the_sentence_to_scoring():
    assert captioning.blind_answers(as_items([[], []]), 1) == ("", {"0": "", "1": ""})
