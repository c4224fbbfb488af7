"""A study rerun from within a job of the workflow, with stand-ins whose answers are known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from checkout_copy import Checkout

from checkouts import ROOT

SCRATCH = "resources/.partial/reproduction/tiny"
SPEC = {
    "seed": 0,
    "models": ["demo-vlm"],
    "precisions": ["float16", "int8-language", "nf4-language"],
    "conditions": ["zero-shot"],
    "baseline": "float16",
    "noise_floor": False,
}
# What item 1 is answered stands in a file of the working folder, so that a test can make a rerun differ.
PREDICT = """
import json, pathlib, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
time.sleep(float(pathlib.Path("seconds.txt").read_text()))
answers = ["a cat", pathlib.Path("answer.txt").read_text(), "a dog"]
rows = [json.dumps({"id": str(number), "text": text}) for number, text in enumerate(answers)]
pathlib.Path(given["--out"]).write_text("".join(row + "\\n" for row in rows))
pathlib.Path(given["--record"]).write_text(json.dumps({"n": 3, "provenance": {"finished": time.time()}}))
"""
SCORE = """
import json, pathlib, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
rows = [json.loads(line) for line in pathlib.Path(given["--predictions"]).read_text().splitlines()]
items = [{"id": row["id"], "length": len(row["text"])} for row in rows]
pathlib.Path(given["--out-items"]).write_text("".join(json.dumps(item) + "\\n" for item in items))
mean = sum(item["length"] for item in items) / 3
pathlib.Path(given["--out"]).write_text(json.dumps({"metrics": {"length": {"value": mean}}, "provenance": {}}))
"""
RULE = f"""

rule reproduce_tiny:
    threads: ALL_CORES
    params:
        spec=json.dumps({json.dumps(SPEC).replace("false", "False")}),
    shell:
        "{{sys.executable}} workflow/scripts/reproduce_study.py --study tiny --spec {{params.spec:q}}"
        " --scratch {SCRATCH} --cores {{threads}} --out results/tiny/reproduction.json 2>&1 | tee logs/reproduce.log"
"""


@pytest.fixture
def study(run: Checkout) -> Checkout:
    """The finished study, answered and scored by the stand-ins above, and a rule that reruns it."""
    scripts = run.folder / "workflow/scripts"
    (scripts / "predict.py").write_text(PREDICT)
    (scripts / "score.py").write_text(SCORE)
    (scripts / "reproduce_study.py").write_text((ROOT / "workflow/scripts/reproduce_study.py").read_text())
    (run.folder / "answer.txt").write_text("a bird")
    (run.folder / "seconds.txt").write_text("0")
    (run.folder / "Snakefile").write_text((run.folder / "Snakefile").read_text() + RULE)
    done = run.snakemake("--cores", "1", "--until", "score")
    assert done.returncode == 0, done.stderr
    return run


def record(study: Checkout) -> dict:
    return json.loads((study.folder / "results/tiny/reproduction.json").read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and "reproduction" not in path.name
    }


def test_a_study_that_gives_the_same_again_is_identical_and_leaves_nothing_behind(study):
    before = contents(study.folder / "results")
    done = study.snakemake("--cores", "1", "reproduce_tiny")
    assert done.returncode == 0, done.stderr
    assert "identical: 9 answers and all scores of 3 cells" in done.stdout + done.stderr
    assert record(study)["identical"]
    assert not (study.folder / SCRATCH).exists()
    assert contents(study.folder / "results") == before


def test_a_study_that_gives_something_else_names_the_item_and_keeps_the_rerun(study):
    (study.folder / "answer.txt").write_text("a plane")
    done = study.snakemake("--cores", "1", "reproduce_tiny")
    assert done.returncode == 1
    assert "not identical: 3 of 9 answers or their scores differ, in 3 of 3 cells" in done.stdout + done.stderr
    cells = record(study)["cells"]
    assert [cell["items_differing"] for cell in cells] == [["1"]] * 3
    assert cells[0]["files"]["scores.json"] == "metrics.length.value"
    rerun = study.folder / SCRATCH / "results/tiny/demo-vlm/float16/zero-shot/predictions.jsonl"
    assert "a plane" in rerun.read_text()
    assert "a bird" in (study.folder / "results/tiny/demo-vlm/float16/zero-shot/predictions.jsonl").read_text()


def test_a_study_that_is_not_finished_is_not_rerun(study):
    """A lost answer is seen at once; a lost checkpoint would have to be made, which a rerun must not do."""
    (study.folder / "results/tiny/demo-vlm/nf4-language/audit.json").unlink()
    done = study.snakemake("--cores", "1", "reproduce_tiny")
    assert done.returncode == 1
    assert "audit_checkpoint would have to run" in done.stdout + done.stderr
    (study.folder / "results/tiny/demo-vlm/float16/zero-shot/scores.json").unlink()
    done = study.snakemake("--cores", "1", "reproduce_tiny")
    assert "float16/zero-shot/scores.json is missing" in done.stdout + done.stderr


def test_a_killed_rerun_ends_with_all_its_jobs_and_the_next_one_finishes(study):
    (study.folder / "seconds.txt").write_text("60")
    process = subprocess.Popen(
        study.command("--cores", "1", "reproduce_tiny"),
        cwd=study.folder, env=study.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    seen: list[psutil.Process] = []
    for _ in range(300):
        seen = psutil.Process(process.pid).children(recursive=True)
        if any("predict.py" in " ".join(_command(one)) for one in seen):
            break
        time.sleep(0.1)
    scratch = [one for one in seen if "--directory" in _command(one)]
    assert scratch, "the rerun did not come to its first answer"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not psutil.wait_procs(scratch, timeout=10)[1], "Snakemake goes on in the scratch folder"
    for one in psutil.wait_procs(seen, timeout=1)[1]:  # the stand-ins sleep on: only real scripts watch their run
        one.kill()
    (study.folder / "seconds.txt").write_text("0")
    done = study.snakemake("--cores", "1", "reproduce_tiny")
    assert done.returncode == 0, done.stderr
    assert record(study)["identical"]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
