"""Predicting in shards: nothing that is finished is asked twice, and nothing is lost or mixed up."""

from dataclasses import dataclass

import pytest

from bitbudget import files
from bitbudget.generation import Answer
from bitbudget.prediction import asked_in, batches, in_order_of, predict, shards

ITEMS = [{"id": f"item {number}"} for number in range(23)]


class Model:
    """Answers each item with its own id, remembers what it was asked, and can be killed."""

    def __init__(self, dies_at=None):
        self.batches, self.dies_at = [], dies_at

    def __call__(self, batch):
        if any(item["id"] == self.dies_at for item in batch):
            raise KeyboardInterrupt
        self.batches.append([item["id"] for item in batch])
        return [Answer(f"I see {item['id']}", 3, 5, "stop") for item in batch]

    @property
    def asked(self):
        return [item for batch in self.batches for item in batch]


def run(model, folder, items=ITEMS, batch_size=4, shard_size=10):
    return predict(items, model, batch_size=batch_size, shard_size=shard_size, folder=folder)


EXPECTED = [
    {"id": i["id"], "text": f"I see {i['id']}", "prompt_tokens": 3, "new_tokens": 5, "finish": "stop"} for i in ITEMS
]


def test_shards_cover_every_item_once():
    assert [(start, len(part)) for start, part in shards(ITEMS, 10)] == [(0, 10), (10, 10), (20, 3)]
    assert [item for _, part in shards(ITEMS, 7) for item in part] == ITEMS


@pytest.mark.parametrize("shard_size", [1, 2, 10, 23, 500])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_answers_are_the_same_whatever_the_shards(tmp_path, batch_size, shard_size):
    model = Model()
    assert run(model, tmp_path, batch_size=batch_size, shard_size=shard_size) == EXPECTED
    assert max(map(len, model.batches)) <= batch_size
    assert model.asked == [item["id"] for item in ITEMS]


def test_after_a_kill_only_the_rest_is_asked(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Model(dies_at="item 21"), tmp_path)
    second = Model()
    assert run(second, tmp_path) == EXPECTED
    assert second.asked == ["item 20", "item 21", "item 22"]


def test_a_kill_within_a_shard_loses_that_shard_alone(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Model(dies_at="item 19"), tmp_path)
    second = Model()
    assert run(second, tmp_path) == EXPECTED
    assert second.asked == [f"item {number}" for number in range(10, 23)]


def test_a_third_run_asks_nothing(tmp_path):
    run(Model(), tmp_path)
    third = Model()
    assert run(third, tmp_path) == EXPECTED
    assert third.asked == []


def test_what_was_half_written_when_the_power_went_is_not_taken_for_a_shard(tmp_path):
    run(Model(), tmp_path)
    shard = next(path for path in tmp_path.iterdir() if path.name.startswith("00000010"))
    shard.rename(tmp_path / f".{shard.name}.x7.jsonl")
    again = Model()
    assert run(again, tmp_path) == EXPECTED
    assert again.asked == [f"item {number}" for number in range(10, 20)]


def test_a_model_that_forgets_an_item_is_a_bug_and_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="zip"):
        run(lambda batch: Model()(batch)[:-1], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_texts_of_any_kind_come_back_from_a_shard(tmp_path):
    strange = "two\nlines\u2028and “quotes” \U0001f408"
    items = [{"id": "x"}]
    first = run(lambda batch: [Answer(strange, 1, 1, "stop")], tmp_path, items)
    assert run(Model(), tmp_path, items) == first
    assert first[0]["text"] == strange
    assert files.read_jsonl(tmp_path / "00000000-1.jsonl") == first


def test_the_items_can_be_asked_again_in_the_same_batches(tmp_path):
    sizes = {"batch_size": 4, "shard_size": 10}
    model = Model()
    predict(ITEMS, model, folder=tmp_path, **sizes)
    assert [[item["id"] for item in batch] for batch in batches(ITEMS, **sizes)] == model.batches


def test_the_noise_floor_asks_the_same_items_in_another_order_and_gives_them_back_in_theirs(tmp_path):
    assert asked_in(ITEMS, {"seed": 53}) == ITEMS
    other = asked_in(ITEMS, {"seed": 53, "again": True})
    assert other != ITEMS and sorted(map(str, other)) == sorted(map(str, ITEMS))
    assert other == asked_in(ITEMS, {"seed": 53, "again": True}) != asked_in(ITEMS, {"seed": 54, "again": True})
    rows = run(Model(), tmp_path, other)
    assert [row["id"] for row in in_order_of(ITEMS, rows)] == [item["id"] for item in ITEMS]


def test_an_answer_can_be_any_dataclass(tmp_path):
    @dataclass(frozen=True)
    class Rank:
        rank: int

    found = run(lambda batch: [Rank(len(item["id"])) for item in batch], tmp_path, ITEMS[:2])
    assert found == [{"id": "item 0", "rank": 6}, {"id": "item 1", "rank": 6}]
