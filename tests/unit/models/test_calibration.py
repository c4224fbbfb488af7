"""Calibration texts: fixed by the seed, none of them evaluated, and one sentence for what is wrong."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bitbudget import files
from bitbudget.datasets.passage_rows import read_passages
from bitbudget.errors import UserError
from bitbudget.items import item as items
from bitbudget.items.item import Item
from bitbudget.models.calibration import choosing
from bitbudget.models.calibration.texts import hash_of, text_of
from bitbudget.records import _validator

SCRIPT = Path(__file__).parents[3] / "workflow" / "scripts" / "select_calibration.py"
WORDS = ("ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine", "rowan", "willow")


def passages(count, first=0):
    """Texts that all differ, numbered from 1 as a file's lines are."""
    texts = [f"Story {first + k} of the {WORDS[k % 12]} ends with a {WORDS[k * 5 % 12]}" for k in range(count)]
    return [Item(str(k + 1), (), *_split(text)) for k, text in enumerate(texts)]


def _split(text):
    context, word = text.rsplit(" ", 1)
    return context, (word,)


def write(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def drawn(available, evaluated, number, seed=53):
    return [item.id for item in choosing.draw(available, evaluated, number, seed, "the split")]


def test_none_is_evaluated_and_all_are_different():
    available = passages(60)
    evaluated = available[10:40]
    found = drawn(available, evaluated, 25)
    assert len(set(found)) == 25
    assert not {item.id for item in evaluated} & set(found)


def test_a_smaller_choice_is_the_beginning_of_a_larger_one_whatever_the_order_of_the_data():
    available = passages(60)
    assert drawn(available, [], 20)[:7] == drawn(available[::-1], [], 7)
    assert drawn(available, [], 20) != drawn(available, [], 20, seed=54)
    assert drawn(available, [], 20) != sorted(drawn(available, [], 20), key=int)


def test_lines_of_another_split_with_the_same_numbers_are_no_evaluated_items():
    available, evaluated = passages(10, first=100), passages(400)
    assert len(drawn(available, evaluated, 10)) == 10


def test_the_same_text_twice_is_drawn_once_and_never_where_it_is_evaluated():
    available = passages(6)
    twin = Item("7", (), available[0].question, available[0].references)
    assert len(drawn([*available, twin], [], 6)) == 6
    with pytest.raises(UserError, match=r"^the split has only 6 different texts"):
        drawn([*available, twin], [], 7)
    assert drawn([available[1], twin], [available[0]], 1) == ["2"]


@pytest.mark.parametrize("text", ["story 0 , of the   ash ends\n with a ASH .", 'Story 0 of the ash ends with "a" ash'])
def test_another_writing_of_a_text_is_the_same_text(text):
    """As LAMBADA's tokenised original and OpenAI's variant differ."""
    other = Item("99", (), *_split(text))
    with pytest.raises(UserError, match="has only 0 different texts"):
        drawn([other], passages(1), 1)


def test_too_few_are_one_sentence():
    with pytest.raises(UserError) as caught:
        choosing.draw(passages(9), passages(4), 128, 53, "the split 'test' of lambada-openai")
    assert str(caught.value) == (
        "the split 'test' of lambada-openai has only 5 different texts that are not evaluated, and 128 are needed to "
        "calibrate; set fewer `items` in `quantization.calibration`, or name another `split` or a `file` there."
    )


def test_a_text_is_put_together_again():
    item = Item("1", (), "He opened the", ("door.",))
    assert text_of(item) == "He opened the door."


def test_the_hash_is_that_of_the_texts_in_their_order():
    some = passages(5)
    renamed = [Item(f"x{item.id}", (), item.question, item.references) for item in some]
    assert hash_of(some) == hash_of(renamed)
    assert hash_of(some) != hash_of(some[::-1])
    assert hash_of(some) != hash_of(some[:4])


# --- a file of the user's ---


def refusal(path, evaluated=(), number=2):
    with pytest.raises(UserError) as caught:
        choosing.draw_from_file(path, list(evaluated), number, 53)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence.removeprefix(str(path))


def test_texts_from_a_file(tmp_path):
    texts = [text_of(item) for item in passages(8, first=500)]
    found = choosing.draw_from_file(write(tmp_path / "own.jsonl", texts), passages(30), 5, 53)
    assert len({item.id for item in found}) == 5
    assert all(text_of(item) == texts[int(item.id) - 1] for item in found)


def test_a_file_that_overlaps_names_the_item_and_the_line(tmp_path):
    evaluated = passages(5)
    texts = ["One of them is new", "Another one is too", f"  {text_of(evaluated[3])} ", "And a last one"]
    path = write(tmp_path / "own.jsonl", texts)
    assert refusal(path, evaluated) == (
        ", line 3, is or holds the evaluated item '4'; remove it, because what is evaluated must not be calibrated on."
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("no json", ", line 2, is not valid JSON"),
        ('{"text": "alone"}', ", line 2, has a passage of one word ('alone')"),
        ('{"words": "two words"}', ", line 2,"),
    ],
)
def test_a_line_that_is_no_passage_is_named(tmp_path, line, sentence):
    path = tmp_path / "own.jsonl"
    path.write_text('{"text": "two words"}\n' + line + "\n")
    assert refusal(path).startswith(sentence)


