"""Write the paper of a study, or of several together: sections from their records, in two columns on 4 to 6 pages."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files
from bitbudget.publishing.paper import document, manuscript
from bitbudget.publishing.typesetting import typst
from bitbudget.telling import evidence

SPEC = ("report.title", "report.authors", "report.template", "report.code_address")


def main() -> None:
    arguments = cli.parser(__doc__)
    cli.spec(arguments, SPEC)
    arguments.add_argument(
        "--results",
        type=Path,
        action="append",
        required=True,
        help="results/{study}; given several times, the first is the study that owns the report",
    )
    arguments.add_argument("--words", type=Path, help="folder of the author's own words, as Markdown files by section")
    arguments.add_argument("--out", type=Path, required=True, help="paper.pdf to write")
    arguments.add_argument(
        "--out-markdown", type=Path, help="paper.md to write, for a template of one's own; beside it paper_pictures/"
    )
    args = arguments.parse_args()

    report = args.spec["report"]
    template = Path(report["template"]) if report["template"] else typst.TEMPLATES / "paper.typ"
    studies = [evidence.load(folder) for folder in args.results]
    paper = document.assemble(report, studies, args.words)
    content, pages = document.fitted(paper, template)
    with files.written_whole(args.out) as temporary:
        temporary.write_bytes(content)
    if args.out_markdown:
        manuscript.write(args.out_markdown, paper.data(len(paper.ranks())), paper.works, paper.assets)
    cli.log.info("%s: %d pages", args.out, pages)


if __name__ == "__main__":
    cli.run(main)
