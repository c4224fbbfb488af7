"""Draw what each module group of a study's models loses when it alone is quantized."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli
from bitbudget.publishing.figures import ablated, style
from bitbudget.telling import ablation, wording

SPEC = ("track", "primary", "models", "conditions", "baseline", "ablation.format", "note")


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument("--ablation", type=Path, required=True, help="ablation.csv of the study")
    cli.spec(arguments, SPEC)
    arguments.add_argument("--out-dir", type=Path, required=True, help="folder for ablation.svg and .png")
    args = arguments.parse_args()

    table = ablation.read(args.ablation, wording.words_of(args.spec))
    with style.applied():
        style.save(ablated.draw(args.spec, table), args.out_dir, "ablation")
    cli.log.info("the figure is in %s", args.out_dir)


if __name__ == "__main__":
    cli.run(main)
