"""Runs scripts in forks of a process that has imported torch and transformers once.

Nothing of this repository is imported before the fork: every script loads the library of the checkout that it is in.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path

# What the scripts that load a model import of others' packages; what of it is not there, the scripts do without, too.
PRELOADED = (
    "torch._dynamo",
    "bitsandbytes",
    "jsonschema",
    "safetensors.torch",
    "transformers.generation.utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.processing_auto",
    "transformers.models.clip.modeling_clip",
    "transformers.models.llama.modeling_llama",
    "transformers.models.llava.modeling_llava",
)


def main(path: str) -> None:
    """Answer on a socket of this path until standard input ends, which is when the tests' process does."""
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    assert threading.active_count() == 1, "a fork would lose these threads"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    print("ready", flush=True)
    server = os.getpid()
    if not os.fork():
        listening.close()
        sys.stdin.read()
        os.kill(server, signal.SIGTERM)
        shutil.rmtree(Path(path).parent, ignore_errors=True)
        os._exit(0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that answer
    while True:
        asking, _ = listening.accept()
        if not os.fork():
            listening.close()
            _answer(asking)
        asking.close()


def _answer(asking: socket.socket) -> None:
    """Run the script that is asked for in a fork of its own, and tell its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, streams, _, _ = socket.recv_fds(asking, 8, 3)
    with asking.makefile("rb") as file:
        asked = json.loads(file.read(int.from_bytes(head, "big")))
    job = os.fork()
    if not job:
        asking.close()
        _become(asked, streams)
    _, status = os.waitpid(job, 0)
    asking.sendall(os.waitstatus_to_exitcode(status).to_bytes(2, "big", signed=True))
    os._exit(0)


def _become(asked: dict, streams: list[int]) -> None:
    """Be the process that `python script arguments` would have started."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    script, *_ = sys.argv = asked["arguments"]
    sys.orig_argv = [sys.executable, *sys.argv]
    sys.path[0] = str(Path(script).parent)
    status = 1
    try:
        runpy.run_path(script, run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1])
