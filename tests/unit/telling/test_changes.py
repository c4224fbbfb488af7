"""How answers differ from the baseline's, in words."""

from __future__ import annotations

import pytest

from bitbudget.telling import changes


def told(*given: str | None, share: bool = False, value: float = 0.0) -> str:
    answers = {f"p{i}": {"change": change, "value": value} for i, change in enumerate((None, *given))}
    return changes.of_item(answers, "p0", "CIDEr", share=share)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "what p0 answers"),
        (("same",), "p1 answers as p0 does"),
        (("same", "same"), "all 2 precisions answer as p0 does"),
        (("changed",), "p1 answers otherwise than p0"),
        (("worse",), "p1 scores lower (CIDEr) than p0"),
        (("worse", "better", "better"), "1 of 3 precisions scores lower (CIDEr) than p0, 2 higher"),
        (("worse", "worse", "changed"), "2 of 3 precisions score lower (CIDEr) than p0"),
        (("better", "same"), "1 of 2 precisions scores higher (CIDEr) than p0"),
        (("changed", "changed", "same"), "2 of 3 precisions answer otherwise than p0"),
    ],
)
def test_what_became_of_an_item_is_counted(given, said):
    assert told(*given) == said


def test_all_wrong_is_said_of_right_and_wrong_answers_only():
    assert told("changed", share=True).endswith("otherwise than p0, all wrong")
    assert told("changed", share=True, value=1.0).endswith("otherwise than p0")
    assert told("changed").endswith("otherwise than p0")


def test_no_answer_is_called_worse():
    assert changes.word("worse", "CIDEr") == "scores lower (CIDEr)"
    assert changes.word(None, "CIDEr") == changes.word("same", "CIDEr") == ""
