"""A copy of the checkout to run the workflow in, so that a test never touches the developer's own results."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
# Whole runs are of one core each: a job takes as many threads as there are cores, and threads of two runs that wait for
# each other on the same cores take ten times as long.
ONE_CORE = ("--cores", "1")
# The workflow has its scripts run by the Python that runs Snakemake.
IN_PLACE_OF_OUR_PYTHON = "import sys; sys.executable = sys.argv.pop(1); from snakemake.cli import main; main()"


def copy_checkout(target: Path) -> Path:
    """Copy every file that git tracks or would track to `target`, and return it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    return target


def write_study(checkout: Path, study: dict[str, Any]) -> str:
    """Write a study into the copy and return its name."""
    path = checkout / "config" / "studies" / f"{study['study']}.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return study["study"]


def environment() -> dict[str, str]:
    """The tests' own Python first on the PATH, as in an activated environment."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def snakemake(
    checkout: Path, *arguments: str, python: Path | None = None, timeout: float = 3600
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in the copy and return what it printed, whatever its exit status.

    Its scripts are run by `python`, where one is given, in place of the tests' own.
    """
    start = ["-m", "snakemake"] if python is None else ["-c", IN_PLACE_OF_OUR_PYTHON, str(python)]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        cwd=checkout,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def jobs_run(output: str) -> list[str]:
    """The rules of the jobs that a run started, in their order."""
    return [line.split()[1].rstrip(":") for line in output.splitlines() if line.startswith(("rule ", "localrule "))]
