"""Draw the figures of a study: quality, throughput, each cost, and quality against each cost."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files
from bitbudget.publishing.figures import costs, quality, study, style, throughput, tradeoff

SPEC = ("track", "primary", "models", "precisions", "conditions", "baseline", "note")


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument("--verdicts", type=Path, required=True, help="verdicts.json of the study")
    arguments.add_argument("--measurements", type=Path, nargs="+", required=True, help="all measurements.json")
    arguments.add_argument("--blind", type=Path, help="blind.json: answers without looking, or reading")
    cli.spec(arguments, SPEC)
    arguments.add_argument("--out-dir", type=Path, required=True, help="folder for the svg and png files")
    args = arguments.parse_args()

    blind = files.read_json(args.blind) if args.blind else None
    measurements = [files.read_json(path) for path in args.measurements]
    shown = study.load(files.read_json(args.verdicts), measurements, args.spec, blind)
    with style.applied():
        style.save(quality.draw(shown), args.out_dir, "quality")
        style.save(throughput.draw(shown), args.out_dir, "throughput")
        for name in costs.COSTS:
            style.save(costs.draw(shown, name), args.out_dir, name)
            style.save(tradeoff.draw(shown, name), args.out_dir, f"quality_vs_{name}")
    cli.log.info("figures are in %s", args.out_dir)


if __name__ == "__main__":
    cli.run(main)
