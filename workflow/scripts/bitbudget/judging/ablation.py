"""Ablation: which part of a model loses quality when it is held in fewer bits, one module group at a time.

Each row is a group that was quantized alone, every group at once, or an interaction: what all of them lose together
beyond the sum of what each loses alone. A group whose name has a dot lies in the one before the dot
(`language.attention`); where both were quantized, the parts are held against the whole in the same way.

A loss is positive where the precision is worse. Differences are those of comparison.json, with its 95 % intervals; an
interaction has none, because that file holds the intervals of single differences only. A share of the whole loss has
none either, and stands only where the group's own loss is clear of noise.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.judging import kinds, verdicts
from bitbudget.models.groups import EVERY

Record = Mapping[str, Any]
Row = dict[str, Any]

INTERACTION = "interaction"
NO_INTERVAL = "an interaction has no interval, so it has no share of the loss: intervals are of single differences"
BARE_SHARE = "share_of_loss: it has no interval"
KEPT = ("study", "model", "condition", "n_items", "metric", "unit")  # of a whole, in its interaction
COLUMNS = (
    "study",
    "model",
    "condition",
    "group",  # of an interaction: the group whose parts are held against it, every-group for the whole
    "row",  # group, every-group or interaction
    "precision",
    "depth",
    "parameters",
    "share_of_parameters",
    "n_items",
    "metric",
    "unit",
    "difference",
    "difference_ci_low",
    "difference_ci_high",
    "verdict",
    "share_of_loss",
    "loss_per_million_parameters",
    "notes",
)


def table(spec: Record, comparison: Record, audits: Sequence[Record]) -> list[Row]:
    """The rows of ablation.csv, in the study's order; an absent value is None, and `notes` says why.

    `spec["ablation"]` holds the `format` and, in `groups`, the group that each precision quantizes, or `every-group`;
    the audits say how many parameters became that format. Raises `UserError` where a comparison or an audit is missing.
    """
    better = registry.module_of("track", spec["track"]).METRICS[spec["primary"]]["higher_is_better"]
    rows = []
    for model in spec["models"]:
        for condition in spec["conditions"]:
            rows += _cell(spec, 1 if better else -1, comparison, audits, model, condition)
    return rows


def _cell(
    spec: Record, sign: int, comparison: Record, audits: Sequence[Record], model: str, condition: str
) -> list[Row]:
    """The rows of one model and condition; `sign` is 1 where more of the primary metric is better, else -1."""
    asked = spec["ablation"]["groups"]
    floor = verdicts.floor_of(comparison, model, condition)
    rows = {}
    for precision, group in asked.items():
        one = _comparison(comparison, model, condition, precision)
        row = _row(spec, one, verdicts.kind_of(one, spec["primary"], sign, floor))
        row |= {"group": group, "row": EVERY if group == EVERY else "group", "precision": precision}
        row["parameters"] = _parameters(_audit(audits, model, precision), spec["ablation"]["format"])
        rows[group] = row
    groups = [group for group in rows if group != EVERY]
    for group in groups:
        rows[group]["depth"] = len(_above(group, groups))
    for row in rows.values():
        _shares(row, rows[EVERY], sign)
    ordered = [rows[EVERY], *(rows[group] for group in nested(groups))]
    for whole in [EVERY, *groups]:
        parts = parts_of(whole, groups)
        if parts:
            ordered.append(_interaction(rows[whole], [rows[part] for part in parts]))
    return ordered


def _row(spec: Record, one: Record, kind: str) -> Row:
    """What a comparison says; the columns that it cannot fill are None."""
    metric = one["metrics"].get(spec["primary"], {})
    low, high = metric.get("ci") or (None, None)
    notes = [] if "value" in metric else [f"difference: {metric.get('absent', 'not compared')}"]
    return dict.fromkeys(COLUMNS) | {
        "study": spec["study"],
        "model": one["model"],
        "condition": one["condition"],
        "depth": 0,
        "n_items": one["n"],
        "metric": spec["primary"],
        "unit": metric.get("unit"),
        "difference": metric.get("value"),
        "difference_ci_low": low,
        "difference_ci_high": high,
        "verdict": kind,
        "notes": notes,
    }


def _shares(row: Row, every: Row, sign: int) -> None:
    """Fill in what a row has of all parameters and of the whole loss, in place, with notes on what it has not."""
    if every["parameters"]:
        row["share_of_parameters"] = row["parameters"] / every["parameters"]
    if every["verdict"] != kinds.LOSS:
        row["notes"].append(f"share_of_loss: the loss of {EVERY} is not clear of noise, so it cannot be divided")
    elif row["verdict"] == kinds.LOSS:
        row["share_of_loss"] = row["difference"] / every["difference"]
        row["notes"] += [BARE_SHARE] if row is not every else []
    elif row["difference"] is not None:
        row["notes"].append(f"share_of_loss: the loss of {row['group']} itself is not clear of noise")
    if not row["parameters"]:
        row["notes"].append("loss_per_million_parameters: nothing of this group became the format")
    elif row["difference"] is not None:
        row["loss_per_million_parameters"] = -sign * row["difference"] / (row["parameters"] / 1e6)


def _interaction(whole: Row, parts: Sequence[Row]) -> Row:
    """What a whole loses beyond the sum of its parts, each quantized alone."""
    row = dict.fromkeys(COLUMNS) | {name: whole[name] for name in KEPT}
    depth = 0 if whole["row"] == EVERY else whole["depth"] + 1
    row |= {"group": whole["group"], "row": INTERACTION, "depth": depth, "notes": [NO_INTERVAL]}
    differences = [one["difference"] for one in (whole, *parts)]
    if None in differences:
        return row | {"notes": ["difference: one of the differences it is made of is absent"]}
    row["difference"] = differences[0] - sum(differences[1:])
    outside = whole["parameters"] - sum(part["parameters"] for part in parts)
    if outside:
        row["notes"].append(f"{outside} quantized parameters of {whole['group']} lie in none of its parts")
    return row


def parts_of(whole: str, groups: Sequence[str]) -> list[str]:
    """The groups directly below one, of those that were quantized alone; the outermost ones below `every-group`."""
    above = {group: _above(group, groups) for group in groups}
    return [group for group in groups if (above[group][-1:] or [EVERY]) == [whole]]


def _above(group: str, groups: Sequence[str]) -> list[str]:
    """The groups among these that one lies in, the outermost first."""
    names = group.split(".")
    return [outer for end in range(1, len(names)) if (outer := ".".join(names[:end])) in groups]


def nested(groups: Sequence[str], whole: str = EVERY) -> list[str]:
    """The groups in their order, each with its parts behind it."""
    return [name for part in parts_of(whole, groups) for name in (part, *nested(groups, part))]


def _comparison(comparison: Record, model: str, condition: str, precision: str) -> Record:
    for one in verdicts.of_cell(comparison, model, condition):
        if one["precision"] == precision:
            return one
    raise UserError(
        f"comparison.json has nothing of {model} / {precision} / {condition}; make it again from the whole study."
    )


def _audit(audits: Sequence[Record], model: str, precision: str) -> Record:
    for audit in audits:
        if (audit["model"], audit["precision"]) == (model, precision):
            return audit
    raise UserError(f"there is no audit record of {model} / {precision}; make it before the table of the ablation.")


def _parameters(audit: Record, format: str | Mapping[str, Any]) -> int:
    """How many parameters of the checkpoint are held in a format, a name or a mapping with its options."""
    name = format if isinstance(format, str) else format["format"]
    return sum(layer["parameters"] for layer in audit["layers"] if layer["asked"] == name)


def to_csv(rows: Sequence[Row]) -> str:
    """The table as text: an absent value is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"notes": " | ".join(row["notes"])} for row in rows)
    return text.getvalue()


NUMBERS = (
    "depth",
    "parameters",
    "share_of_parameters",
    "n_items",
    "difference",
    "difference_ci_low",
    "difference_ci_high",
    "share_of_loss",
    "loss_per_million_parameters",
)


def read(path: Path) -> list[Row]:
    """The rows of ablation.csv, an empty cell being None. Raises `UserError` where the file is not there or another."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; make the table of the ablation first.") from None
    if not rows or set(rows[0]) != set(COLUMNS):
        raise UserError(f"{path} is no table of an ablation; make it again.")
    return [{name: _cell_of(name, cell) for name, cell in row.items()} for row in rows]


def _cell_of(name: str, cell: str) -> Any:
    if cell == "":
        return None
    return float(cell) if name in NUMBERS else cell
