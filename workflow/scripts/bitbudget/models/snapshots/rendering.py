"""Rendering a chat template once in a process of its own: a template is a program, and may not come to an end."""

from __future__ import annotations

import multiprocessing
import os
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from bitbudget.errors import UserError, reason

SECONDS = 10  # of processor time; real templates take milliseconds
BYTES = 1 << 30  # more than this process has already
LONGEST = 100_000  # characters for one short question


def render(make: Callable[[], str], template: Path) -> str:
    """The prompt that `make` returns. Raises `UserError`, naming `template`, if it fails or runs on."""
    context = multiprocessing.get_context("fork")  # a fork has the processor already, and starts at once
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_limited, args=(make, there), daemon=True)
    child.start()
    there.close()
    try:
        kind, text = here.recv()
    except EOFError:  # killed at its limit
        kind, text = "fault", f"it does not come to an end within {SECONDS} s"
    child.join()
    if kind == "fault":
        raise UserError(f"the chat template in {template} fails ({text}): correct it, or take the original model's.")
    return text


def _limited(make: Callable[[], str], answer: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (OSError, ValueError):  # a system without /proc, or a lower limit already
        pass
    try:
        text = make()
        if len(text) > LONGEST:
            answer.send(("fault", f"it writes {len(text)} characters for one short question"))
        else:
            answer.send(("text", text))
    except MemoryError:
        answer.send(("fault", "it takes more than 1 GB of memory"))
    except Exception as fault:
        answer.send(("fault", reason(fault)))
    answer.close()
    os._exit(0)  # nothing of the parent's is to be closed or flushed twice
