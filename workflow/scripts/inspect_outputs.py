"""Look through what a study's models said: objects not there, personal strings, profanity, wording on people."""

from __future__ import annotations

import csv
from pathlib import Path

from bitbudget import cli, files, records, registry
from bitbudget.inspection import findings, truth
from bitbudget.items import available

SPEC = (
    "study", "seed", "track", "models", "precisions", "conditions", "baseline", "kind", "split", "inspection.redact",
    "inspection.phone_region",
)  # fmt: skip


def main() -> None:
    arguments = cli.parser(__doc__)
    cli.spec(arguments, SPEC)
    arguments.add_argument("--subset", type=Path, required=True, help="subset.json")
    arguments.add_argument("--items", type=Path, required=True, help="items.jsonl")
    arguments.add_argument("--images", type=Path, help="images.json, of a track with images")
    arguments.add_argument(
        "--predictions",
        type=Path,
        nargs="+",
        required=True,
        help="all predictions.jsonl, each in a folder {model}/{precision}/{condition}",
    )
    arguments.add_argument("--dataset", type=Path, required=True, help="folder of the fetched data set")
    arguments.add_argument("--instances", type=Path, help="objects of the same images, in COCO's format")
    arguments.add_argument("--out", type=Path, required=True, help="inspection.json to write")
    arguments.add_argument("--out-flagged", type=Path, required=True, help="flagged.csv to write")
    args = arguments.parse_args()

    spec = args.spec
    items = available.expected_items(args.items, args.images)
    answers = findings.read_answers(spec, items, {path.parts[-4:-1]: path for path in args.predictions})
    ids = {item["images"][0]["id"] for item in items if item["images"]}
    known = None
    if not registry.module_of("track", spec["track"]).WHY_NO_OBJECTS:
        known = truth.read(spec["kind"], args.dataset, spec["split"], ids, args.instances)
    body = findings.inspect(spec, items, answers, known)
    identity = {key: spec[key] for key in ("study", "seed", "track")}
    identity["subset_hash"] = files.read_json(args.subset)["subset_hash"]
    record = records.write(args.out, "inspection", identity, body)
    with files.written_whole(args.out_flagged) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, findings.COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(findings.table(record))
    for line in findings.in_words(record):
        cli.log.info("%s", line)


if __name__ == "__main__":
    cli.run(main)
