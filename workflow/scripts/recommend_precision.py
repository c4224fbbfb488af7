"""Say in words what each precision loses and wins, which are on the Pareto front, and which one to take."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files, records
from bitbudget.telling import verdict_record, verdict_text

SPEC = (
    "study", "seed", "track", "primary", "models", "precisions", "conditions", "baseline", "accept", "demo",
    "noise_floor",
)  # fmt: skip


def main() -> None:
    arguments = cli.parser(__doc__)
    cli.spec(arguments, SPEC)
    arguments.add_argument("--comparison", type=Path, required=True, help="comparison.json of the study")
    arguments.add_argument("--summary", type=Path, required=True, help="summary.csv of the study")
    arguments.add_argument("--out", type=Path, required=True, help="verdicts.json to write")
    arguments.add_argument("--out-text", type=Path, required=True, help="verdicts.txt to write: the same to read")
    args = arguments.parse_args()

    comparison = files.read_json(args.comparison)
    body = verdict_record.body(args.spec, comparison, verdict_record.read_summary(args.summary))
    identity = {"study": args.spec["study"], "seed": args.spec["seed"], "subset_hash": comparison["subset_hash"]}
    record = records.write(args.out, "verdicts", identity, body)
    files.write_text(args.out_text, verdict_text.in_full(record))
    for chosen in record["recommendations"]:
        cli.log.info("%s, %s: %s", chosen["model"], chosen["condition"], chosen["sentence"])


if __name__ == "__main__":
    cli.run(main)
