"""Predicting in shards: nothing that is finished is asked twice, and nothing is lost or mixed up."""

import errno
import json
import multiprocessing
import random
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from bitbudget import files
from bitbudget.runtimes.prediction import asked_in, batches, in_order_of, predict, shards
from bitbudget.runtimes.transformers.generation import Answer

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


def run(model, folder, items=ITEMS, batch_size=4, shard_size=10, remade=None):
    return predict(items, model, batch_size=batch_size, shard_size=shard_size, folder=folder, remade=remade)


LENGTHS = {item["id"]: random.Random(item["id"]).randrange(5, 200) for item in ITEMS}


def length_of(item):
    return LENGTHS[item["id"]]


EXPECTED = [{"id": i["id"], **asdict(Answer(f"I see {i['id']}", 3, 5, "stop"))} for i in ITEMS]


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
    assert files.read_jsonl(tmp_path / "00000000-1.jsonl")[1:] == first


def test_the_items_can_be_asked_again_in_the_same_batches(tmp_path):
    sizes = {"batch_size": 4, "shard_size": 10}
    model = Model()
    predict(ITEMS, model, folder=tmp_path, **sizes)
    assert [[item["id"] for item in batch] for batch in batches(ITEMS, **sizes)] == model.batches


def test_the_noise_floor_asks_the_same_items_in_another_order_and_gives_them_back_in_theirs(tmp_path):
    other, same, third = (asked_in(ITEMS, {"seed": seed, "again": True}, length_of) for seed in (53, 53, 54))
    assert other != ITEMS and sorted(map(str, other)) == sorted(map(str, ITEMS))
    assert other == same != third
    rows = run(Model(), tmp_path, other)
    assert [row["id"] for row in in_order_of(ITEMS, rows)] == [item["id"] for item in ITEMS]


def padding(found):
    """Share of the tokens in these batches that is padding."""
    return 1 - sum(LENGTHS.values()) / sum(len(batch) * max(map(length_of, batch)) for batch in found)


def test_a_batch_holds_items_of_like_length_and_the_answers_come_back_in_the_items_order(tmp_path):
    model, sizes = Model(), {"batch_size": 4, "shard_size": 8}
    asked = asked_in(ITEMS, {"seed": 53}, length_of)
    rows = predict(asked, model, folder=tmp_path, **sizes)
    assert in_order_of(ITEMS, rows) == EXPECTED
    assert [LENGTHS[one] for one in model.asked] == sorted(LENGTHS.values(), reverse=True)
    assert padding(batches(asked, **sizes)) < 0.3 * padding(batches(ITEMS, **sizes))


def test_the_noise_floor_pads_items_beside_other_neighbours():
    def neighbours(spec):
        found = batches(asked_in(ITEMS, spec, length_of), batch_size=4, shard_size=50)
        return {frozenset((a["id"], b["id"])) for batch in found for a in batch for b in batch if a != b}

    first, second = neighbours({"seed": 53}), neighbours({"seed": 53, "again": True})
    assert len(first & second) < 0.4 * len(first)


def test_an_answer_can_be_any_dataclass(tmp_path):
    @dataclass(frozen=True)
    class Rank:
        rank: int

    found = run(lambda batch: [Rank(len(item["id"])) for item in batch], tmp_path, ITEMS[:2])
    assert found == [{"id": "item 0", "rank": 6}, {"id": "item 1", "rank": 6}]


