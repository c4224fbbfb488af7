"""Keeping off the log what libraries in C++ print, whose messages no Python logger ever sees."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

from bitbudget.errors import UserError


@contextmanager
def silenced() -> Iterator[None]:
    """Throw away what is printed within the block. After a crash it is let through: it may say what went wrong."""
    with ExitStack() as stack:
        caught = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace"))
        try:
            with _to(caught):
                yield
        except UserError:
            raise
        except Exception:
            caught.seek(0)
            sys.stderr.write(caught.read())
            raise


@contextmanager
def _to(file: tempfile._TemporaryFileWrapper) -> Iterator[None]:
    """Send standard output and error to a file, those of Python and those of the process."""
    with ExitStack() as stack:
        for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(file.fileno(), number)
        stack.callback(file.flush)
        stack.enter_context(redirect_stdout(file))
        stack.enter_context(redirect_stderr(file))
        yield
