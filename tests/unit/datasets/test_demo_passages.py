"""The generated stories: true by a reader of its own, the same every time, and undecided without the whole passage."""

import json
import re
from collections import Counter

import pytest

from bitbudget.datasets import demo_passages, with_defaults
from bitbudget.datasets.demo import passages

HEROES = re.compile(r"(\w+) (?:could not sleep|was in a hurry|had been ill|felt at ease)\.")
DAY = re.compile(r"\b(\w+day)\b")
ASKS = {"fetch the": "thing", "needed was the": "thing", "go to the": "place", "led to the": "place"}


def solve(text):
    """The last word of a story from what stands before it, and the habits of the town."""
    context = text.rsplit(" ", 1)[0]
    (wanted,) = [kind for end, kind in ASKS.items() if context.endswith(end)]
    (hero,), (day,) = (pattern.findall(context) for pattern in (HEROES, DAY))
    return passages.habit(hero, day, wanted)


def test_the_last_word_follows_from_the_story():
    stories = [passages.passage(seed) for seed in range(400)]
    assert [solve(story.text) for story in stories] == [story.word for story in stories]
    assert all(story.text.endswith(f" {story.word}") for story in stories)


def test_every_closing_of_a_training_story_is_true():
    for seed in range(50):
        story, closings = passages.training_story(seed)
        assert set(closings) == {"thing", "place"}
        assert [solve(f"{story} {one.text}") for one in closings.values()] == [one.word for one in closings.values()]


def test_neither_the_last_sentence_nor_any_other_says_the_word():
    """The last sentences are few, and each is followed by very many words; the word stands nowhere before."""
    stories = [passages.passage(seed) for seed in range(2000)]
    after = {}
    for story in stories:
        after.setdefault(story.text.rsplit(". ", 1)[1].rsplit(" ", 1)[0], set()).add(story.word)
        assert not re.search(rf"\b{story.word}\b", story.text.rsplit(" ", 1)[0])
    assert len(after) == 4
    assert all(len(words) > 70 for words in after.values())


def test_person_and_day_both_matter():
    def words(name, day):
        return tuple(passages.habit(name, day, wanted) for wanted in ("thing", "place"))

    assert len({words(name, "Sunday") for name in passages.NAMES}) > 0.95 * len(passages.NAMES)
    assert len({words("Ada", day) for day in passages.DAYS}) == 7


def test_no_word_is_much_more_likely_than_the_others():
    words = Counter(passages.passage(seed).word for seed in range(2000))
    assert words.most_common(1)[0][1] < 0.02 * 2000
    assert len(words) > 180


def test_a_seed_tells_the_same_story_every_time_and_another_tells_another():
    assert passages.passage(5) == passages.passage(5)
    assert passages.passage(5).text.startswith(passages.training_story(5)[0])
    assert len({passages.passage(seed).text for seed in range(500)}) == 500


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("passages")
    options = {"passages": 30, "calibration_passages": 10, "seed": 2}
    return folder, options, demo_passages.fetch(options, folder, folder / "partial")


def test_the_files_are_as_lambada_s_and_read_back(made):
    folder, options, found = made
    lines = [json.loads(line) for line in (folder / "passages_test.jsonl").read_text().splitlines()]
    items = demo_passages.read_items(options, folder, "test")
    assert [set(line) for line in lines] == [{"text"}] * 30
    assert [f"{item.question} {item.references[0]}" for item in items] == [line["text"] for line in lines]
    assert all(item.images == () for item in items)
    assert set(found["files"]) == {"passages_test.jsonl", "passages_calibration.jsonl"}


def test_a_larger_set_begins_with_the_smaller_one(made, tmp_path):
    folder, options, _ = made
    demo_passages.fetch(options | {"passages": 40}, tmp_path, tmp_path / "partial")
    smaller, larger = ((one / "passages_test.jsonl").read_text() for one in (folder, tmp_path))
    assert larger.startswith(smaller)


def test_no_story_is_in_two_sets():
    ends = [first + 65 * each for each, first in demo_passages.STORIES.values()]
    firsts = [first for _, first in demo_passages.STORIES.values()]
    assert ends[0] <= firsts[1]
    assert ends[1] <= passages.FIRST_HELD_OUT_SEED < passages.FIRST_TRAINING_SEED
    options = with_defaults(demo_passages, "demo-passages", {})
    maximum = demo_passages.OPTIONS
    assert maximum["passages"]["maximum"] <= demo_passages.STORIES["test"][0]
    assert maximum["calibration_passages"]["maximum"] <= demo_passages.STORIES["calibration"][0]
    assert maximum["seed"]["maximum"] == 64
    assert options["passages"] == 400
