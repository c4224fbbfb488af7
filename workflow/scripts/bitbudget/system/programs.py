"""Programs that are started: the locale that they inherit, and how what they say is read.

Under LC_ALL=C a program takes file names for ASCII: Java then opens nothing in a folder called "Größe". Under other
locales it may write 0,5 for 0.5. So every program is started under one locale, whatever the user's is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

# UTF-8 and otherwise plain; Linux has it everywhere, and macOS has the other name.
LOCALE = "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"
INHERITED = {"LC_ALL": LOCALE, "LANG": LOCALE, "PYTHONUTF8": "1"}


def environment() -> dict[str, str]:
    """This process's environment with the locale that programs are to have."""
    return {**os.environ, **INHERITED}


def ask(command: Sequence[str], *, env: dict[str, str] | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it said, as text; bytes that are no UTF-8 come through as surrogates.

    `env` takes the place of `environment`; `more` is for `subprocess.run`, whose exceptions come through.
    """
    return subprocess.run(
        command,
        env=env or environment(),
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        **{"check": False} | more,
    )


def keeps_to_ascii() -> bool:
    """Whether this Python takes file names and arguments for ASCII, as under LC_ALL=C with PYTHONUTF8=0."""
    return sys.getfilesystemencoding().lower().replace("-", "") != "utf8"


def start_again_in_utf_8() -> None:
    """Put the same Python with the same arguments in this process's place, but in UTF-8 mode (PEP 540)."""
    os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment())
