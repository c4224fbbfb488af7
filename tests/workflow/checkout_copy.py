"""A copy of the checkout to run snakemake in, with or without stand-ins for the scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from checkouts import copy_checkout

# The least that has every kind of job: a baseline and two precisions of different formats.
STUDY = {
    "study": "tiny",
    "demo": True,
    "track": "captioning",
    "dataset": {"name": "demo-scenes", "subset": 4},
    "models": ["demo-vlm"],
    "precisions": ["float16", "int8-language", "nf4-language"],
    "prompt": "What is it?",
}
LATE_IMPORT = "from __future__ import annotations\n"
STAND_IN = 'import sys; sys.path.insert(0, "tests/workflow"); import stub; stub.main(__file__); raise SystemExit\n'


class Checkout:
    """A folder that holds a copy of the repository."""

    def __init__(self, folder: Path):
        self.folder = folder

    def environment(self, **more: str) -> dict[str, str]:
        """This process's environment with this Python first, and without what would change how snakemake works."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SNAKEMAKE", "PYTEST"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        return kept | {"PATH": path, "XDG_CACHE_HOME": str(self.folder / ".cache")} | more

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", *arguments]

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start snakemake and do not wait for it."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run snakemake to its end."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=900)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run(self, *arguments: str, **environment: str) -> list[tuple[str, str]]:
        """A run on one core that succeeds; the jobs that ran, as (rule, first file written), in their order."""
        seen = len(self.jobs())
        done = self.snakemake("--cores", "1", *arguments, **environment)
        assert done.returncode == 0, done.stderr
        return [(job["rule"], job["wrote"]) for job in self.jobs()[seen:]]

    def jobs(self) -> list[dict[str, Any]]:
        """Every stand-in that came to its end so far."""
        log = self.folder / "stub.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def started(self) -> list[str]:
        """Every stand-in that was started so far."""
        log = self.folder / "stub.started"
        return log.read_text().splitlines() if log.exists() else []

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a file, which must hold the old text."""
        path = self.folder / name
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new))

    def write_study(self, name: str, **keys: Any) -> None:
        content = STUDY | {"study": name} | keys
        (self.folder / f"config/studies/{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def wait_until(happened: Callable[[], Any], seconds: float = 300) -> None:
    """Wait for a state; the limit is far from what a busy machine takes."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def ended(process: psutil.Process) -> bool:
    """Whether it computes no more; where nobody collects orphans, as in some containers, it stays as a zombie."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def copy_of_the_checkout(folder: Path) -> Checkout:
    """The repository, but for the demo model's weights, in whose place stands a small file."""
    copy_checkout(folder)
    for weights in folder.rglob("*.safetensors"):
        weights.write_text("weights")
    return Checkout(folder)
