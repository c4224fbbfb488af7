"""Draw what each precision changes against the baseline, beside what the baseline changes against itself."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files
from bitbudget.publishing.figures import delta, style

SPEC = ("models", "precisions", "conditions", "note")


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument("--verdicts", type=Path, required=True, help="verdicts.json of the study")
    cli.spec(arguments, SPEC)
    arguments.add_argument("--out-dir", type=Path, required=True, help="folder for quality_delta.svg and .png")
    args = arguments.parse_args()

    shown = delta.load(args.spec, files.read_json(args.verdicts))
    with style.applied():
        style.save(delta.draw(shown), args.out_dir, "quality_delta")
    cli.log.info("the figure is in %s", args.out_dir)


if __name__ == "__main__":
    cli.run(main)
