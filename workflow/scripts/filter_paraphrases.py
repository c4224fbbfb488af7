"""Keep the part of METEOR's paraphrase table that a study's references can use, so that scoring starts faster."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files
from bitbudget.metrics import captions


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument("--items", type=Path, required=True, help="items.jsonl of the study")
    arguments.add_argument("--out", type=Path, required=True, help="the filtered table to write (.gz)")
    args = arguments.parse_args()
    references = {item["id"]: item["references"] for item in files.read_jsonl(args.items)}
    with files.written_whole(args.out) as temporary:
        captions.filter_paraphrases(captions.tokenize(references), temporary)
    cli.log.info("kept %.1f MB of METEOR's paraphrases", args.out.stat().st_size / 1e6)


if __name__ == "__main__":
    cli.run(main)
