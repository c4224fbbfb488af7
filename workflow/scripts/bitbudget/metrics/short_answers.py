"""Measures of a short answer: VQA accuracy, ANLS, relaxed accuracy and exact match, each of one answer in 0 to 1.

What each compares, and where it comes from, stands with its function. All texts are given as they were written: each
measure brings them into the form that it compares.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

# The lists of the official VQA evaluation: github.com/GT-Vision-Lab/VQA at c4e6a0e,
# PythonEvaluationTools/vqaEvaluation/vqaEval.py. Its contractions are exactly the ways to leave out one apostrophe of
# these words ("couldnt've" and "couldn'tve" become "couldn't've"), and one more entry, which drops one ("somebody'd").
# Four entries of it begin with a capital I ("Ive") and never apply, because answers are lower-case by then.
_WITH_APOSTROPHES = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
_CONTRACTIONS = {
    word[:at] + word[at + 1 :]: word
    for word in _WITH_APOSTROPHES.split()
    for at, sign in enumerate(word)
    if sign == "'"
} | {"somebody'd": "somebodyd"}
_NUMBERS = {"none": "0"} | {
    word: str(value)
    for value, word in enumerate("zero one two three four five six seven eight nine ten".split())  # noqa: SIM905
}
_ARTICLES = {"a", "an", "the"}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")


@lru_cache(maxsize=2**16)
def normalise(answer: str) -> str:
    """An answer in the form that VQA accuracy compares, as the official evaluation makes it (visualqa.org/evaluation).

    Punctuation other than apostrophe and colon goes: without a trace where it stands beside a space, or anywhere in an
    answer with a comma between digits ("1,000" is "1000"), else it becomes a space ("yes/no" is "yes no"). Periods go
    unless a digit follows. Then, in lower case: number words up to ten become digits, articles go, and contractions
    get their apostrophe. Line breaks count as spaces, so all lines of an answer are compared.

    One thing is done otherwise: an answer of nothing but articles ("A", the letter) stays, because it would become
    equal to an empty one.
    """
    text = " ".join(answer.split())
    in_number = _COMMA_IN_NUMBER.search(text)
    bare = text
    for mark in _PUNCTUATION:
        beside_a_space = f"{mark} " in text or f" {mark}" in text
        bare = bare.replace(mark, "" if in_number or beside_a_space else " ")
    words = [_NUMBERS.get(word, word) for word in _PERIOD.sub("", bare).lower().split()]
    words = [word for word in words if word not in _ARTICLES] or words
    return " ".join(_CONTRACTIONS.get(word, word) for word in words)


def consensus(matches: int, annotators: int) -> float:
    """VQA accuracy of an answer that `matches` of `annotators` gave.

    Antol et al. 2015 (arXiv 1505.00468), section 5, as the official script evaluates it: each annotator is left out
    once, and the answer is worth min(matches among the others / 3, 1); accuracy is the mean of these. Of ten
    annotators, 1, 2, 3 and 4 matches give 0.3, 0.6, 0.9 and 1. The shorter min(matches / 3, 1), which many codes use,
    is another measure and never lower: with 3 of 10, leaving out one of the three leaves 2/3, which happens three
    times of ten, so (3 x 2/3 + 7 x 1) / 10 = 0.9 and not 1.
    """
    without_a_match = min(max(matches - 1, 0) / 3, 1.0)
    with_all = min(matches / 3, 1.0)
    return (matches * without_a_match + (annotators - matches) * with_all) / annotators


def vqa_accuracy(answer: str, references: Sequence[str]) -> float:
    """VQA accuracy: `consensus` over the annotators whose answer is the same as this one, both normalised.

    Prediction and references are always normalised, all in the same way. The official script of VQA v2 treats the
    references only where annotators disagree, and then only their punctuation, since the published answers have been
    through the rest; so "t-shirt" of all ten would never be met, its prediction being "t shirt". The evaluators of
    TextVQA (mmf, `m4c_evaluators.py`) and lmms-eval normalise both sides always, as does the published description
    ("this processing step is done for ground truth answers as well"), and TextVQA's and VizWiz's raw answers need it.
    mmf moreover sets "'s" apart and deletes commas and question marks before anything else, on both sides alike: only
    answers that differ by just that are judged otherwise there. VizWiz counts "unanswerable" as an answer like others.

    An answer of which normalisation leaves nothing is never right.
    """
    normal = normalise(answer)
    given = [normalise(reference) for reference in references]
    return consensus(given.count(normal), len(given)) if normal else 0.0


def most_common(references: Sequence[str]) -> set[str]:
    """The answer that most annotators gave, normalised; several where they are equally many."""
    counts = Counter(filter(None, map(normalise, references)))
    return {answer for answer, count in counts.items() if count == max(counts.values())}


def is_most_common(answer: str, references: Sequence[str]) -> float:
    """1 where the answer is the (or one of the) most common among the annotators', both normalised, else 0."""
    return float(normalise(answer) in most_common(references))


