"""Stands in for conda: what Snakemake asks of it, without a download. Its environments run this very Python.

Installed by `install`; each call is noted in the file `calls` beside it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

ACTIVATE = """
export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"
"""


def install(folder: Path) -> Path:
    """Make the stand-in in this folder; returns the folder to put on the PATH."""
    (folder / "bin").mkdir(parents=True)
    _program(folder / "bin/conda", f"#!{sys.executable}\n{Path(__file__).read_text()}\nmain()\n")
    _program(folder / "bin/activate", ACTIVATE)
    return folder / "bin"


def calls(folder: Path) -> list[list[str]]:
    """How it was called so far."""
    log = folder / "calls"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def made(folder: Path) -> list[Path]:
    """The environments that it made, in their order."""
    return [Path(call[call.index("--prefix") + 1]) for call in calls(folder) if call[:2] == ["env", "create"]]


def main() -> None:
    words, home = sys.argv[1:], Path(__file__).parents[1]
    with (home / "calls").open("a") as log:
        log.write(json.dumps(words) + "\n")
    if words[:1] == ["info"]:
        print(json.dumps({"conda_prefix": str(home), "platform": "linux-64"}))
    elif words[:1] == ["config"]:
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif words == ["--version"]:
        print("conda 26.7.1")
    elif words[:2] == ["env", "create"]:
        environment = Path(words[words.index("--prefix") + 1])
        (environment / "bin").mkdir(parents=True)
        asked = {name: value for name, value in os.environ.items() if name.startswith("CONDA_")}
        (environment / "variables.json").write_text(json.dumps(asked))
        _program(environment / "bin/python", f'#!/bin/sh\nPYTHON_OF_CONDA="$0" exec {sys.executable} "$@"\n')


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
