"""GPTQModel as this project uses it: imported without changing the process, and without its chatter."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import logging
import os
from collections.abc import Iterator
from types import ModuleType

from bitbudget.errors import UserError


@functools.cache
def gptqmodel_library() -> ModuleType:
    """GPTQModel, imported without its banner, and without what it changes for the rest of the process.

    It would set the GPU's allocator and numbering, and so measure its own precisions under other conditions than the
    baseline; a thread that redraws progress bars ten times a second would run beside every measurement; and its
    tokenizer would move the Hub's cache. It needs two workers at least, also on two cores. It would compile its packing
    and its inner loop, which takes compilers that are not there everywhere, and for a small model longer than either;
    these settings can be made otherwise from outside. Raises `UserError` where it is not installed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("GPTQMODEL_CPU_WORKERS", str(max(2, min(12, cores))))
    for extension in ("GPTQMODEL_DISABLE_PACK_EXT", "GPTQMODEL_DISABLE_GPTQ_CUDA"):
        os.environ.setdefault(extension, "1")
    before = dict(os.environ)
    os.environ["TERM"] = "dumb"  # no terminal, no redrawing
    try:
        with silent_gptqmodel():
            return importlib.import_module("gptqmodel")
    except ImportError as fault:
        raise UserError(
            f"GPTQModel cannot be used here ({fault}): install it with `pip install -r requirements-gptq.lock`, which "
            "needs a C compiler, or leave the formats gptq-* and awq-* out of the study."
        ) from None
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ |= before


class _Nowhere(io.TextIOBase):
    """Takes every line and keeps none; it is never closed, because threads of the library write when they like."""

    def write(self, text: str) -> int:
        return len(text)


_NOWHERE = _Nowhere()


@contextlib.contextmanager
def silent_gptqmodel() -> Iterator[None]:
    """No banner, tables and bars of GPTQModel on standard output, nor its tokenizer's notes; its exceptions remain."""
    logging.getLogger("tokenicer").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(_NOWHERE):
        from logbar import LogBar

        LogBar.shared().setLevel("CRITICAL")
        yield