def tidy(answer: str) -> str:
    """An answer in lower case, with single spaces: what ANLS and relaxed accuracy compare."""
    return " ".join(answer.lower().split())


def is_one_of(answer: str, references: Sequence[str]) -> float:
    """1 where the answer is one of the references, but for case and spaces, else 0."""
    return float(tidy(answer) in {tidy(reference) for reference in references})


ANLS_THRESHOLD = 0.5


def anls(answer: str, references: Sequence[str]) -> float:
    """Normalised Levenshtein similarity of an answer; over the items its mean is ANLS.

    Biten et al. 2019 (arXiv 1905.13648), section 3.3: 1 - NL of the most similar reference, where NL is the edit
    distance divided by the length of the longer text; 0 where that is less than a half. Case does not count. NL of
    exactly 0.5 counts 0.5 here, as in the scoring script of the Robust Reading Competition, by which all published
    numbers were made; the paper's formula gives 0. That script divides by the length before surplus spaces are
    removed, so that trailing spaces raise a score; here both are of the text without them.
    """
    similarity = max(_similarity(tidy(answer), tidy(reference)) for reference in references)
    return similarity if similarity >= ANLS_THRESHOLD else 0.0


def _similarity(one: str, other: str) -> float:
    """1 - edit distance / longer length; 0 where the lengths alone keep it below the threshold."""
    longer = max(len(one), len(other))
    if one == other:
        return 1.0
    if abs(len(one) - len(other)) > ANLS_THRESHOLD * longer:
        return 0.0
    return 1 - edit_distance(one, other) / longer


def edit_distance(one: str, other: str) -> int:
    """Levenshtein distance: the fewest insertions, deletions and substitutions of a character (Wagner & Fischer)."""
    row = list(range(len(other) + 1))
    for i, sign in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, against in enumerate(other, start=1):
            diagonal, row[j] = row[j], min(diagonal + (sign != against), row[j] + 1, row[j - 1] + 1)
    return row[-1]


RELAXED_TOLERANCE = 0.05
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?%?")


def relaxed_accuracy(answer: str, references: Sequence[str]) -> float:
    """1 where the answer is within 5 % of a numeric reference, or the same as one that is no number; else 0.

    Masry et al. 2022 (ChartQA, arXiv 2203.10244), section 5.1, after Methani et al. 2020 (PlotQA, arXiv 1909.00997),
    in the reading of Pix2Struct's `relaxed_correctness`, which later papers and lmms-eval use: a trailing % divides by
    100 ("50%" is 0.5, and "50" is not); where a reference is 0, or either of the two is no number ("1,000" is none),
    the texts must be the same but for case and spaces. A year is a number too: 2010 passes for 2015.
    """
    return float(any(_relaxed(tidy(answer), tidy(reference)) for reference in references))


def _relaxed(answer: str, reference: str) -> bool:
    given, wanted = _number(answer), _number(reference)
    if given is None or not wanted:
        return answer == reference
    # A hair of room: 1.05 is within 5 % of 1, but 1.05 - 1 is a little more than 0.05 to a computer.
    return abs(given - wanted) <= RELAXED_TOLERANCE * abs(wanted) * (1 + 1e-9)


def _number(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    return value if math.isfinite(value) else None
