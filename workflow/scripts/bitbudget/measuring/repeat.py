"""The record of one repeat: what one process measured of one model, precision and condition."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bitbudget import files, records

IDENTITY = ("study", "model", "precision", "condition", "seed")


def now() -> str:
    """This moment as records write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def hashes(audit: Path, subset: Path) -> dict[str, str]:
    """Which checkpoint and which subset were measured, from the records audit.json and subset.json."""
    return {
        "checkpoint_hash": files.read_json(audit)["checkpoint_hash"],
        "subset_hash": files.read_json(subset)["subset_hash"],
    }


def write(
    out: Path,
    spec: dict[str, Any],
    hashes: dict[str, str],
    metrics: dict[str, Any],
    circumstances: dict[str, Any],
    started: str,
) -> None:
    """Write the record; `started` is when the process began, so that the order of repeats can be checked."""
    body = {
        "repeat": spec["repeat"],
        "started": started,
        "finished": now(),
        "plan": spec["measure"],
        "metrics": metrics,
        "circumstances": circumstances,
    }
    records.write(out, "measurement_repeat", {key: spec[key] for key in IDENTITY} | hashes, body)
