"""What disturbs timings so much that they cannot be compared: a loaded machine, and a GPU that others compute on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]

LOADED = "the machine was loaded"
SHARED_GPU = "other processes computed on the GPU"


def loaded(load: float, cores: int) -> bool:
    """Whether more jobs waited for a processor than there are cores."""
    return load > cores + 0.5


def of_repeats(repeats: Sequence[Record]) -> list[str]:
    """The reasons that forbid comparing the times, rates and energy of these repeats, each once; usually none.

    One disturbed repeat is enough, because all are pooled. How loaded the machine was, and which processes there were,
    the remarks say.
    """
    about = [one.get("circumstances", {}) for one in repeats]
    keys = ("other_gpu_processes", "other_gpu_processes_after")
    found = {
        LOADED: any(loaded(one.get("load_before", 0.0), one.get("cores", 1)) for one in about),
        SHARED_GPU: any(one.get(key) for one in about for key in keys),
    }
    return [reason for reason, there in found.items() if there]


def of_record(measured: Record) -> list[str]:
    """The same of a record of measurements; one that was made before it held them is judged by its repeats."""
    return measured["disturbed"] if "disturbed" in measured else of_repeats(measured.get("repeats", []))


def columns(measured: Record) -> dict[str, str | None]:
    """Two cells of a table: `remarks`, all of a record of measurements, and `disturbed`, why nothing is compared."""
    cells = {"remarks": " | ".join(measured.get("remarks", [])), "disturbed": "; ".join(of_record(measured))}
    return {name: text or None for name, text in cells.items()}
