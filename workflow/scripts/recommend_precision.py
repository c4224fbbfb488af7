"""Judge every precision from the records and say it in words: what it loses and wins, and which one to take."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files, records
from bitbudget.telling import record, text

SPEC = (
    "study", "seed", "track", "primary", "models", "precisions", "conditions", "baseline", "accept", "demo",
    "noise_floor", "machine", "formats",
)  # fmt: skip


def main() -> None:
    arguments = cli.parser(__doc__)
    cli.spec(arguments, SPEC)
    arguments.add_argument("--comparison", type=Path, required=True, help="comparison.json of the study")
    arguments.add_argument("--summary", type=Path, required=True, help="summary.csv of the study")
    arguments.add_argument(
        "--measurements", type=Path, nargs="+", required=True, help="measurements.json of every cell"
    )
    arguments.add_argument("--scores", type=Path, nargs="+", required=True, help="scores.json of every cell")
    arguments.add_argument("--blind", type=Path, required=True, help="blind.json of the study")
    arguments.add_argument("--out", type=Path, required=True, help="verdicts.json to write")
    arguments.add_argument("--out-text", type=Path, required=True, help="verdicts.txt to write: the same to read")
    args = arguments.parse_args()

    comparison = files.read_json(args.comparison)
    body = record.body(
        args.spec,
        comparison,
        record.read_summary(args.summary),
        [files.read_json(path) for path in args.measurements],
        [files.read_json(path) for path in args.scores],
        files.read_json(args.blind),
    )
    identity = {"study": args.spec["study"], "seed": args.spec["seed"], "subset_hash": comparison["subset_hash"]}
    told = records.write(args.out, "verdicts", identity, body)
    files.write_text(args.out_text, text.in_full(told))
    for cell in told["cells"]:
        cli.log.info("%s, %s: %s", cell["model"], cell["condition"], cell["recommendation"]["sentence"])


if __name__ == "__main__":
    cli.run(main)
