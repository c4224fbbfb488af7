"""Write the appendix: one page that says with what, on what and when a study was made."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from bitbudget import cli, records
from bitbudget.publishing.appendix import page
from bitbudget.publishing.typesetting import typst
from bitbudget.telling import evidence

SPEC = ("report.title", "report.authors", "report.code_address")

TEMPLATE = typst.TEMPLATES / "appendix.typ"


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
    arguments.add_argument("--out", type=Path, required=True, help="appendix.pdf to write")
    args = arguments.parse_args()

    studies = [evidence.load(folder) for folder in args.results]

    def make(less: page.Shortening) -> page.Data:
        return page.data(args.spec["report"], studies, _own(), less)

    found = page.fitted(make, lambda content: typst.compiled(TEMPLATE, content, {})[1])
    typst.compile_pdf(TEMPLATE, found, args.out)
    cli.log.info("%s: one page in %g points", args.out, found["size"])


def _own() -> list[str]:
    """What sets this page, with versions: Snakemake, where it runs this script, and Typst."""
    running = records.snakemake()
    return [*([f"snakemake {running}"] if running else []), f"typst {importlib.metadata.version('typst')}"]


if __name__ == "__main__":
    cli.run(main)
