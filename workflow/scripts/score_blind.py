"""Score the best answer that one can give without looking at the images: the floor that a seeing model must beat."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files, records, registry


def main() -> None:
    """Choose the answer, score it on every item, and write the record."""
    parser = cli.parser(__doc__)
    parser.add_argument("--subset", type=Path, required=True, help="subset.json")
    parser.add_argument("--items", type=Path, required=True, help="items.jsonl")
    parser.add_argument("--spec", type=cli.json_argument, required=True, help="the rule's part of the study as JSON")
    parser.add_argument("--paraphrases", type=Path, help="METEOR's table as filter_paraphrases.py made it")
    parser.add_argument("--out", type=Path, required=True, help="blind.json")
    args = parser.parse_args()

    spec = args.spec
    track = registry.module_of("track", spec["track"])
    items = files.read_jsonl(args.items)
    text = track.blind_answer(items, spec["seed"])
    metrics, _ = track.score(items, {item["id"]: text for item in items}, spec["seed"], paraphrases=args.paraphrases)
    identity = {
        "study": spec["study"],
        "seed": spec["seed"],
        "subset_hash": files.read_json(args.subset)["subset_hash"],
    }
    records.write(args.out, "blind", identity, {"primary": track.PRIMARY, "text": text, "metrics": metrics})
    cli.log.info("%s %.3f for %r given to every image", track.PRIMARY, metrics[track.PRIMARY]["value"], text)


if __name__ == "__main__":
    cli.run(main)
