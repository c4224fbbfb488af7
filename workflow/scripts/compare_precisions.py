"""Compare every precision with the baseline on the same items, and the baseline with itself asked a second time."""

from __future__ import annotations

import csv
from pathlib import Path

from bitbudget import cli, contracts, files, records, registry
from bitbudget.judging import comparison

SPEC = ("study", "seed", "track", "primary", "models", "precisions", "conditions", "baseline")


def main() -> None:
    arguments = cli.parser(__doc__)
    cli.spec(arguments, SPEC)
    three = {"scores": "scores.json", "item-scores": "item_scores.jsonl", "predictions": "predictions.jsonl"}
    for name, file in three.items():
        arguments.add_argument(
            f"--{name}", type=Path, nargs="+", required=True, help=f"{file} of every precision, in the same order"
        )
    for name, file in three.items():
        arguments.add_argument(f"--noise-{name}", type=Path, nargs="*", default=[], help=f"{file} of the noise floor")
    arguments.add_argument("--out", type=Path, required=True, help="comparison.json to write")
    arguments.add_argument("--out-table", type=Path, required=True, help="comparison.csv to write")
    args = arguments.parse_args()

    answer = contracts.of(registry.module_of("track", args.spec["track"]), "ANSWER")
    cells = comparison.read_cells(args.scores, args.item_scores, args.predictions, answer)
    noise = comparison.read_cells(args.noise_scores, args.noise_item_scores, args.noise_predictions, answer)
    body = comparison.compare(args.spec, cells, noise)
    identity = {key: args.spec[key] for key in ("study", "seed")}
    identity["subset_hash"] = cells[0].scores["subset_hash"]
    record = records.write(args.out, "comparison", identity, body)
    with files.written_whole(args.out_table) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, comparison.COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(comparison.table(record))
    for line in comparison.in_words(record):
        cli.log.info("%s", line)


if __name__ == "__main__":
    cli.run(main)
