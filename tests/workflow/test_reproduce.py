"""A study rerun from within a job of the workflow, with stand-ins whose answers are known."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from checkout_copy import Checkout, ended, wait_until

from checkouts import ROOT

SCRATCH = "resources/.partial/reproduction/tiny"
ANSWERS = "results/tiny/demo-vlm/float16/zero-shot/predictions.jsonl"
# A library file that predicting uses: what item 1 is answered in each study.
LIBRARY = "workflow/scripts/bitbudget/answering.py"
PREDICT = """
import json, pathlib, sys, time
from bitbudget.answering import ANSWERS
SPEC = ("prompt",)
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
time.sleep(float(pathlib.Path("seconds.txt").read_text()))
out = pathlib.Path(given["--out"])
rows = [{"id": str(number), "text": text} for number, text in enumerate(["a cat", ANSWERS[out.parts[1]], "a dog"])]
out.write_text("".join(json.dumps(row) + "\\n" for row in rows))
record = {"n": 3, "prompt": json.loads(given["--spec"])["prompt"], "provenance": {"finished": time.time()}}
pathlib.Path(given["--record"]).write_text(json.dumps(record))
"""
SCORE = """
import json, pathlib, sys
SPEC = ("primary",)
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
rows = [json.loads(line) for line in pathlib.Path(given["--predictions"]).read_text().splitlines()]
items = [{"id": row["id"], "length": len(row["text"])} for row in rows]
pathlib.Path(given["--out-items"]).write_text("".join(json.dumps(item) + "\\n" for item in items))
mean = sum(item["length"] for item in items) / 3
pathlib.Path(given["--out"]).write_text(json.dumps({"metrics": {"length": {"value": mean}}, "provenance": {}}))
"""


@pytest.fixture
def study(run: Checkout) -> Checkout:
    """The study `tiny`, answered and scored to the end by the stand-ins above, with its noise floor."""
    put_stand_ins(run)
    answered(run)
    return run


def put_stand_ins(run: Checkout) -> None:
    scripts = run.folder / "workflow/scripts"
    (scripts / "predict.py").write_text(PREDICT)
    (scripts / "score.py").write_text(SCORE)
    (scripts / "reproduce_study.py").write_text((ROOT / "workflow/scripts/reproduce_study.py").read_text())
    (run.folder / LIBRARY).write_text('ANSWERS = {\n    "tiny": "a bird",\n    "other": "a bird",\n}\n')
    (run.folder / "seconds.txt").write_text("0")


def answered(study: Checkout, *arguments: str) -> None:
    done = study.snakemake("--cores", "1", "--until", "score", "score_again", *arguments)
    assert done.returncode == 0, done.stderr


def reproduced(study: Checkout, *arguments: str) -> subprocess.CompletedProcess[str]:
    return study.snakemake("--cores", "1", "reproduce", *arguments)


def record(study: Checkout, name: str = "tiny") -> dict:
    return json.loads((study.folder / f"results/{name}/reproduction.json").read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and "reproduction" not in path.name
    }


def test_a_study_that_gives_the_same_again_is_identical_and_leaves_nothing_behind(study):
    before = contents(study.folder / "results")
    done = reproduced(study)
    assert done.returncode == 0, done.stderr
    assert "tiny: identical: 12 answers and all scores of 4 cells" in done.stdout + done.stderr
    assert record(study)["identical"]
    assert not (study.folder / SCRATCH).exists()
    assert contents(study.folder / "results") == before


def test_code_that_has_changed_is_run_in_the_scratch_folder_alone_and_other_studies_are_rerun_too(study):
    """A plain run would answer again with the new code: the old answers are what it must be compared with."""
    study.write_study("other")
    both = ("--config", "study=[tiny,other]")
    answered(study, *both)
    before = contents(study.folder / "results")
    study.edit(LIBRARY, '"tiny": "a bird"', '"tiny": "a plane"')
    would = study.snakemake("--cores", "1", "-n", "scores")
    assert "predict" in would.stdout, "the digest of the code has not changed, so that this test shows nothing"
    done = reproduced(study, *both)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "tiny: not identical: 4 of 12 answers or their scores differ, in 4 of 4 cells" in said
    assert "other: identical: 12 answers" in said
    assert contents(study.folder / "results") == before
    assert "a bird" in (study.folder / ANSWERS).read_text()
    assert "a plane" in (study.folder / SCRATCH / ANSWERS).read_text()
    assert not (study.folder / SCRATCH).with_name("other").exists()
    cells = record(study)["cells"]
    assert [cell["items_differing"] for cell in cells] == [["1"]] * 4
    assert [cell["noise_floor"] for cell in cells] == [False, False, False, True]
    assert cells[0]["files"]["scores.json"] == "metrics.length.value"
    assert record(study, "other")["identical"]


def test_a_study_that_asks_otherwise_by_now_says_so(study):
    study.edit("config/studies/tiny.yaml", "What is it?", "What is this?")
    done = reproduced(study)
    assert done.returncode == 1
    assert "predictions.json: prompt" in done.stdout + done.stderr
    assert "What is it?" in (study.folder / ANSWERS).with_suffix(".json").read_text()


def test_a_study_that_is_not_finished_is_not_rerun_and_nothing_of_it_is_made(study):
    """A lost answer is seen at once; a lost audit would have to be made, which a rerun must not do."""
    (study.folder / "results/tiny/demo-vlm/nf4-language/audit.json").unlink()
    before = contents(study.folder / "results")
    done = reproduced(study)
    assert done.returncode == 1
    assert "study tiny is not finished: audit_checkpoint would have to run" in done.stdout + done.stderr
    assert contents(study.folder / "results") == before
    lost = study.folder / "results/tiny/demo-vlm/float16/zero-shot/noise_floor/scores.json"
    lost.unlink()
    done = reproduced(study)
    assert done.returncode == 1
    assert "study tiny is not finished" in done.stdout + done.stderr
    assert "float16/zero-shot/noise_floor/scores.json is missing" in done.stdout + done.stderr
    assert not lost.exists()
    assert not (study.folder / "results/tiny/reproduction.json").exists()


def test_a_killed_rerun_ends_with_all_its_jobs_and_the_next_one_finishes(study):
    (study.folder / "seconds.txt").write_text("600")
    process = subprocess.Popen(
        study.command("--cores", "1", "reproduce"),
        cwd=study.folder, env=study.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    seen: list[psutil.Process] = []

    def answering() -> bool:
        seen[:] = psutil.Process(process.pid).children(recursive=True)
        return any("predict.py" in " ".join(_command(one)) for one in seen)

    wait_until(answering)
    scratch = [one for one in seen if "--directory" in _command(one)]
    assert scratch, "the answers are not of a rerun"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: all(map(ended, scratch)))  # else Snakemake goes on in the scratch folder
    for one in seen:  # the stand-ins sleep on: only real scripts watch their run
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    (study.folder / "seconds.txt").write_text("0")
    done = reproduced(study)
    assert done.returncode == 0, done.stderr
    assert record(study)["identical"]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
