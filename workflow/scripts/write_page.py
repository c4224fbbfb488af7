"""Write the results page: verdicts, table, plots, examples, audit and provenance in one file that loads nothing."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files
from bitbudget.publishing.page import data, page
from bitbudget.telling import evidence

SPEC = ("report.examples",)

TEMPLATES = Path(__file__).parents[1] / "report"


def main() -> None:
    parser = cli.parser(__doc__)
    cli.spec(parser, SPEC)
    parser.add_argument("--results", type=Path, required=True, help="results/{study}")
    parser.add_argument("--rulegraph", type=Path, required=True, help="rulegraph.dot: what Snakemake ran, as Graphviz")
    parser.add_argument("--out", type=Path, required=True, help="index.html to write")
    args = parser.parse_args()

    found = evidence.load(args.results)
    shown = data.of(found, args.rulegraph, args.spec["report"]["examples"])
    html = page.assemble(TEMPLATES, shown)
    files.write_text(args.out, html)
    browser = shown["examples"]
    cli.log.info(
        "%s: %d of %d items, %.1f MB; open it in a browser",
        args.out, len(browser["items"]), browser["total"], len(html) / 1e6,
    )  # fmt: skip


if __name__ == "__main__":
    cli.run(main)
