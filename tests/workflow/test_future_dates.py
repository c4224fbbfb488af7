"""Files that are dated in the future: Snakemake accepts nothing that is made of them, and deletes it."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import pytest
from checkout_copy import Checkout

CELL = "results/tiny/demo-vlm/nf4-language/zero-shot"
TARGET = f"{CELL}/scores.json"
SHARDS = "resources/.partial/predictions/tiny/demo-vlm/nf4-language/zero-shot"
# A predict that really answers in shards, and notes what it was asked; AHEAD sets the date of what it reads.
PREDICT = """
import dataclasses, os, pathlib, sys, time
sys.path.insert(0, "workflow/scripts")
from bitbudget.runtimes import prediction

@dataclasses.dataclass
class Answer:
    text: str

def ask(batch):
    with open("asked", "a") as log:
        log.writelines(item["id"] + "\\n" for item in batch)
    return [Answer(item["id"]) for item in batch]

given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
items = [{"id": str(n)} for n in range(8)]
rows = prediction.predict(items, ask, batch_size=2, shard_size=4, folder=pathlib.Path(given["--shards"]) / "key")
for option in ("--out", "--record"):
    pathlib.Path(given[option]).write_text(str(rows))
if "AHEAD" in os.environ:
    when = time.time() + float(os.environ["AHEAD"])
    os.utime(given["--images"], (when, when))
"""
SCORE = """
import pathlib, sys
sys.path.insert(0, "workflow/scripts")
from bitbudget.runtimes import shard_files
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
shard_files.forget(pathlib.Path(given["--shards"]))
for option in ("--out", "--out-items"):
    pathlib.Path(given[option]).write_text("scored")
"""


@pytest.fixture
def answering(run: Checkout) -> Checkout:
    """A finished study of which one precision is to be answered and scored once more, in shards."""
    for name, body in (("predict", PREDICT), ("score", SCORE)):
        script = run.folder / f"workflow/scripts/{name}.py"
        script.write_text(f"{body}\nraise SystemExit\n{script.read_text().replace('from __future__', '# ')}")
    shutil.rmtree(run.folder / CELL)
    return run


def asked(run: Checkout) -> list[str]:
    log = run.folder / "asked"
    return log.read_text().split() if log.exists() else []


def date(path: Path, seconds: float) -> None:
    when = time.time() + seconds
    os.utime(path, (when, when), follow_symlinks=False)


@pytest.mark.parametrize(
    ("name", "seconds", "said"),
    [
        ("results/tiny/images.json", 8400, "results/tiny/images.json is dated 2 hours in the future"),
        ("results/tiny/items.jsonl", 30 * 86400, "results/tiny/items.jsonl is dated 30 days in the future"),
        ("results/tiny/subset.json", 100, r"results/tiny/subset.json is dated \d\d seconds in the future"),
        (
            "results/tiny/demo-vlm/nf4-language/checkpoint/.snakemake_timestamp", 620,
            "results/tiny/demo-vlm/nf4-language/checkpoint is dated 10 minutes in the future",
        ),
    ],
)  # fmt: skip
def test_it_is_said_before_anything_is_computed(answering: Checkout, name: str, seconds: float, said: str) -> None:
    (answering.folder / name).touch()
    date(answering.folder / name, seconds)
    done = answering.snakemake("--cores", "1", TARGET)
    assert done.returncode == 1
    assert re.search(said, done.stderr)
    assert "set this machine's clock right, or, if it is right, give the file today's date (`touch -h " in done.stderr
    assert "Traceback" not in done.stderr and "Error in rule" not in done.stderr
    assert asked(answering) == []


def test_a_date_in_the_past_is_no_matter(answering: Checkout) -> None:
    date(answering.folder / "results/tiny/images.json", -86400)
    assert answering.run(TARGET) == []  # neither stand-in notes itself
    assert len(asked(answering)) == 8


def test_answers_that_snakemake_does_not_accept_are_not_made_twice(answering: Checkout) -> None:
    """The date is set while the job runs, so that nothing could be said before."""
    done = answering.snakemake("--cores", "1", TARGET, AHEAD="3700")
    assert done.returncode == 1 and "has older modification time" in done.stderr
    assert not (answering.folder / f"{CELL}/predictions.jsonl").exists()
    assert sorted(asked(answering)) == [str(n) for n in range(8)]
    assert len(list((answering.folder / SHARDS / "key").iterdir())) == 2

    again = answering.snakemake("--cores", "1", TARGET)
    assert again.returncode == 1 and "results/tiny/images.json is dated 6" in again.stderr

    (answering.folder / "results/tiny/images.json").touch()
    done = answering.snakemake("--cores", "1", TARGET)
    assert done.returncode == 0, done.stderr
    assert len(asked(answering)) == 8
    assert (answering.folder / f"{CELL}/predictions.jsonl").exists()


def test_shards_go_when_their_answers_have_been_accepted(answering: Checkout) -> None:
    predictions = f"{CELL}/predictions.jsonl"
    assert answering.run(predictions) == []
    assert (answering.folder / SHARDS).is_dir()
    answering.run(TARGET)
    assert len(asked(answering)) == 8
    assert not (answering.folder / "resources/.partial/predictions/tiny").exists()