def test_a_file_with_too_few_passages(tmp_path):
    path = write(tmp_path / "own.jsonl", ["two words", "three more words"])
    assert refusal(path, number=3).startswith(" has only 2 different texts that are not evaluated, and 3 are needed")


# --- as the rule runs it ---


@pytest.fixture
def study(tmp_path):
    """A fetched data set of 40 passages, and 12 of them to be evaluated."""
    folder = tmp_path / "dataset"
    texts = [text_of(item) for item in passages(40)]
    (folder / "passages").mkdir(parents=True)
    write(folder / "passages" / "passages.jsonl", texts)
    files.write_json(folder / "dataset.json", {"revision": "r1"})
    items.write(tmp_path / "items.jsonl", read_passages(folder / "passages" / "passages.jsonl")[5:17])
    spec = {
        "study": "mine", "seed": 53, "dataset": "my-passages", "kind": "local-lambada",
        "options": {"file": str(folder / "passages" / "passages.jsonl")}, 
        "calibration": {"split": "all", "items": 9, "file": None},
    }  # fmt: skip
    return tmp_path, spec


def run(folder, spec, fails=False, **calibration):
    spec = spec | {"calibration": spec["calibration"] | calibration}
    command = [sys.executable, str(SCRIPT), "--dataset-dir", str(folder / "dataset"), "--spec", json.dumps(spec)]
    command += ["--items", str(folder / "items.jsonl"), "--out", str(folder / "calibration.jsonl")]
    command += ["--record", str(folder / "calibration.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr.strip()


def record_of(folder):
    record = files.read_json(folder / "calibration.json")
    _validator("calibration").validate(record)
    return record


def test_the_script_writes_texts_and_record(study):
    folder, spec = study
    assert run(folder, spec) == "9 calibration texts from the split 'all' of my-passages"
    found, record = items.read(folder / "calibration.jsonl"), record_of(folder)
    assert record["ids"] == [item.id for item in found]
    assert not set(record["ids"]) & {item.id for item in items.read(folder / "items.jsonl")}
    assert record["n"] == 9
    assert record["calibration_hash"] == hash_of(found)
    assert {key: record[key] for key in ("study", "seed", "dataset", "revision", "split")} == {
        "study": "mine", "seed": 53, "dataset": "my-passages", "revision": "r1", "split": "all",
    }  # fmt: skip


def test_the_script_reads_a_file_of_the_users(study):
    folder, spec = study
    own = write(folder / "own.jsonl", [f"My own text number {k} ends" for k in range(12)])
    run(folder, spec, file=str(own), split=None)
    record = record_of(folder)
    assert (record["file"], record["sha256"]) == (str(own), files.sha256_of(own))
    assert "split" not in record
    first = items.read(folder / "items.jsonl")[0]
    write(own, ["some text", text_of(first)])
    told = run(folder, spec, fails=True, file=str(own), split=None, items=1)
    assert told == (
        f"error: {own}, line 2, is or holds the evaluated item {first.id!r}; "
        "remove it, because what is evaluated must not be calibrated on."
    )


def test_the_script_says_where_too_few_are_left(study):
    folder, spec = study
    told = run(folder, spec, fails=True, items=29)
    assert re.match(r"error: the split 'all' of my-passages has only 28 different texts that are not evaluated", told)
