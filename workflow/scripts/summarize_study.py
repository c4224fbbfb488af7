"""Put scores, measurements and audits of a study into one table."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files
from bitbudget.judging import summary

SPEC = ("track", "primary", "models", "precisions", "conditions", "baseline", "spot_check", "machine")


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument("--study", required=True, help="name of the study")
    cli.spec(arguments, SPEC)
    arguments.add_argument("--scores", type=Path, nargs="+", required=True, help="all scores.json")
    arguments.add_argument("--measurements", type=Path, nargs="+", required=True, help="all measurements.json")
    arguments.add_argument("--audits", type=Path, nargs="+", required=True, help="all audit.json")
    arguments.add_argument("--human", type=Path, help="human.json, once people have rated answers")
    arguments.add_argument("--out", type=Path, required=True, help="summary.csv to write")
    args = arguments.parse_args()

    scores, measurements, audits = (
        [files.read_json(path) for path in paths] for paths in (args.scores, args.measurements, args.audits)
    )
    human = files.read_json(args.human) if args.human else None
    table = summary.summarize(args.spec, scores, measurements, audits, human)
    table.insert(0, "study", args.study)
    with files.written_whole(args.out) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    cli.log.info("%s: %d rows", args.out, len(table))


if __name__ == "__main__":
    cli.run(main)