def damaged(content, kind):
    """A shard's bytes after a mishap."""
    head, *lines = content.decode().splitlines(keepends=True)
    row = json.loads(lines[0])
    return {
        "of no bytes": b"",
        "cut in a line": content[: len(content) * 2 // 3],
        "cut between two lines": (head + "".join(lines[:-1])).encode(),
        "cut after its head": head.encode(),
        "without its head": "".join(lines).encode(),
        "a line twice": (head + lines[0] + "".join(lines)).encode(),
        "a line in the place of another": (head + lines[1] + "".join(lines[1:])).encode(),
        "lines in another order": (head + "".join(lines[::-1])).encode(),
        "a line too many": content + lines[-1].encode(),
        "an edited answer": content.replace(b"I see item 10", b"I saw item 10"),
        "a wrong id": content.replace(b'"id": "item 10"', b'"id": "item 99"'),
        "a number that is none": content.replace(b'"new_tokens": 5', b'"new_tokens": NaN', 1),
        "a number edited": content.replace(b'"new_tokens": 5', b'"new_tokens": 6', 1),
        "a field less": (head + json.dumps({"id": row["id"]}) + "\n" + "".join(lines[1:])).encode(),
        "no UTF-8": content.replace(b"I see", b"I \xff\xfe"),
        "zeros": bytes(len(content)),
        "its end zeros": content[:200] + bytes(len(content) - 200),
        "one bit": content[:300] + bytes([content[300] ^ 1]) + content[301:],
        "another form of JSON": b"[]\n" + content,
        "deeply nested": b"[" * 100_000,
        "a huge number": b"9" * 5000 + b"\n",
        "another line ending": content.replace(b"\n", b"\r\n"),
    }[kind]  # fmt: skip


KINDS = [
    "of no bytes", "cut in a line", "cut between two lines", "cut after its head", "without its head", "a line twice",
    "a line in the place of another", "lines in another order", "a line too many", "an edited answer", "a wrong id",
    "a number that is none", "a number edited", "a field less", "no UTF-8", "zeros", "its end zeros", "one bit",
    "another form of JSON", "deeply nested", "a huge number", "another line ending",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_shard_is_made_again_with_a_remark(kind, tmp_path, caplog):
    run(Model(), tmp_path)
    path = tmp_path / "00000010-10.jsonl"
    whole = path.read_bytes()
    assert damaged(whole, kind) != whole
    path.write_bytes(damaged(whole, kind))
    again, remade = Model(), []
    assert run(again, tmp_path, remade=remade) == EXPECTED
    assert again.asked == [f"item {number}" for number in range(10, 20)]
    assert [one["shard"] for one in remade] == ["00000010-10.jsonl"]
    assert remade[0]["reason"].startswith("empty" if kind == "of no bytes" else "damaged")
    assert f"the shard {path} is {remade[0]['reason']}: its answers are made again" in caplog.text
    assert path.read_bytes() == whole
    third = Model()
    assert run(third, tmp_path) == EXPECTED and third.asked == []


def test_a_shard_of_another_study_or_of_other_items_is_not_taken_over(tmp_path):
    other = [{"id": item["id"]} for item in ITEMS]
    run(Model(), tmp_path / "one")
    run(lambda batch: [Answer("another study's", 1, 1, "stop") for _ in batch], tmp_path / "two", other)
    (tmp_path / "two/00000010-10.jsonl").replace(tmp_path / "one/00000010-10.jsonl")
    (tmp_path / "one/00000000-10.jsonl").write_bytes((tmp_path / "one/00000010-10.jsonl").read_bytes())
    again, remade = Model(), []
    assert run(again, tmp_path / "one", remade=remade) == EXPECTED
    assert {one["reason"] for one in remade} == {"of another request"} and len(remade) == 2
    moved = [{"id": f"other {number}"} for number in range(23)]
    remade.clear()
    assert [row["id"] for row in run(Model(), tmp_path / "one", moved, remade=remade)] == [i["id"] for i in moved]
    assert {one["reason"] for one in remade} == {"damaged, or of other items"} and len(remade) == 3


def test_a_shard_that_cannot_be_read_from_the_disk_is_made_again(tmp_path, monkeypatch):
    run(Model(), tmp_path)
    read = Path.read_bytes

    def failing(path):
        if path.name.startswith("00000020"):
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    again = Model()
    assert run(again, tmp_path) == EXPECTED
    assert again.asked == ["item 20", "item 21", "item 22"]


def answer_to_the_end(folder):
    """What a process does until it is killed: long answers, of which a shard is half written for some time."""

    def ask(batch):
        with (folder / "asked").open("a") as log:
            log.writelines(item["id"] + "\n" for item in batch)
        return [Answer("x" * 200_000 + item["id"], 1, 1, "stop") for item in batch]

    items = [{"id": f"item {n}"} for n in range(60)]
    rows = predict(items, ask, batch_size=2, shard_size=4, folder=folder / "shards")
    assert [row["text"] for row in rows] == ["x" * 200_000 + item["id"] for item in items]


def test_answers_are_whole_after_any_number_of_kills_at_any_moment(tmp_path):
    dice, kills = random.Random(5), 0
    while True:
        process = multiprocessing.get_context("fork").Process(target=answer_to_the_end, args=(tmp_path,))
        process.start()
        if kills < 8:
            time.sleep(dice.uniform(0, 0.12))
            process.kill()
            kills += 1
        process.join(600)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    asked = (tmp_path / "asked").read_text().splitlines()
    assert set(asked) == {f"item {number}" for number in range(60)}
    assert len(asked) <= 60 + 4 * kills  # a kill loses one shard at most
