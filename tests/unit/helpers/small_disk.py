"""A disk that is soon full, for tests that may mount one; the others are skipped."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def mount(*arguments: object) -> None:
    """Mount something, or skip the test where this machine does not let us."""
    if shutil.which("mount") is None:
        pytest.skip("there is no program `mount` here")
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


def unmount(place: Path) -> None:
    subprocess.run(["umount", str(place)], check=True)


@contextmanager
def one_mib(folder: Path) -> Iterator[Path]:
    """A disk of one MiB below a folder."""
    place = folder / "small"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", place)
    try:
        yield place
    finally:
        unmount(place)
