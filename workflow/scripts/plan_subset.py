"""How many items show a drop of a given size, or what a number of items would show, from a finished run's spread.

Of every precision of results/STUDY/comparison.json, for a two-sided test at 5 % that is to find the drop with 80 %
probability. The standard error falls with the square root of the number of items, as long as they are of the same kind.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bitbudget import cli, files, paired
from bitbudget.errors import UserError


def read(path: Path, metric: str | None) -> tuple[dict[str, Any], str]:
    """The record and the metric that is asked about, the primary one where none is.

    Raises `UserError` for a file that is no record of a comparison, and for a metric that it does not have.
    """
    record = files.read_json(path)
    if not isinstance(record, dict) or record.get("record") != "comparison":
        raise UserError(f"{path} is not the record of a comparison; name a study's comparison.json.")
    names = list(dict.fromkeys(name for one in record["comparisons"] for name in one["metrics"]))
    if not names:
        raise UserError(f"{path} compares nothing with the baseline; run the study with a second precision.")
    metric = metric or record["primary"]
    if metric not in names:
        raise UserError(f"{path} has no metric {metric!r}; choose one of {', '.join(names)}.")
    return record, metric


def answer(one: Mapping[str, Any], metric: Mapping[str, Any], drop: float | None, items: int | None) -> str:
    """What is asked of one comparison, in words."""
    reason = metric.get("absent") or metric.get("smallest_detectable_absent")
    if reason:
        return f"cannot be told: {reason}"
    error, per_unit = metric["standard_error"], one["n"] / one["units"]
    if items is not None:
        return f"{paired.smallest_of(error, one['units'], items / per_unit, metric['test']):.3g}"
    units = max(1, paired.units_for(drop, error, one["units"], metric["test"]))
    of_units = "" if per_unit == 1 else f" ({units} independent units of {per_unit:.3g} items)"
    return f"{math.ceil(units * per_unit)} items{of_units}"


def lines(record: Mapping[str, Any], name: str, drop: float | None, items: int | None) -> Iterator[str]:
    """The table, a line for each comparison."""
    rows = [("model", "condition", "precision", "had", "could have seen", "to show it" if drop else f"{items} items")]
    unit = ""
    for one in record["comparisons"]:
        metric = one["metrics"].get(name)
        if metric is None:
            continue
        unit = metric["unit"]
        seen = f"{metric['smallest_detectable']:.3g}" if "smallest_detectable" in metric else "-"
        precision = one["precision"] if one["kind"] == "precision" else f"{one['precision']} again"
        what = answer(one, metric, drop, items)
        rows.append((one["model"], one["condition"], precision, f"{one['n']} items", seen, what))
    asked = f"how many items show a drop of {drop:g}" if drop else f"the drop that {items} items show"
    yield f"{name} ({unit}) against {record['baseline']}: {asked} with 80 % probability, by a two-sided test at 5 %"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    arguments.add_argument("comparison", type=Path, help="results/STUDY/comparison.json of a finished run")
    arguments.add_argument("--drop", type=float, help="the drop that is to be seen, in the metric's unit: 0.01")
    arguments.add_argument("--items", type=int, help="say what so many items would show, in place of --drop")
    arguments.add_argument("--metric", help="a metric of the comparison (default: the study's primary one)")
    args = arguments.parse_args()
    if (args.drop is None) == (args.items is None):
        raise UserError("say either --drop, the drop that is to be seen, or --items, the number of items.")
    for name in ("drop", "items"):
        value = getattr(args, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UserError(f"--{name} is {value:g}; give a number greater than 0.")
    record, metric = read(args.comparison, args.metric)
    for line in lines(record, metric, args.drop, args.items):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    cli.run(main)
