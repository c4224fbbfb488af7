"""What an ablation found for one model under one condition, worded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.judging import kinds
from bitbudget.telling.evidence import Evidence

Record = Mapping[str, Any]

EVERY = "every-group"  # the row of all groups at once


def of(evidence: Evidence, cell: Record) -> dict[str, Any] | None:
    """`format`, `title`, the `worst` part and its `parts`, the worst first, each with its `group` and its `entry` of
    the cell; those of all groups at once are in `whole` (or None). None where the study has no ablation, or nothing was
    compared."""
    mine = [row for row in evidence.ablation if (row["model"], row["condition"]) == (cell["model"], cell["condition"])]
    entries = {entry["precision"]: entry for entry in cell["entries"]}
    about = evidence.verdicts["metrics"][0]
    sign = 1 if about["higher_is_better"] else -1
    parts = [
        {"group": row["group"], "entry": entries[row["precision"]]}
        for row in mine
        if row["row"] == "group" and _compared(entries.get(row["precision"]), about["name"])
    ]
    if not parts:
        return None
    parts.sort(key=lambda part: sign * part["entry"]["metrics"][about["name"]]["difference"]["value"])
    whole = next((entries.get(row["precision"]) for row in mine if row["row"] == EVERY), None)
    form = evidence.study["ablation"]["format"]
    form = form if isinstance(form, str) else form["format"]
    worst = next((part for part in parts if part["entry"]["kind"] == kinds.LOSS), parts[0])
    return {
        "format": form,
        "title": _title(form, worst, parts, evidence.verdicts["label"]),
        "worst": worst,
        "parts": parts,
        "whole": whole if _compared(whole, about["name"]) else None,
    }


def _compared(entry: Record | None, metric: str) -> bool:
    return entry is not None and "value" in entry["metrics"].get(metric, {}).get("difference", {})


def _title(form: str, worst: Record, parts: Sequence[Record], label: str) -> str:
    told = f"{worst['entry']['short'].partition(': ')[2] or worst['entry']['short']} in {label}"
    if worst["entry"]["kind"] == kinds.LOSS:
        most = "loses most by itself" if len(parts) > 1 else "loses by itself"
        return f"In {form}, {worst['group']} {most}: {told}"
    return f"In {form}, no part shows a clear loss by itself; the lowest is {worst['group']}: {told}"
