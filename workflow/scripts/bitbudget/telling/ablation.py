"""The rows of an ablation's table as they are told: in the written unit, with their words and how a verdict looks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitbudget.judging import ablation, kinds
from bitbudget.telling import wording
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
