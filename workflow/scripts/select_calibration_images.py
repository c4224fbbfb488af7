"""Choose the images that full-integer detectors are calibrated on: by the seed, and none that is evaluated."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files, records, registry
from bitbudget.datasets import check_split, with_defaults
from bitbudget.items import item as items
from bitbudget.models.calibration import images as calibration_images

SPEC = ("study", "seed", "dataset", "kind", "options", "calibration.split", "calibration.items")


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--dataset-dir", type=Path, required=True, help="the fetched data set")
    parser.add_argument(
        "--items", type=Path, required=True, help="items.jsonl: what is evaluated, and so is not calibrated on"
    )
    cli.spec(parser, SPEC)
    parser.add_argument("--out", type=Path, required=True, help="calibration/items.jsonl, in the form of items.jsonl")
    parser.add_argument("--record", type=Path, required=True, help="calibration/calibration.json")
    args = parser.parse_args()

    spec, wanted = args.spec, args.spec["calibration"]
    module = registry.module_of("dataset", spec["kind"])
    options = with_defaults(module, spec["kind"], spec["options"])
    check_split(module, spec["kind"], wanted["split"])
    available = module.read_items(options, args.dataset_dir, wanted["split"])
    where = f"the split {wanted['split']!r} of {spec['dataset']}"
    chosen = calibration_images.draw(available, items.read(args.items), wanted["items"], spec["seed"], where)
    items.write(args.out, chosen)
    identity = {key: spec[key] for key in ("study", "seed")}
    body = {
        "dataset": spec["dataset"],
        "split": wanted["split"],
        "revision": files.read_json(args.dataset_dir / "dataset.json")["revision"],
        "calibration_hash": calibration_images.hash_of(chosen),
        "n": len(chosen),
        "ids": [item.id for item in chosen],
    }
    records.write(args.record, "calibration", identity, body)
    cli.log.info("%d calibration images from %s", len(chosen), where)


if __name__ == "__main__":
    cli.run(main)
