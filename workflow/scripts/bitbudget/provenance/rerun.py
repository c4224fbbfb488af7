"""A finished study's answers and scores, made once more in a scratch folder by the workflow itself.

The scratch folder looks like the working folder. What predicting and scoring need stands there as links to what is in
the working folder, so nothing is copied and nothing else has to be made again; what they write is left out, and is made
by Snakemake with the working folder's own rules, scripts and environments.
"""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.provenance.reproduction import Cell
from bitbudget.system import programs

# The rules that may run there.
RULES = frozenset(
    {"predict", "predict_last_words", "detect", "score"}
    | {"predict_again", "predict_last_words_again", "detect_again", "score_again"}
)
SCRATCH = Path("resources/.partial/reproduction")  # where every study has a scratch folder of its own
OWN = ("results", "resources", "logs", ".snakemake", ".git")  # what a run writes, and what is no part of one
# What is made from scores; a run ends by printing some of it, which a rerun must not.
FOLLOWS = ("*.csv", "comparison.*", "verdicts.*", "spot_check.*", "human.json", "reproduction.json", "figures")
SIGN = ".reproduction"  # says that a folder is a scratch folder, and whether it has served
AT_WORK, COMPARED = "at work\n", "compared\n"


def build(work: Path, study: str, cells: Sequence[Cell], scratch: Path) -> None:
    """Make the scratch folder of the working folder `work`, for the study whose cells these are.

    One that was left by a rerun which did not come to its end is gone on with; its links are made anew. Raises
    `UserError` for a folder with other things in it.
    """
    sign = scratch / SIGN
    if scratch.exists() and any(scratch.iterdir()) and not sign.exists():
        raise UserError(f"{scratch} has other things in it; name a new folder or an empty one for the rerun.")
    if sign.exists() and sign.read_text() == COMPARED:
        shutil.rmtree(scratch)
    files.write_text(sign, AT_WORK)
    within = [work, *(work / name for name in ("resources", "results"))]
    for source in within[0].iterdir():
        if source.name not in OWN and not scratch.is_relative_to(source.absolute()):
            _link(source, scratch / source.name)
    if within[1].exists():
        for source in within[1].iterdir():
            if source.name != ".partial":  # half-finished shards would be shared
                _link(source, scratch / "resources" / source.name)
    _link_results(work / "results" / study, cells, scratch / "results" / study)


def _link_results(source: Path, cells: Sequence[Cell], target: Path) -> None:
    """Links to what is in a study's folder, but for the folders of its cells and what follows from scores."""
    models = {cell.model for cell in cells}
    precisions = {(cell.model, cell.precision) for cell in cells}
    conditions = {cell.condition for cell in cells}
    for entry in source.iterdir():
        if entry.name not in models and not any(fnmatch(entry.name, pattern) for pattern in FOLLOWS):
            _link(entry, target / entry.name)
    for model, precision in precisions:
        for entry in (source / model / precision).iterdir():
            if entry.name not in conditions:
                _link(entry, target / model / precision / entry.name)


def _link(source: Path, target: Path) -> None:
    """A link that is as old as what it leads to: Snakemake goes by the age of the link, too."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(source.absolute())
    stamp = source / ".snakemake_timestamp"
    age = (stamp if stamp.exists() else source).stat()
    os.utime(target, ns=(age.st_atime_ns, age.st_mtime_ns), follow_symlinks=False)


def served(scratch: Path) -> None:
    """Say that this scratch folder was compared: the next rerun begins afresh."""
    files.write_text(scratch / SIGN, COMPARED)


def command(work: Path, study: str, scratch: Path, cores: int, options: Sequence[str]) -> list[str]:
    """Snakemake's command line for the scratch folder, without targets; `options` are more of its own."""
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(work / "Snakefile"), "--directory", str(scratch),
        "--cores", str(cores), "--config", f"study={study}", *options,
    ]  # fmt: skip


def other_rules(base: Sequence[str], targets: Sequence[str]) -> list[str]:
    """Rules but for predicting and scoring that a run for these targets would have to run.

    Raises `UserError` where Snakemake cannot tell.
    """
    asked = programs.ask([*base, "--summary", "--", *targets])
    lines = asked.stdout.splitlines()
    start = next((k for k, line in enumerate(lines) if line.startswith("output_file\t")), None)
    if asked.returncode or start is None:
        said = " ".join(asked.stderr.split())[-600:]
        raise UserError(f"Snakemake could not say what a rerun of the study would do: {said}")
    rows = csv.DictReader(lines[start:], delimiter="\t")
    return sorted({row["rule"] for row in rows if row["plan"] != "no update"} - RULES)


def run(base: Sequence[str], targets: Sequence[str]) -> int:
    """Run Snakemake for these targets, its output going where this process's goes; returns its exit status.

    It is killed with this process, so that two reruns never write into one folder; its jobs end with it.
    """
    command, env = [*base, "--", *targets], programs.environment()
    with subprocess.Popen(command, env=env, stdout=sys.stderr, preexec_fn=_end_with_parent) as process:
        return process.wait()


def _end_with_parent() -> None:
    """In the new process: ask Linux to kill it when its parent ends, however that ends."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
