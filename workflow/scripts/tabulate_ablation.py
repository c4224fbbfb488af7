"""Attribute the loss of a quantized model to its module groups, each quantized alone."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files
from bitbudget.judging import ablation

SPEC = ("study", "track", "primary", "models", "conditions", "ablation.format", "ablation.groups")


def main() -> None:
    arguments = cli.parser(__doc__)
    cli.spec(arguments, SPEC)
    arguments.add_argument("--comparison", type=Path, required=True, help="comparison.json of the study")
    arguments.add_argument("--audits", type=Path, nargs="+", required=True, help="all audit.json")
    arguments.add_argument("--out", type=Path, required=True, help="ablation.csv to write")
    args = arguments.parse_args()

    audits = [files.read_json(path) for path in args.audits]
    rows = ablation.table(args.spec, files.read_json(args.comparison), audits)
    files.write_text(args.out, ablation.to_csv(rows))
    cli.log.info("%s: %d rows", args.out, len(rows))


if __name__ == "__main__":
    cli.run(main)
