"""Which Python and programs jobs get, with conda and without; a change from one to the other reruns nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import fake_conda
import pytest
from checkout_copy import Checkout
from test_reproduce import answered, put_stand_ins

from checkouts import ROOT

CELL = "results/tiny/demo-vlm/nf4-language"
SCORES = f"{CELL}/zero-shot/scores.json"
RUNNING = Path(sys.executable).parent


class WithConda(Checkout):
    """A copy where `conda` is the stand-in."""

    @property
    def home(self) -> Path:
        return self.folder.parent / "conda"

    def environment(self, **more: str) -> dict[str, str]:
        kept = super().environment()
        return kept | {"PATH": f"{self.home / 'bin'}{os.pathsep}{kept['PATH']}"} | more

    def environment_of(self, job: dict[str, Any]) -> str | None:
        """The environment that a job ran in, by the file that Snakemake made it from; None where it ran in none."""
        made_from = Path(job["python"]).parents[1].with_suffix(".yaml")
        named = {path.read_text(): path.stem for path in (self.folder / "envs").glob("*.yaml")}
        return named[made_from.read_text()] if made_from.exists() else None

    def plan(self, *arguments: str) -> set[str]:
        """The rules that would run."""
        done = self.snakemake("-n", *arguments)
        assert done.returncode == 0, done.stderr
        return set(re.findall(r"^(?:local)?rule (\w+):$", done.stdout, flags=re.MULTILINE))


@pytest.fixture
def conda(run: Checkout) -> WithConda:
    """The finished study, that was made without conda."""
    found = WithConda(run.folder)
    fake_conda.install(found.home)
    return found


def test_changing_to_conda_and_back_reruns_nothing(conda: WithConda) -> None:
    assert conda.plan("--use-conda") == set()
    (conda.folder / SCORES).unlink()
    assert conda.run("--use-conda", SCORES) == [("score", SCORES)]
    assert conda.environment_of(conda.jobs()[-1]) == "scoring"
    conda.run("--use-conda")
    assert conda.plan() == conda.plan("--use-conda") == set()


@pytest.mark.parametrize("arguments", [(), ("--use-conda",)], ids=["without conda", "with conda"])
def test_changed_code_params_and_input_rerun_what_depends_on_them(conda: WithConda, arguments: tuple[str, ...]) -> None:
    """All was made without conda: what is run again must not hang on that."""
    library = conda.folder / "workflow/scripts/bitbudget/measuring/carbon.py"
    library.write_text(library.read_text() + "# changed\n")
    conda.edit("rules/scoring.smk", "python workflow/scripts/filter_", "python -B workflow/scripts/filter_")
    done = conda.snakemake("-n", *arguments)
    reasons = dict(re.findall(r"^(?:local)?rule (\w+):$.*?^    reason: (.*?)$", done.stdout, re.MULTILINE | re.DOTALL))
    assert "Params have changed" in reasons["tabulate_carbon"]  # the digest of its code is one of them
    assert "Code has changed" in reasons["filter_paraphrases"]
    assert "predict" not in reasons
    (conda.folder / "demo/models/demo-vlm/model.safetensors").write_text("other weights")
    assert {"fetch_model", "predict"} <= conda.plan(*arguments)


def test_a_changed_environment_reruns_what_was_made_in_it_only_when_asked(conda: WithConda) -> None:
    (conda.folder / SCORES).unlink()
    conda.run("--use-conda", SCORES)
    conda.edit("envs/scoring.yaml", "hotcoco==", "hotcoco==0.")
    assert conda.plan("--use-conda", SCORES) == set()
    assert "score" in conda.plan("--use-conda", "--rerun-triggers", "software-env", "--", SCORES)


def test_every_rule_runs_in_its_environment(conda: WithConda) -> None:
    shutil.rmtree(conda.folder / "results")
    before = len(conda.jobs())
    conda.run("--use-conda", CONDA_CHANNEL_PRIORITY="flexible")
    ran = {job["rule"]: job for job in conda.jobs()[before:]}
    named = re.findall(r"^rule (\w+):|^        \"\.\./envs/(\w+)\.yaml\"", rules_of(conda), flags=re.MULTILINE)
    expected = {rule: env for (rule, _), (_, env) in pairwise(named) if rule and env}
    assert {rule: conda.environment_of(job) for rule, job in ran.items()} == {
        rule: None if rule == "draw_rulegraph" else expected[rule] for rule in ran
    }
    for environment in fake_conda.made(conda.home):
        variables = json.loads((environment / "variables.json").read_text())
        assert variables["CONDA_DEFAULT_CHANNELS"] == "conda-forge"  # as in a .condarc that names `defaults`
        assert variables["CONDA_CHANNEL_PRIORITY"] == "flexible", "what a user sets is kept"
    for rule, job in ran.items():
        python = Path(job["python"])
        assert rule != "draw_rulegraph" or python.parent == RUNNING
        first = job["path"].split(os.pathsep)[0]
        assert rule == "draw_rulegraph" or first == str(python.parent), "the environment's programs come first"


def rules_of(conda: WithConda) -> str:
    return "".join(path.read_text() for path in (conda.folder / "rules").glob("*.smk"))


def test_a_python_that_cannot_start_leaves_its_message_in_the_log(conda: WithConda) -> None:
    target = f"{CELL}/audit.json"
    (conda.folder / target).unlink()
    conda.snakemake("--cores", "1", "--use-conda", "--conda-create-envs-only", target)
    for environment in fake_conda.made(conda.home):
        (environment / "bin/python").write_text("#!/nowhere/python\n")
    done = conda.snakemake("--cores", "1", "--use-conda", target)
    assert done.returncode == 1
    assert "bin/python" in (conda.folder / "logs/audit_checkpoint/tiny.demo-vlm.nf4-language.log").read_text()


@pytest.mark.parametrize("prefix", ["../environments", None])
def test_a_rerun_gets_the_environments_that_are_there(conda: WithConda, prefix: str | None) -> None:
    """The scratch folder is another working folder, where relative folders and Snakemake's default lead elsewhere."""
    options = ["--use-conda", *(["--conda-prefix", prefix] if prefix else [])]
    put_stand_ins(conda)
    answered(conda, *options)
    there = fake_conda.made(conda.home)
    assert {path.parent.resolve() for path in there} == {(conda.folder / (prefix or ".snakemake/conda")).resolve()}
    done = conda.snakemake("--cores", "1", *options, "reproduce")
    assert done.returncode == 0, done.stderr
    assert "tiny: identical" in done.stderr + done.stdout
    assert fake_conda.made(conda.home) == there


