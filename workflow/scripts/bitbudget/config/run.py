"""The frame of a run: one at a time in a folder, no dates in the future, and what is said at its end."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from bitbudget import registry
from bitbudget.config import plan
from bitbudget.errors import UserError, lack_in_one_sentence
from bitbudget.judging.summary import LEFT_OUT
from bitbudget.telling import costs, text


class Lock:
    """Keeps a second run out of a folder.

    Snakemake's own lock is a file that outlives a killed run and must be removed by hand. This one is held by the
    kernel for this process and is gone with it, so a plain rerun after `kill -9` just goes on.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file: IO[str] | None = None

    def hold(self) -> None:
        """Take the lock until this process ends. Raises `UserError` where another run holds it."""
        try:
            self.path.parent.mkdir(exist_ok=True)
            self._file = self.path.open("w")
        except OSError as fault:
            raise UserError(f"{lack_in_one_sentence(fault) or fault}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError("another run is at work in this folder; wait for it to end, or stop it.") from None


LEAST_SPACE = 10 * 10**6  # bytes: what Snakemake itself notes and logs in a long run


def refuse_full_disk(folder: Path) -> None:
    """Raise `UserError` where not even the notes of a run would find room.

    Snakemake would end in the tracebacks of its own logging.
    """
    free = shutil.disk_usage(folder).free
    if free < LEAST_SPACE:
        raise UserError(
            f"the disk is full: {free / 1e6:.1f} MB are free in {folder}, and a run needs {LEAST_SPACE / 1e6:.0f} MB "
            "for its notes alone; free some space and run the same command again."
        )


FOLDERS = ("resources", "results", "logs")


def refuse_no_folders(folder: Path) -> None:
    """Raise `UserError` where one of a run's own folders is a file, or a link to a disk that is not mounted.

    Snakemake would end in a traceback of its own.
    """
    for path in (folder / name for name in FOLDERS):
        if os.path.lexists(path) and not path.is_dir():
            what = f"a link to {path.readlink()}, which is no folder" if path.is_symlink() else "a file"
            raise UserError(f"{path} is {what}, where a run keeps a folder: mount what it links to, or remove it.")


def cache_variables(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Environment variables that have libraries keep what they make in `folder`, where HOME cannot be written.

    Nothing where it can. A login to the Hugging Face Hub that lies in HOME stays valid.
    """
    home = Path(environ.get("HOME") or "~").expanduser()
    usual = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    try:
        usual.mkdir(exist_ok=True)
        if os.access(usual, os.W_OK | os.X_OK):
            return {}
    except (OSError, RuntimeError):  # no HOME, or none that can be written
        pass
    token = Path(environ.get("HF_HOME") or usual / "huggingface") / "token"
    own = {"XDG_CACHE_HOME": folder, "MPLCONFIGDIR": folder / "matplotlib", "TRITON_HOME": folder}
    own |= {"HF_HOME": folder / "huggingface", "HF_TOKEN_PATH": token}
    return {name: str(path.absolute()) for name, path in own.items() if name == "XDG_CACHE_HOME" or name not in environ}


def refuse_future_dates(paths: Iterable[str]) -> None:
    """Raise `UserError` where a file that a job is to read is dated in the future.

    Snakemake accepts no output that is older than an input, and deletes it: the job would be run in vain, each time.
    """
    now = time.time()
    ahead = {path: when - now for path in sorted(set(paths)) if (when := _date_of(Path(path))) > now + 1}
    if ahead:
        first, seconds = next(iter(ahead.items()))
        more = f", and {len(ahead) - 1} more such files" if len(ahead) > 1 else ""
        raise UserError(
            f"{first} is dated {_in_words(seconds)} in the future{more}, and Snakemake would delete what is made of "
            f"it: set this machine's clock right, or, if it is right, give the file today's date (`touch -h {first}`)."
        )


def _date_of(path: Path) -> float:
    """The latest of the dates that Snakemake goes by, in seconds of the epoch; 0 for what is not there."""
    stamp = path / ".snakemake_timestamp"  # its own mark of a folder's date
    try:
        return max(path.lstat().st_mtime, (stamp if stamp.exists() else path).stat().st_mtime)
    except OSError:
        return 0.0


def _in_words(seconds: float) -> str:
    """A length of time in its largest unit, as `3 days`."""
    units = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
    name, size = next((unit for unit in units if seconds >= 2 * unit[1]), units[-1])
    return f"{seconds / size:.0f} {name}s"


def summary_lines(studies: dict[str, dict[str, Any]]) -> list[str]:
    """Where the results of each finished study are, and its main numbers."""
    lines: list[str] = []
    for name, study in studies.items():
        table = Path("results") / name / "summary.csv"
        if not table.exists():
            continue
        primary = study["primary"]
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        lines += ["", f"{'demo study' if study['demo'] else 'study'} {name}: results/{name}/"]
        # what all rows share is not repeated in each of them
        named = [n for n in ("model", "condition", "precision") if n == "precision" or len(study[f"{n}s"]) > 1]
        widths = {n: max(len(n), *(len(row[n]) for row in rows)) for n in named}
        sees = plan.has_images(study)
        # column of the table: its title here
        column, title = costs.speed(registry.module_of("track", study["track"]), rows[0] if rows else ())
        shown = {primary: primary, "size_on_disk_MB": "MB on disk", column: title}
        columns = {column: max(12, len(title)) for column, title in shown.items()}
        titles = [f"{n:{width}}" for n, width in widths.items()]
        lines.append("  " + "  ".join(titles + [f"{shown[column]:>{width}}" for column, width in columns.items()]))
        for row in rows:
            labels = [f"{row[n]:{width}}" for n, width in widths.items()]
            out = row.get("notes", "").startswith(LEFT_OUT)
            values = [f"{'left out' if out else _short(row[column]):>{width}}" for column, width in columns.items()]
            lines.append("  " + "  ".join(labels + values))
        floor = Path("results") / name / "blind.json"
        if floor.exists():
            value = json.loads(floor.read_text(encoding="utf-8"))["metrics"][primary].get("value", "")
            label = (
                f"{'(without looking)' if sees else '(without reading)':{sum(widths.values()) + 2 * len(widths) - 2}}"
            )
            lines.append(f"  {label}  {_short(value):>{columns[primary]}}")
            found = [float(row[primary]) for row in rows if row[primary] != ""]
            if value != "" and found and max(found) <= value:
                lines.append(
                    f"  warning: no precision has a better {primary} than an answer without looking or reading"
                )
        lines += _verdicts(Path("results") / name)
        lines.append(f"  table: results/{name}/summary.csv   figures: results/{name}/figures/")
        if (Path("results") / name / "index.html").exists():
            lines.append(f"  look around: results/{name}/index.html   read: results/{name}/paper.pdf")
    return lines


def _verdicts(folder: Path) -> list[str]:
    """What the study's verdicts say, and what to do; nothing where there are none yet, or none that can be read."""
    try:
        record = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
        lines, advice = text.in_short(record), text.advice(record)
    except (OSError, ValueError, KeyError, TypeError):  # the end of a run must not fail over its own summary
        return []
    return [*lines, f"  in full: {folder}/verdicts.txt", *advice]


def _short(value: str | float) -> str:
    return "not measured" if value == "" else f"{float(value):.4g}"
