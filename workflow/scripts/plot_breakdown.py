"""Draw a study's quality by type of item, for a track whose items have types."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files
from bitbudget.publishing.figures import by_type, study, style

SPEC = ("track", "primary", "models", "precisions", "conditions", "baseline", "note")


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument("--verdicts", type=Path, required=True, help="verdicts.json of the study")
    arguments.add_argument("--scores", type=Path, nargs="+", required=True, help="all scores.json")
    arguments.add_argument("--measurements", type=Path, nargs="+", required=True, help="all measurements.json")
    arguments.add_argument("--blind", type=Path, help="blind.json: answers without looking, or reading")
    cli.spec(arguments, SPEC)
    arguments.add_argument("--out-dir", type=Path, required=True, help="folder for quality_by_type.svg and .png")
    args = arguments.parse_args()

    blind = files.read_json(args.blind) if args.blind else None
    measurements, scores = ([files.read_json(path) for path in paths] for paths in (args.measurements, args.scores))
    shown = study.load(files.read_json(args.verdicts), measurements, args.spec, blind, scores)
    with style.applied():
        style.save(by_type.draw(shown), args.out_dir, "quality_by_type")
    cli.log.info("the figure is in %s", args.out_dir)


if __name__ == "__main__":
    cli.run(main)
