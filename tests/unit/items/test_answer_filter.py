"""What counts of an answer: rules that a study gives, and their faults."""

import time

import pytest

from bitbudget.errors import UserError
from bitbudget.items import answer_filter

CHATTY = "Sure! Let me look.\n\nAnswer: a red cat.\nBecause it is red."


@pytest.mark.parametrize(("rules", "counts"), [
    ({}, CHATTY),
    ({"first_line": True}, "Sure! Let me look."),
    ({"regex": r"Answer:\s*(.+)"}, "a red cat."),
    ({"regex": r"Answer:.+", "strip_prefix": ["answer:"]}, "a red cat."),
    ({"regex": "no such words"}, CHATTY),
    ({"regex": r"Answer:[^~]*", "first_line": True, "strip_prefix": ["Well,", "Answer:"]}, "a red cat."),
    ({"regex": r"(z)?Sure"}, ""),
])  # fmt: skip
def test_what_counts(rules, counts):
    assert answer_filter.of(rules, CHATTY, "it") == counts


def test_an_empty_answer_stays_empty():
    assert answer_filter.of({"first_line": True, "strip_prefix": ["Answer:"], "regex": "x"}, "", "it") == ""


def test_faults_are_clauses():
    assert answer_filter.fault({"first_line": True}) is None
    assert answer_filter.fault({"regex": r"Answer: (\w+)"}) is None
    assert "`regex` is no regular expression (missing ), unterminated" in answer_filter.fault({"regex": "(a"})
    assert "has more than one group" in answer_filter.fault({"regex": "(a)(b)"})


def test_a_regular_expression_that_runs_away_is_one_sentence(monkeypatch):
    monkeypatch.setattr(answer_filter, "SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"`answer\.regex` of the study takes more than 0 s for the answer to item 7"):
        answer_filter.of({"regex": r"(x+x+)+y"}, "x" * 3000, "the answer to item 7")
    assert time.monotonic() - began < 5
