"""Score answers given without looking: the floor that a model must clearly beat to show that it sees, or reads.

The track chooses them: for captioning, the best constant caption; for questions, one answer for each type of them;
for last words, the words by their frequency; for objects, the best constant box of each category.
"""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, contracts, files, records, registry
from bitbudget.items.available import expected_items

SPEC = ("study", "seed", "track", "primary", "top_k")


def main() -> None:
    """Choose the answers, score them, and write the record."""
    parser = cli.parser(__doc__)
    parser.add_argument("--subset", type=Path, required=True, help="subset.json")
    parser.add_argument("--items", type=Path, required=True, help="items.jsonl")
    parser.add_argument("--images", type=Path, help="images.json of a study with images, which names the skipped ones")
    cli.spec(parser, SPEC)
    parser.add_argument(
        "--paraphrases", type=Path, help="METEOR's table as filter_paraphrases.py made it, for a track that uses it"
    )
    parser.add_argument("--out", type=Path, required=True, help="blind.json")
    args = parser.parse_args()

    spec, primary = args.spec, args.spec["primary"]
    track = registry.module_of("track", spec["track"])
    items = expected_items(args.items, args.images)
    words, answers = track.blind_answers(items, spec["seed"], primary=primary)
    helps = {"paraphrases": args.paraphrases} if args.paraphrases else {}
    helps |= {"top_k": spec["top_k"]} if "top_k" in spec else {}
    metrics, rows = track.score(items, answers, spec["seed"], primary=primary, **helps)
    breakdown = contracts.of(track, "breakdown")
    parts = breakdown(items, rows, spec["seed"], primary=primary) if breakdown else {}
    identity = {
        "study": spec["study"],
        "seed": spec["seed"],
        "subset_hash": files.read_json(args.subset)["subset_hash"],
    }
    body = {"primary": primary, "text": words, "metrics": metrics} | ({"breakdown": parts} if parts else {})
    records.write(args.out, "blind", identity, body)
    floor = metrics[primary]
    reached = f"{floor['value']:.3f}" if "value" in floor else f"is absent ({floor['absent'].rstrip('.')})"
    cli.log.info("the floor: %s %s by %s", primary, reached, words)


if __name__ == "__main__":
    cli.run(main)
