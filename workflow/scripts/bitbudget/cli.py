"""What every script does alike: its arguments, its messages, and how it fails."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence

from bitbudget.errors import UserError, lack_in_one_sentence
from bitbudget.system import programs

log = logging.getLogger("bitbudget")


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser whose help shows every default."""
    return argparse.ArgumentParser(description=description, formatter_class=_Help)


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the lines of an argument's help that has several."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return [short for line in text.splitlines() for short in super(_Help, self)._split_lines(line, width)]


def spec(parser: argparse.ArgumentParser, keys: Sequence[str], action: str = "store") -> None:
    """Add `--spec`: what the script's rule tells it of the study, as JSON with these keys; its help explains each."""
    from bitbudget.config.spec import add_option

    add_option(parser, keys, action)


def run(main: Callable[[], None]) -> None:
    """Run a script's main function: a user's mistake ends in one sentence, a bug in a traceback.

    What the machine lacks (space, memory, a permission) is a user's to mend: it gets its sentence here rather than in
    every place that writes or computes.
    """
    # Importing torch and transformers makes a million objects that stay; at its usual threshold the garbage collector
    # walks over them again and again, for a fifth of a short job's start-up.
    gc.set_threshold(200_000, 20, 20)
    if programs.keeps_to_ascii():
        programs.start_again_in_utf_8()
    _end_with_the_run()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        main()
        _leave(0)
    except UserError as fault:
        log.error("error: %s", fault)
        _leave(1)
    except Exception as fault:
        sentence = lack_in_one_sentence(fault)
        if sentence is None:
            raise
        log.error("error: %s", sentence)
        _leave(1)
    except KeyboardInterrupt:
        log.error("interrupted: run the same command again to go on from here.")
        sys.exit(130)


def _leave(status: int) -> None:
    """End the process at once: every file is closed, and taking torch down in good order costs another second.

    Where memory ran out, it would run out again, and end in tracebacks below the sentence.
    """
    logging.shutdown()
    with contextlib.suppress(OSError) if status else contextlib.nullcontext():
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


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