@pytest.mark.parametrize(
    ("target", "last"),
    [
        ("demo", "--config study=demo-captioning"),
        ("run", "--config study=tiny"),
        ("again", "--config study=tiny -- a.pdf"),
        ("reproduce", "--config study=tiny -- reproduce"),
    ],
)
def test_make_hands_options_on(target: str, last: str) -> None:
    """Between others, so that one that takes several words, as --sdm, takes no target for one of them."""
    given = ["CORES=1", "STUDY=tiny", "TARGET=a.pdf", "SNAKEMAKE_ARGS=--sdm conda"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # `make test` sets some
    command = ["make", "--dry-run", target, *given]
    said = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, check=True).stdout
    run = said.strip().splitlines()[-1]
    assert "snakemake --cores 1 --sdm conda --" in said and run.endswith(last)


# --- without conda


def test_without_conda_rules_run_by_the_python_that_runs_snakemake(fresh: Checkout) -> None:
    """Called by its path, in an environment that was not activated, while the PATH has another Python."""
    other = fresh.folder.parent / "other"
    other.mkdir()
    for name in ("python", "python3"):
        (other / name).write_text("#!/bin/sh\necho another Python >&2\nexit 3\n")
        (other / name).chmod(0o755)
    (other / "bash").symlink_to(shutil.which("bash"))
    environment = fresh.environment() | {"PATH": f"{other}{os.pathsep}/usr/bin{os.pathsep}/bin"}
    done = subprocess.run(
        [RUNNING / "snakemake", "--cores", "1"], cwd=fresh.folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for job in fresh.jobs():
        assert Path(job["python"]).parent == RUNNING
        assert job["path"].split(os.pathsep)[:2] == [str(RUNNING), str(other)], "programs beside it are found"


def test_the_order_of_a_path_that_has_this_pythons_folder_is_left_alone(fresh: Checkout) -> None:
    path = f"{fresh.folder}{os.pathsep}{fresh.environment()['PATH']}"
    fresh.snakemake("--cores", "1", "results/tiny/subset.json", PATH=path)
    assert {job["path"] for job in fresh.jobs()} == {path}
