"""Choose the texts that quantization methods look at: by the seed, and none that is evaluated."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files, records, registry
from bitbudget.datasets import check_split, with_defaults
from bitbudget.items import item as items
from bitbudget.models.calibration import choosing
from bitbudget.models.calibration import texts as calibration_texts

SPEC = ("study", "seed", "dataset", "kind", "options", "calibration.split", "calibration.items", "calibration.file")


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--dataset-dir", type=Path, required=True, help="the fetched data set")
    parser.add_argument(
        "--items", type=Path, required=True, help="items.jsonl: what is evaluated, and so is not calibrated on"
    )
    cli.spec(parser, SPEC)
    parser.add_argument("--out", type=Path, required=True, help="calibration.jsonl, in the form of items.jsonl")
    parser.add_argument("--record", type=Path, required=True, help="calibration.json")
    args = parser.parse_args()

    spec, wanted = args.spec, args.spec["calibration"]
    evaluated = items.read(args.items)
    if wanted["file"] is not None:
        file = Path(wanted["file"])
        chosen = choosing.draw_from_file(file, evaluated, wanted["items"], spec["seed"])
        source = {"file": wanted["file"], "sha256": files.sha256_of(file)}
    else:
        module = registry.module_of("dataset", spec["kind"])
        options = with_defaults(module, spec["kind"], spec["options"])
        check_split(module, spec["kind"], wanted["split"])
        available = module.read_items(options, args.dataset_dir, wanted["split"])
        where = f"the split {wanted['split']!r} of {spec['dataset']}"
        chosen = choosing.draw(available, evaluated, wanted["items"], spec["seed"], where)
        revision = files.read_json(args.dataset_dir / "dataset.json")["revision"]
        source = {"dataset": spec["dataset"], "revision": revision, "split": wanted["split"]}
    items.write(args.out, chosen)
    identity = {key: spec[key] for key in ("study", "seed")}
    body = {
        "calibration_hash": calibration_texts.hash_of(chosen),
        "n": len(chosen),
        "ids": [item.id for item in chosen],
    }
    records.write(args.record, "calibration", identity, source | body)
    cli.log.info("%d calibration texts from %s", len(chosen), wanted["file"] or where)


if __name__ == "__main__":
    cli.run(main)
