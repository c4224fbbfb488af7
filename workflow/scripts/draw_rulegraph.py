"""Draw which rule of the workflow needs which other for a study, as Snakemake itself sees them."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files
from bitbudget.provenance import rulegraph


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument("--studies", nargs="+", required=True, help="the study, and those told of with it")
    arguments.add_argument("--out", type=Path, required=True, help="rulegraph.dot to write")
    args = arguments.parse_args()

    files.write_text(args.out, rulegraph.in_order(rulegraph.ask(args.studies)))
    cli.log.info("the graph of the rules is in %s (dot -Tsvg draws it)", args.out)


if __name__ == "__main__":
    cli.run(main)
