"""The choice of a subset: repeatable, independent of file order, nested."""

import random

import pytest

from bitbudget.errors import UserError
from bitbudget.items import subset

IDS = [str(n) for n in range(1000)]


def test_order_of_the_file_does_not_matter():
    shuffled = random.Random(1).sample(IDS, len(IDS))
    assert subset.choose(shuffled, 50, seed=7) == subset.choose(IDS, 50, seed=7)


def test_small_subset_is_the_beginning_of_a_large_one():
    assert subset.choose(IDS, 500, seed=7)[:100] == subset.choose(IDS, 100, seed=7)
    assert subset.choose(IDS, None, seed=7)[:500] == subset.choose(IDS, 500, seed=7)


def test_seed_changes_the_choice():
    assert set(subset.choose(IDS, 100, seed=1)) != set(subset.choose(IDS, 100, seed=2))


def test_choice_is_spread_over_the_file():
    chosen = [int(one) for one in subset.choose(IDS, 100, seed=3)]
    assert 400 < sum(chosen) / len(chosen) < 600


def test_choice_stays_what_it_was():
    """Published results name a seed: this choice must never change."""
    assert subset.choose(["a", "b", "c", "d", "e"], 3, seed=53) == [
        "d",
        "e",
        "a",
    ]  # `printf 53:d | sha256sum` …, sorted


def test_too_many_asked_for():
    with pytest.raises(UserError, match=r"1001 items.*only 1000"):
        subset.choose(IDS, 1001, seed=0)


def test_ids_file_keeps_its_order_and_ignores_comments(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("# chosen by hand\n17\n\n  3 \n250\n")
    assert subset.resolve({"ids": str(path)}, IDS, seed=1) == ["17", "3", "250"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1\n2\n1\n", r"ids\.txt names '1' twice"),
        ("1\nx9\n", r"ids\.txt names 'x9', which"),
        ("\n#\n", "names no item"),
    ],
)
def test_wrong_ids_file_is_named(tmp_path, text, sentence):
    path = tmp_path / "ids.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        subset.resolve({"ids": str(path)}, IDS, seed=1)


def test_missing_ids_file():
    with pytest.raises(UserError, match=r"nowhere\.txt does not exist"):
        subset.read_ids_file(subset.Path("nowhere.txt"))


def test_all_takes_every_item():
    assert sorted(subset.resolve("all", IDS, seed=4)) == sorted(IDS)
