"""Score one answer given to every item without looking: the floor that a model must clearly beat to show that it sees.

The track chooses the answer, for captioning the best of at most 100 references that the seed draws.
"""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files, records, registry
from bitbudget.inputs import expected_items


def main() -> None:
    """Choose the answer, score it on every item, and write the record."""
    parser = cli.parser(__doc__)
    parser.add_argument("--subset", type=Path, required=True, help="subset.json")
    parser.add_argument("--items", type=Path, required=True, help="items.jsonl")
    parser.add_argument("--images", type=Path, required=True, help="images.json, which names the skipped images")
    parser.add_argument("--spec", type=cli.json_argument, required=True, help="the rule's part of the study as JSON")
    parser.add_argument(
        "--paraphrases", type=Path, help="METEOR's table as filter_paraphrases.py made it, for a track that uses it"
    )
    parser.add_argument("--out", type=Path, required=True, help="blind.json")
    args = parser.parse_args()

    spec = args.spec
    track = registry.module_of("track", spec["track"])
    items = expected_items(args.items, args.images)
    text = track.blind_answer(items, spec["seed"])
    helps = {"paraphrases": args.paraphrases} if args.paraphrases else {}
    metrics, _ = track.score(items, {item["id"]: text for item in items}, spec["seed"], **helps)
    identity = {
        "study": spec["study"],
        "seed": spec["seed"],
        "subset_hash": files.read_json(args.subset)["subset_hash"],
    }
    records.write(args.out, "blind", identity, {"primary": track.PRIMARY, "text": text, "metrics": metrics})
    cli.log.info("%s %.3f for %r given to every item", track.PRIMARY, metrics[track.PRIMARY]["value"], text)


if __name__ == "__main__":
    cli.run(main)
