"""How many items show a drop of a given size, or what a number of items would show, from a finished run's spread.

Of every precision of results/STUDY/comparison.json, for the test that the study's verdicts go by: two-sided, at 5 %
divided by the number of comparisons (the strictest step of Holm's correction), and with 80 % probability. The standard
error falls with the square root of the number of items, as long as they are of the same kind.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbudget import cli, files
from bitbudget.errors import UserError
from bitbudget.judging.comparison_kinds import PRECISION
from bitbudget.stats import paired


def read(path: Path, name: str | None) -> tuple[dict[str, Any], str]:
    """The record and the metric that is asked about, the primary one where none is.

    Raises `UserError` for a file that is no record of a comparison, and for a metric that it does not have.
    """
    record = files.read_json(path)
    if not isinstance(record, dict) or record.get("record") != "comparison":
        raise UserError(f"{path} is not the record of a comparison; name a study's comparison.json.")
    names = list(dict.fromkeys(name for one in record["comparisons"] for name in one["metrics"]))
    if not names:
        raise UserError(f"{path} compares nothing with the baseline; run the study with a second precision.")
    name = name or record["primary"]
    if name not in names:
        raise UserError(f"{path} has no metric {name!r}; choose one of {', '.join(names)}.")
    return record, name


def check(comparisons: Sequence[Mapping[str, Any]], name: str, drop: float | None, items: int | None) -> None:
    """Raise `UserError` for a drop that no precision could show, and for fewer items than are compared at all."""
    found = [(one, one["metrics"][name]) for one in comparisons if "value" in one["metrics"].get(name, {})]
    least = min((_fewest_items(one, metric) for one, metric in found), default=1)
    if items is not None and items < least:
        raise UserError(
            f"--items is {items}, too few to tell a difference in {name} from chance; give {least} or more."
        )
    if drop is not None and found and not any(_can_drop(metric, drop) for _, metric in found):
        highest = max(metric["baseline"] for _, metric in found)
        raise UserError(
            f"--drop is {drop:g}, but {name} is {highest:.3g} for the baseline and cannot fall below 0; give less."
        )


def answer(one: Mapping[str, Any], metric: Mapping[str, Any], drop: float | None, items: int | None) -> str:
    """What is asked of one comparison, in words."""
    reason = metric.get("absent") or metric.get("smallest_detectable_absent")
    if reason:
        return f"cannot be told: {reason}"
    error, test, family, per_unit = metric["standard_error"], metric["test"], _family(metric), one["n"] / one["units"]
    changed = metric["units_changed"]
    if items is not None:
        least = _fewest_items(one, metric)
        if items < least:
            return f"none: {least} items are the fewest that are compared"
        smallest = paired.smallest_of(error, one["units"], items / per_unit, test, family, changed)
        return (
            f"{smallest:.3g}" if _can_drop(metric, smallest) else f"none: {smallest:.3g} is more than the baseline has"
        )
    if not _can_drop(metric, drop):
        return f"cannot be: the baseline has {metric['baseline']:.3g}"
    units = paired.units_for(drop, error, one["units"], test, family, changed)
    of_units = "" if per_unit == 1 else f" ({units} independent units of {per_unit:.3g} items)"
    return f"{_counted(math.ceil(units * per_unit))}{of_units}"


def _family(metric: Mapping[str, Any]) -> int:
    """Among how many comparisons this one is tested; the noise floor is tested alone."""
    return metric.get("family", 1)


def _can_drop(metric: Mapping[str, Any], drop: float) -> bool:
    """Whether so much can be lost at all: no metric falls below 0, but one of which less is better may rise."""
    return not metric["higher_is_better"] or drop <= metric["baseline"]


def _fewest_items(one: Mapping[str, Any], metric: Mapping[str, Any]) -> int:
    return math.ceil(paired.fewest_units(_family(metric)) * one["n"] / one["units"])


def _counted(items: int) -> str:
    return "1 item" if items == 1 else f"{items} items"


def lines(record: Mapping[str, Any], name: str, drop: float | None, items: int | None) -> Iterator[str]:
    """What is asked in words, and the table, a line for each comparison."""
    rows = [
        ("model", "condition", "precision", "had", "smallest detectable", "to show it" if drop else _counted(items))
    ]
    found = [(one, one["metrics"][name]) for one in record["comparisons"] if name in one["metrics"]]
    for one, metric in found:
        seen = f"{metric['smallest_detectable']:.3g}" if "smallest_detectable" in metric else "-"
        precision = one["precision"] if one["kind"] == PRECISION else f"{one['precision']} again"
        what = answer(one, metric, drop, items)
        rows.append((one["model"], one["condition"], precision, _counted(one["n"]), seen, what))
    _, metric = found[0]
    worse = "drop" if metric["higher_is_better"] else "rise"
    asked = f"how many items show a {worse} of {drop:g}" if drop else f"the {worse} that {_counted(items)} would show"
    family = max(_family(metric) for _, metric in found)
    level = "5 %" if family == 1 else f"5 % divided by {family}, the number of comparisons"
    yield f"{name} ({metric['unit']}) against {record['baseline']}: {asked} with 80 % probability, tested at {level}"
    yield (
        "Each line goes by the spread of this very precision's difference: one that hardly differs from the baseline "
        "has a small one, and one that loses so much would have a larger."
    )
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
    check(record["comparisons"], metric, args.drop, args.items)
    for line in lines(record, metric, args.drop, args.items):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    cli.run(main)
