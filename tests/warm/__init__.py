"""A `python` for tests that imported torch and transformers once for all scripts that load a model.

Starting these takes several times as long as what they do with a tiny model. The study in
tests/end_to_end/test_additions.py starts each anew, as a user's run does. Nothing is fetched from the network.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
# Read by libraries when they are imported; the workflow and its scripts set the same.
AS_IN_SCRIPTS = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUTF8": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


@functools.cache
def python() -> Path:
    """The program, to be called as `python script.py arguments`; its server ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="warm"))
    program, socket = folder / "python", folder / "socket"
    text = (HERE / "client.py").read_text().replace("@python@", sys.executable).replace("@server@", str(socket))
    program.write_text(f"#!{sys.executable} -IS\n{text}")
    program.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, HERE / "server.py", socket],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | AS_IN_SCRIPTS,
    )  # fmt: skip
    assert server.stdout.readline() == "ready\n"
    _kept.append(server)
    return program


# Servers are ended by the end of their standard input, which must stay open as long as this process lives.
_kept: list[subprocess.Popen[str]] = []
