"""What every script does alike: its arguments, its messages, and how it fails."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import sys
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
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        main()
    except UserError as fault:
        log.error("error: %s", fault)
        sys.exit(1)
    except OSError as fault:
        if fault.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = fault.filename or Path.cwd()
        log.error("error: the disk is full (writing %s): free some space and run the same command again.", where)
        sys.exit(1)
    except KeyboardInterrupt:
        log.error("interrupted: run the same command again to go on from here.")
        sys.exit(130)
