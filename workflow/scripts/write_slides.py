"""Write the slides of a talk of ten minutes about a study, or about several together."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli
from bitbudget.publishing.slides import deck
from bitbudget.publishing.typesetting import typst
from bitbudget.telling import evidence

SPEC = ("report.title", "report.authors")

TEMPLATE = typst.TEMPLATES / "slides.typ"


def main() -> None:
    arguments = cli.parser(__doc__)
    cli.spec(arguments, SPEC)
    arguments.add_argument(
        "--results",
        type=Path,
        nargs="+",
        action="extend",
        required=True,
        help="folder of the study, and of others told with it",
    )
    arguments.add_argument("--out", type=Path, required=True, help="slides.pdf to write")
    args = arguments.parse_args()

    studies = [evidence.load(folder) for folder in args.results]
    content, assets = deck.data(args.spec["report"], studies)
    pages = typst.compile_pdf(TEMPLATE, content, args.out, assets)
    cli.log.info("%s: %d slides", args.out, pages)


if __name__ == "__main__":
    cli.run(main)
