"""Where and by what a measurements record was made, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]


def circumstances(measured: Record) -> dict[str, Any]:
    """Where a measurements record was made: `device`, `threads` and `hardware` (processor and GPUs); None if unknown.

    A record without any value, as that of a simulated precision, was measured nowhere: all three are None.
    """
    if not any("value" in metric for metric in measured["metrics"].values()):
        return {"device": None, "threads": None, "hardware": None}
    about = measured.get("circumstances", {})
    # the record itself was put together elsewhere than where its repeats were measured
    made = next(iter(measured.get("repeats", [])), measured)
    machine = made.get("provenance", {}).get("hardware", {})
    gpus = [about["gpu"]] if "gpu" in about else machine.get("gpus") or []  # the one that was used, where it is named
    names = [machine.get("cpu"), *(gpu.get("name") for gpu in gpus)]
    hardware = " + ".join(dict.fromkeys(name for name in names if name))
    return {"device": about.get("device"), "threads": about.get("threads"), "hardware": hardware or None}


def delegate(measured: Record) -> str | None:
    """What ran how many of a detector's operators: "XNNPACK 231/233 operators"; None where the record does not say.

    The others ran in LiteRT's own kernels; "none" is the name where all of them did.
    """
    about = measured.get("circumstances", {}).get("delegate")
    return about and "{name} {delegated}/{operators} operators".format(**about)


def place(where: Mapping[str, Any]) -> str:
    """Circumstances in words: "AMD EPYC, cpu, 1 thread"; what is not known is left out."""
    threads = where["threads"]
    counted = None if threads is None else f"{threads} thread{'s' * (threads != 1)}"
    return ", ".join(part for part in (where["hardware"], where["device"], counted) if part)


def difference(measured: Record, baseline: Record) -> str:
    """Why speed, memory and energy cannot be compared with the baseline's; empty where nothing speaks against it."""
    here, there = circumstances(measured), circumstances(baseline)
    if all(here[name] == there[name] or None in (here[name], there[name]) for name in here):
        return ""
    return (
        f"measured on {place(here)} where the baseline was measured on {place(there)}: "
        "speed, memory and energy are not comparable"
    )
