"""Copies of the checkout: as it is, or with stand-ins for the scripts and a study that was run to its end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from checkout_copy import LATE_IMPORT, STAND_IN, Checkout, copy_of_the_checkout

from made_once import made_once


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A copy as it is."""
    return copy_of_the_checkout(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy whose scripts are stand-ins, in which the study `tiny` was run to its end; tests work on copies of it."""

    def make(folder: Path) -> None:
        made = copy_of_the_checkout(folder)
        for script in (made.folder / "workflow/scripts").glob("*.py"):
            text = script.read_text()
            # The script's own text stays below, so that its imports still say which code it depends on.
            head = LATE_IMPORT if LATE_IMPORT in text else ""
            script.write_text(head + STAND_IN + text.replace(LATE_IMPORT, ""))
        made.write_study("tiny")
        made.edit("config/config.yaml", "study: demo-captioning", "study: tiny")
        made.run()

    return Checkout(made_once(tmp_path_factory, "finished", make))


@pytest.fixture
def run(finished: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the finished run for one test; dates are kept."""
    shutil.copytree(finished.folder, tmp_path / "run", symlinks=True)
    return Checkout(tmp_path / "run")


@pytest.fixture
def fresh(run: Checkout) -> Checkout:
    """The same with nothing run yet."""
    for name in ("results", "resources", ".snakemake", "logs"):
        shutil.rmtree(run.folder / name)
    for name in ("stub.log", "stub.started"):
        (run.folder / name).unlink()
    return run
