"""Tabulate energy and carbon of every precision at the study's own place and at others, with the estimate by FLOPs."""

from __future__ import annotations

import csv
from pathlib import Path

from bitbudget import cli, files
from bitbudget.measuring import carbon

SPEC = ("study", "models", "precisions", "conditions", "carbon")


def main() -> None:
    arguments = cli.parser(__doc__)
    cli.spec(arguments, SPEC)
    arguments.add_argument("--measurements", type=Path, nargs="+", required=True, help="all measurements.json")
    arguments.add_argument("--flops", type=Path, nargs="+", required=True, help="all flops.json, of the baseline")
    arguments.add_argument("--out", type=Path, required=True, help="carbon.csv to write")
    args = arguments.parse_args()

    measurements, flops = ([files.read_json(path) for path in paths] for paths in (args.measurements, args.flops))
    rows = carbon.table(args.spec, measurements, flops)
    with files.written_whole(args.out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, carbon.COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    places = {(row["what_if"], row["country"], row["pue"]) for row in rows}
    cli.log.info("%s: %d rows, %d places", args.out, len(rows), len(places))


if __name__ == "__main__":
    cli.run(main)
