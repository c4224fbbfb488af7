"""An ablation as it is told: the rows of its table in the written unit, and what was found for one cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbudget.judging import ablation, kinds
from bitbudget.telling import wording
from bitbudget.telling.evidence import Evidence
from bitbudget.telling.wording import Words

Row = Mapping[str, Any]


def read(path: Path, words: Words) -> list[dict[str, Any]]:
    """The rows of ablation.csv, each with `whole` (every group at once) and `together` (an interaction), and with
    `value`, `ci` and `text`, or with `absent`; a group's verdict has its `word`, `mark` and `colour`.

    `words` are those of the primary metric. Raises `UserError` where the file is not there or is another.
    """
    rows = ablation.read(path)
    wholes = {(*_cell(row), row["group"]): row for row in rows if row["row"] != ablation.INTERACTION}
    return [row | _told(row, wholes[*_cell(row), row["group"]], words) for row in rows]


def _cell(row: Row) -> tuple[str, str]:
    return row["model"], row["condition"]


def _told(row: Row, whole: Row, words: Words) -> dict[str, Any]:
    """What is said of a row; an interaction is written with as many decimals as its whole."""
    found: dict[str, Any] = {"whole": row["row"] == ablation.EVERY, "together": row["row"] == ablation.INTERACTION}
    kind = kinds.KINDS.get(row["verdict"])
    if kind:
        found |= {"word": kind.word, "mark": kind.mark, "colour": kind.colour}
    if row["difference"] is None or row["verdict"] == kinds.NOT_COMPARED:
        return found | {"absent": row["notes"] or "not compared"}
    ci, ends = _interval(row), _interval(whole)
    form = wording.format_of(words, {"ci": ends, "baseline": row["difference"]})
    said = [" ".join([form.signed(row["difference"]), *([form.interval(ci)] if ci else [])])]
    share = row["share_of_loss"]
    if share is not None and not found["whole"]:  # that of the whole need not be told
        said.append(f"{100 * share:.0f} % of the loss")
    if row["share_of_parameters"] is not None and not found["whole"] and not found["together"]:
        said.append(f"{100 * row['share_of_parameters']:.0f} % of the weights")
    return found | {
        "value": words.factor * row["difference"],
        "ci": [words.factor * end for end in ci] if ci else None,
        "text": ",  ".join(said),
    }


def _interval(row: Row) -> tuple[float, float] | None:
    low, high = row["difference_ci_low"], row["difference_ci_high"]
    return None if low is None else (low, high)


def of_cell(evidence: Evidence, cell: Row) -> dict[str, Any] | None:
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
    whole = next((entries.get(row["precision"]) for row in mine if row["row"] == ablation.EVERY), None)
    form = evidence.study["ablation"]["format"]
    form = form if isinstance(form, str) else form["format"]
    worst = next((part for part in parts if part["entry"]["kind"] == kinds.LOSS), parts[0])
    return {
        "format": form,
        "title": _title(form, worst, parts, wording.words_of(evidence.study)),
        "worst": worst,
        "parts": parts,
        "whole": whole if _compared(whole, about["name"]) else None,
    }


def _compared(entry: Row | None, metric: str) -> bool:
    return entry is not None and "value" in entry["metrics"].get(metric, {}).get("difference", {})


def _title(form: str, worst: Row, parts: Sequence[Row], words: Words) -> str:
    told = f"{worst['entry']['short'].partition(': ')[2] or worst['entry']['short']} in {words.label}"
    if worst["entry"]["kind"] == kinds.LOSS:
        most = "loses most by itself" if len(parts) > 1 else "loses by itself"
        return f"In {form}, {worst['group']} {most}: {told}"
    return f"In {form}, no part shows a clear loss by itself; the {words.worst} is {worst['group']}: {told}"
