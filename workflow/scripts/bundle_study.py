"""Put a study's code, configuration and results into one archive, without weights, pictures and personal strings."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli
from bitbudget.publishing.archive.bundle import bundle

SPEC = ("with",)


def main() -> None:
    arguments = cli.parser(__doc__)
    cli.spec(arguments, SPEC)
    arguments.add_argument("--results", type=Path, required=True, help="the study's folder, results/{study}")
    arguments.add_argument("--out", type=Path, required=True, help="{study}.zip to write")
    args = arguments.parse_args()

    folders = [args.results, *(args.results.with_name(name) for name in args.spec["with"])]
    studies = bundle(Path.cwd(), folders, args.out)
    shipped = sum(len(study.shipped) for study in studies)
    size = args.out.stat().st_size / 1e6
    cli.log.info("%s has %d files of results and the code, %.1f MB in all", args.out, shipped, size)


if __name__ == "__main__":
    cli.run(main)
