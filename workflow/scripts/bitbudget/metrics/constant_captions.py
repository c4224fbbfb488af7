"""CIDEr-D of constant captions: captions that are each given as the answer to every item of a study.

A constant caption needs no comparison with each reference. In CIDEr-D (Vedantam et al. 2015), as pycocoevalcap
computes it for `captions`, a caption c of length l has of a reference r of length m, for n-grams of one order,

    exp(-(l - m)^2 / 2 sigma^2) / (|c| |r|)  x  sum over n-grams g of min(c_g, r_g) r_g idf_g^2

where c_g and r_g are counts, |.| norms of the counts times the IDF, and lengths are numbers of bigrams, as in
pycocoevalcap. min(c_g, r_g) is the number of k from 1 to c_g with k <= r_g. So all that a caption takes from an n-gram
depends on the n-gram, k and the length l alone, and a table of these, summed once over all references, scores every
caption exactly. The work grows with the n-grams of references plus captions, not with references x captions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

ORDERS, SIGMA = 4, 6.0
CELLS = 2**22  # numbers in a table of n-grams by lengths that are held at once: 32 MiB


class _Counts(NamedTuple):
    """How often which n-gram occurs in which text: three arrays of equal length, one entry a text and n-gram in it."""

    text: np.ndarray
    gram: np.ndarray
    count: np.ndarray

    def where(self, chosen: np.ndarray) -> _Counts:
        return _Counts(self.text[chosen], self.gram[chosen], self.count[chosen])


def cider(references: Sequence[Sequence[str]], captions: Sequence[str]) -> np.ndarray:
    """For each caption the corpus CIDEr-D that it has as the answer to every item; shape (captions,).

    `references` are the tokenised references of each item, whose IDF counts; `captions` are tokenised too. 0 where
    CIDEr has no value because no n-gram weighs anything (`captions.score_tokenized` says when).
    """
    items = len(references)
    texts = [text.split() for group in references for text in group]
    tests = [text.split() for text in captions]
    item_of = np.repeat(np.arange(items), np.array([len(group) for group in references], dtype=int))
    per_item = np.bincount(item_of, minlength=items)[item_of]
    lengths, length_of = np.unique([max(len(words) - 1, 0) for words in texts + tests], return_inverse=True)
    penalty = np.exp(-np.square(lengths[:, None] - lengths[None, :]) / (2 * SIGMA**2))
    ref_length, test_length = np.split(length_of, [len(texts)])

    total = np.zeros(len(tests))
    for order in range(1, ORDERS + 1):
        grams: dict[tuple[str, ...], int] = {}
        ref, test = _counts(texts, order, grams), _counts(tests, order, grams)
        holders = np.unique(np.stack([ref.gram, item_of[ref.text]]), axis=1)[0]
        idf = np.log(max(items, 1) / np.maximum(np.bincount(holders, minlength=len(grams)), 1))
        of_ref = ref.count * np.square(idf[ref.gram]) * _inverse(_norms(ref, idf, len(texts)) * per_item)[ref.text]
        taken = np.zeros(len(tests))
        for k in range(1, min(ref.count.max(initial=0), test.count.max(initial=0)) + 1):
            enough, asked = ref.count >= k, test.where(test.count >= k)
            found = _from_table(
                (ref.gram[enough], ref_length[ref.text[enough]], of_ref[enough]),
                (asked.gram, test_length[asked.text]),
                penalty,
                len(grams),
            )
            taken += np.bincount(asked.text, found, minlength=len(tests))
        total += taken * _inverse(_norms(test, idf, len(tests)))
    return 10 / ORDERS * total / max(items, 1)


def _counts(texts: Sequence[Sequence[str]], order: int, grams: dict[tuple[str, ...], int]) -> _Counts:
    """The n-grams of this order in these texts; `grams` numbers them and grows by those that are new."""
    rows: list[tuple[int, int, int]] = []
    for number, words in enumerate(texts):
        for gram, count in Counter(zip(*(words[start:] for start in range(order)), strict=False)).items():
            rows.append((number, grams.setdefault(gram, len(grams)), count))
    return _Counts(*np.array(rows, dtype=np.int64).reshape(-1, 3).T)


def _norms(counts: _Counts, idf: np.ndarray, texts: int) -> np.ndarray:
    return np.sqrt(np.bincount(counts.text, np.square(counts.count * idf[counts.gram]), minlength=texts))


def _inverse(values: np.ndarray) -> np.ndarray:
    """1 / values, and 0 for 0: a text without a weight takes part in nothing."""
    return np.divide(1.0, values, out=np.zeros(values.shape), where=values != 0)


def _from_table(
    given: tuple[np.ndarray, np.ndarray, np.ndarray],
    asked: tuple[np.ndarray, np.ndarray],
    penalty: np.ndarray,
    grams: int,
) -> np.ndarray:
    """For each (n-gram, length) of `asked` the sum of the values `given` for that n-gram, each times the penalty.

    `given` are n-grams, lengths and values; `penalty` is by length and length. The table is made a few n-grams at a
    time, so memory stays bounded.
    """
    gram, length, value = (part[np.argsort(given[0], kind="stable")] for part in given)
    order = np.argsort(asked[0], kind="stable")
    asked_gram, asked_length = asked[0][order], asked[1][order]
    wide = len(penalty)
    found = np.empty(len(order))
    for low, high in pairwise([*range(0, grams, max(CELLS // wide, 1)), grams]):
        here = slice(*np.searchsorted(gram, [low, high]))
        there = slice(*np.searchsorted(asked_gram, [low, high]))
        cells = (gram[here] - low) * wide + length[here]
        table = np.bincount(cells, value[here], minlength=(high - low) * wide).reshape(high - low, wide)
        found[order[there]] = (table @ penalty)[asked_gram[there] - low, asked_length[there]]
    return found
