"""Which module groups an ablation blames for how much of the loss, with their shares of the weights, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitbudget.telling import wording
from bitbudget.telling.evidence import Evidence

Record = Mapping[str, Any]


def groups(evidence: Evidence, cell: Record) -> str:
    """What each group loses alone, and all together; empty without an ablation or a comparison."""
    rows = _rows(evidence, cell)
    single = [row for row in rows if row["row"] == "group" and not row["depth"]]
    if not single:
        return ""
    lost = [row for row in single if _entry(cell, row)["kind"] == "loss"]
    rest = [row for row in single if row not in lost]
    form = evidence.study["ablation"]["format"]
    form = form if isinstance(form, str) else form["format"]
    shares = [_shares(row, first=i == 0) for i, row in enumerate(lost)]
    said = [f"{_told(cell, row)}{share and f' ({share})'}" for row, share in zip(lost, shares, strict=True)]
    if rest:
        told = [f"{row['group']} {_difference(evidence, cell, row)}" for row in rest]
        told = "; ".join(", ".join(filter(None, (one, _shares(row)))) for one, row in zip(told, rest, strict=True))
        said.append(f"{'no other group' if lost else 'none'} shows a clear loss ({told})")
    whole = next((row for row in rows if row["row"] == "every-group"), None)
    if whole:
        said.append(f"all groups together: {_entry(cell, whole)['short']}")
    return f"Of the module groups, each alone in {form}{':' if lost else ','} {'; '.join(said)}."


def parts(evidence: Evidence, cell: Record) -> str:
    """What parts of a group lose alone, and how the groups' losses add up; empty without either."""
    rows = _rows(evidence, cell)
    inner = [row for row in rows if row["row"] == "group" and row["depth"]]
    said = [f"Of the parts of a group: {wording.listed([_told(cell, row) for row in inner])}."] if inner else []
    joint = next((row for row in rows if row["row"] == "interaction" and row["group"] == "every-group"), None)
    whole = next((row for row in rows if row["row"] == "every-group"), None)
    if joint and whole:
        words = wording.words_of(evidence.study)
        ends = (whole["difference_ci_low"], whole["difference_ci_high"])
        form = wording.format_of(words, {"baseline": joint["difference"], "ci": None if None in ends else ends})
        more = "more" if words.sign * joint["difference"] < 0 else "less"
        said.append(
            f"All groups together lose {form.size(joint['difference'])} {words.noun} {more} than the sum of the "
            "groups' own losses, a number without an interval."
        )
    return " ".join(said)


def _rows(evidence: Evidence, cell: Record) -> list[Record]:
    """The rows of ablation.csv with a difference, the largest loss first."""
    sign = wording.words_of(evidence.study).sign
    here = [row for row in evidence.ablation if (row["model"], row["condition"]) == (cell["model"], cell["condition"])]
    return sorted((row for row in here if row["difference"] is not None), key=lambda row: sign * row["difference"])


def _entry(cell: Record, row: Record) -> Record:
    return next(entry for entry in cell["entries"] if entry["precision"] == row["precision"])


def _difference(evidence: Evidence, cell: Record, row: Record) -> str:
    found = _entry(cell, row)["metrics"][evidence.primary]["difference"]
    return f"{found['text']} {found['interval']}".rstrip()


def _told(cell: Record, row: Record) -> str:
    return f"{row['group']} {_entry(cell, row)['short']}"


def _shares(row: Record, *, first: bool = False) -> str:
    """A group's share of the whole loss and of the weights; empty where neither is known."""
    told = []
    if row.get("share_of_loss") is not None:
        told.append(f"{wording.percent(row['share_of_loss'])} of {'what all groups together lose' if first else 'it'}")
    if row.get("share_of_parameters") is not None:
        told.append(f"{wording.percent(row['share_of_parameters'])} of the weights")
    return ", ".join(told)
