"""Find the objects in every image with one checkpoint, in shards that survive a crash."""

from __future__ import annotations

import logging
from pathlib import Path

from bitbudget import cli, files, records

log = logging.getLogger("bitbudget")

SPEC = ("study", "model", "precision", "condition", "seed", "detection.threads", "shard_size", "again")


def main() -> None:
    """Load the checkpoint, look at what no finished shard has yet, and write predictions and their record."""
    parser = cli.parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--subset", type=Path, required=True, help="subset.json")
    parser.add_argument("--items", type=Path, required=True, help="items.jsonl")
    parser.add_argument("--images", type=Path, required=True, help="images.json")
    cli.spec(parser, SPEC)
    parser.add_argument("--shards", type=Path, required=True, help="folder for finished shards, kept there")
    parser.add_argument("--code", default="", help="digest of the code, so that shards of other code are not reused")
    parser.add_argument("--out", type=Path, required=True, help="predictions.jsonl")
    parser.add_argument("--record", type=Path, required=True, help="predictions.json")
    args = parser.parse_args()

    from bitbudget.items import available
    from bitbudget.judging.comparison_kinds import other_number
    from bitbudget.runtimes import prediction
    from bitbudget.runtimes.litert import answers, classes, plausible
    from bitbudget.runtimes.litert.interpreter import SPECIFICATION, Detector, manifest, threads_for

    spec = args.spec
    made = manifest(args.checkpoint)
    items = available.expected_items(args.items, args.images)
    asked_items = prediction.asked_in(items, spec, lambda item: 0)  # one at a time, so that none is padded
    pictures = answers.pictures(args.items, args.images)
    categories = answers.categories_of(args.subset)
    threads = threads_for(spec["detection"]["threads"])
    if spec.get("again"):  # of the noise floor; the batch size, which changes elsewhere, is always 1 here
        threads = other_number(threads)
    detector = Detector(args.checkpoint, threads)
    ids = classes.category_ids(detector.spec["classes"], categories)
    unused = classes.without_category(detector.spec["classes"], categories)
    if unused:
        log.info("labels that no category of the data set has, and whose boxes are left out: %s", ", ".join(unused))
    remarks = plausible.remarks(detector, (picture.path for picture in pictures.values()))
    for remark in remarks:
        log.warning("warning: %s.", remark)
    given = {"checkpoint": made["checkpoint_hash"], "items": asked_items, "categories": categories, "code": args.code}
    given |= {
        name: files.sha256_of(path)
        for name, path in (("images", args.images), ("detector", args.checkpoint / SPECIFICATION))
    }
    given |= {
        "delegate": detector.delegates(),
        "threads": threads,
        "shard_size": spec["shard_size"],
        "packages": records.packages(),
    }

    def ask(batch: list[dict]) -> list[answers.Answer]:
        shown = [pictures[item["id"]] for item in batch]
        return [answers.answer(detector.detect(p.path, p.width, p.height, ids.keys()), ids) for p in shown]

    folder, remade = args.shards / files.hash_of(given), []
    rows = prediction.predict(
        asked_items, ask, batch_size=1, shard_size=spec["shard_size"], folder=folder, remade=remade
    )
    rows = prediction.in_order_of(items, rows)
    files.write_jsonl(args.out, rows)
    identity = {key: spec[key] for key in ("study", "model", "precision", "condition", "seed")}
    how = {"threads": threads, "delegate": detector.delegates()}
    body = {
        "checkpoint_hash": made["checkpoint_hash"],
        "subset_hash": files.read_json(args.subset)["subset_hash"],
        "prompt": None,
        "shots": [],
        "detection": how | {key: detector.spec[key] for key in ("score_threshold", "max_detections")},
        "again": spec.get("again", False),
        "batch_size": 1,
        "device": "cpu",
        "threads": threads,
        "shards_made_again": remade,
        **({"remarks": remarks} if remarks else {}),
        "n": len(rows),
        "boxes": sum(len(row["detections"]) for row in rows),
    }
    records.write(args.record, "predictions", identity, body)
    log.info("%d boxes in %d images; %s", body["boxes"], len(rows), detector.runs_in_words())


if __name__ == "__main__":
    cli.run(main)
