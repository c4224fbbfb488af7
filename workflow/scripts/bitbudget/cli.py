"""What every script does alike: its arguments, its messages, and how it fails."""

from __future__ import annotations

import argparse
import errno
import gc
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitbudget.errors import UserError

log = logging.getLogger("bitbudget")


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser whose help shows every default."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)


def json_argument(text: str) -> Any:
    """An argparse type for the rule's part of the study, handed over as JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as fault:
        raise argparse.ArgumentTypeError(f"not JSON ({fault}): {text[:80]}") from fault


def run(main: Callable[[], None]) -> None:
    """Run a script's main function: a user's mistake ends in one sentence, a bug in a traceback.

    A full disk is a user's to mend, so it gets its sentence here rather than in every place that writes.
    """
    # Importing torch and transformers makes a million objects that stay; at its usual threshold the garbage collector
    # walks over them again and again, for a fifth of a short job's start-up.
    gc.set_threshold(200_000, 20, 20)
    _end_with_the_run()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        main()
        _leave()
    except UserError as fault:
        log.error("error: %s", fault)
        sys.exit(1)
    except OSError as fault:
        if fault.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = fault.filename or Path.cwd()
        log.error("error: the disk is full (writing %s): free some space and run the same command again.", where)
        sys.exit(1)
    except Exception as fault:
        if type(fault).__name__ != "OutOfMemoryError":  # torch's, named so that torch need not be imported here
            raise
        log.error("error: the GPU's memory ran out (%s): set a smaller batch_size in the study.", _first_line(fault))
        sys.exit(1)
    except KeyboardInterrupt:
        log.error("interrupted: run the same command again to go on from here.")
        sys.exit(130)


def _first_line(fault: Exception) -> str:
    return str(fault).strip().split("\n")[0].rstrip(".")


def _leave() -> None:
    """End the process at once: every file is closed, and taking torch down in good order costs another second."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _end_with_the_run() -> None:
    """End this process soon after the run that started it, as its rule's shell names it in BITBUDGET_RUN.

    A killed Snakemake leaves its jobs running: one that went on would compute beside the next run, on the same files.
    """
    run = os.environ.get("BITBUDGET_RUN", "")
    if not run.isdigit():
        return  # started by hand

    def watch() -> None:
        while True:
            time.sleep(1)
            try:
                os.kill(int(run), 0)
            except ProcessLookupError:
                os._exit(130)
            except PermissionError:
                continue  # it lives, as another user's process

    threading.Thread(target=watch, daemon=True).start()
