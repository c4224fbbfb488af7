"""An audit that was made in the process that made the checkpoint, kept until the audit's own job asks for it.

Starting a process that imports torch and transformers takes longer than auditing a small model. So `quantize_model`
audits what it has just stored, and leaves what it found in the checkpoint's folder, with a digest of the audit's code.
The job of the audit takes it where the code, packages, machine, what is asked, and the checkpoint are still the same,
and audits itself where they are not: after an edit of the audit's code nothing is quantized again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import files, records

AUDITED = "audited.json"
KEYS = ("study", "model", "precision", "family", "assignment", "dtype", "device", "simulated", "calibration")


def asked_of(spec: dict[str, Any]) -> dict[str, Any]:
    """What the audit is told of the study, of all that `quantize_model` is told."""
    return {key: spec[key] for key in KEYS if key in spec}


def _wanted(code: str, spec: dict[str, Any]) -> dict[str, Any]:
    """By what an audit is the same, beside its checkpoint: its record says that it was made here."""
    hardware = records.hardware()
    here = {"packages": records.packages(), "cpu": hardware["cpu"], "gpus": hardware["gpus"]}
    return {"code": code, "spec": asked_of(spec), "here": here}


def keep(folder: Path, code: str, spec: dict[str, Any], found: dict[str, Any]) -> None:
    """Keep what an audit found of the checkpoint in this folder."""
    files.write_json(folder / AUDITED, _wanted(code, spec) | {"found": found})


def kept(folder: Path, code: str | None, spec: dict[str, Any]) -> dict[str, Any] | None:
    """What an audit with this code found of this very checkpoint here; None where none was kept."""
    if code is None or not (folder / AUDITED).exists():
        return None
    told = files.read_json(folder / AUDITED)
    if told | _wanted(code, spec) != told:
        return None
    made = files.read_json(folder / "checkpoint.json")
    return told["found"] if told["found"]["checkpoint_hash"] == made["checkpoint_hash"] else None
