"""Measures of short answers, against values worked out by hand."""

import pytest

from bitbudget.metrics import short_answers as metrics


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("a red bus.", "red bus"),
        ("The Red BUS", "red bus"),
        ("two", "2"),
        ("Ten", "10"),
        ("none", "0"),
        ("eleven", "eleven"),  # number words go up to ten
        ("1,000", "1000"),
        ("red, white,blue", "red whiteblue"),  # beside a space a mark goes without a trace, wherever else it stands
        ("red,white", "red white"),
        ("it's", "it's"),
        ("dont", "don't"),
        ("youre", "you're"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("yall'd've", "y'all'd've"),
        ("oclock", "o'clock"),
        ("twas", "'twas"),
        ("hes at theirs", "he's at theirs"),
        ("its", "its"),  # a possessive: the list leaves it alone
        ("girl's", "girl's"),
        ("10:30", "10:30"),
        ("10:30 a.m.", "10:30 am"),
        ("yes/no", "yes no"),
        ("t-shirt", "t shirt"),
        ("3.5", "3.5"),
        ("3.", "3"),
        ("$5.00", "$5.00"),
        ("(maybe)", "maybe"),
        ("what?!", "what"),
        ("", ""),
        ("  \n ", ""),
        ("...", ""),
        ("red\nbecause it is\ta stop sign", "red because it is stop sign"),
        ("A", "a"),  # the letter: not nothing
        ("The", "the"),
    ],
)
def test_answers_are_normalised_as_the_official_evaluation_does(answer, normal):
    assert metrics.normalise(answer) == normal
    assert metrics.normalise(normal) == normal


@pytest.mark.parametrize(("matches", "accuracy"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (9, 1), (10, 1)])
def test_accuracy_is_the_mean_over_nine_of_ten_annotators(matches, accuracy):
    """Three of ten: without one of the three two others are left (2/3), which is so three times; else all three (1)."""
    references = ["red"] * matches + [f"other {i}" for i in range(10 - matches)]
    assert metrics.vqa_accuracy("red", references) == pytest.approx(accuracy)


def test_both_sides_are_normalised_also_where_all_annotators_agree():
    assert metrics.vqa_accuracy("T-shirt.", ["t-shirt"] * 10) == 1
    assert metrics.vqa_accuracy("two", ["2"] * 10) == 1
    assert metrics.vqa_accuracy("The cat", ["cat"] * 9 + ["dog"]) == 1
    assert metrics.vqa_accuracy("dont walk", ["Don't walk!"] * 3 + ["stop"] * 7) == pytest.approx(0.9)
    assert metrics.vqa_accuracy("red and more words", ["red"] * 10) == 0


def test_an_empty_answer_is_never_right():
    assert metrics.vqa_accuracy("", ["yes"] * 10) == 0
    assert metrics.vqa_accuracy("", ["?", "...", "a"] + ["unanswerable"] * 7) == 0
    assert metrics.is_most_common("", ["?"] * 10) == 0
    assert metrics.vqa_accuracy("a", ["A"] * 10) == 1


def test_the_most_common_answer():
    references = ["two"] * 3 + ["2"] * 2 + ["3"] * 4 + ["many"]
    assert metrics.most_common(references) == {"2"}
    assert metrics.is_most_common("Two", references) == 1
    assert metrics.is_most_common("3", references) == 0
    assert metrics.most_common(["yes"] * 5 + ["no"] * 5) == {"yes", "no"}


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("same", "same", 0), ("ab", "ba", 2)],
)
def test_edit_distance(one, other, distance):
    assert metrics.edit_distance(one, other) == metrics.edit_distance(other, one) == distance


@pytest.mark.parametrize(
    ("answer", "references", "similarity"),
    [
        ("coca cola", ["Coca Cola"], 1),  # case does not count
        ("coca  cola ", ["coca cola"], 1),
        ("cocacola", ["coca cola"], 1 - 1 / 9),
        ("sitting", ["kitten"], 1 - 3 / 7),
        ("abcd", ["abxy"], 0.5),  # just at the threshold
        ("abcde", ["abxyz"], 0),  # 1 - 3/5 is below it
        ("sitting", ["flaw", "kitten", "x"], 1 - 3 / 7),  # the most similar reference
        ("", ["kitten"], 0),
        ("kitten and a long explanation", ["kitten"], 0),
        ("1", ["2"], 0),
    ],
)
def test_anls(answer, references, similarity):
    assert metrics.anls(answer, references) == pytest.approx(similarity)


@pytest.mark.parametrize(
    ("answer", "references", "right"),
    [
        ("105", ["100"], 1),  # just 5 %
        ("1.05", ["1"], 1),
        ("95", ["100"], 1),
        ("106", ["100"], 0),
        ("-98", ["-100"], 1),
        ("98", ["-100"], 0),
        ("50%", ["0.5"], 1),
        ("51 %", ["50%"], 0),  # with a space it is no number, as in Pix2Struct
        ("51%", ["50%"], 1),
        ("50", ["50%"], 0),
        ("0", ["0"], 1),
        ("0.0", ["0"], 0),  # no share of nothing: only the same text
        ("0.01", ["0"], 0),
        ("2010", ["2015"], 1),  # a year is a number
        ("1,000", ["1000"], 0),
        ("1,000", ["1,000"], 1),
        ("Blue", ["blue"], 1),
        ("blue ", ["blue", "navy"], 1),
        ("dark blue", ["blue"], 0),
        ("about 100", ["100"], 0),
        ("nan", ["nan"], 1),  # the word, no number
        ("1e999", ["1e999"], 1),
        ("", ["5"], 0),
    ],
)
def test_relaxed_accuracy(answer, references, right):
    assert metrics.relaxed_accuracy(answer, references) == right


def test_exact_match_of_texts():
    assert metrics.is_one_of(" Coca  COLA", ["pepsi", "coca cola"]) == 1
    assert metrics.is_one_of("the cola", ["cola"]) == 0
