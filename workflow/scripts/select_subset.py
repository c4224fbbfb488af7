"""Fix which items a study uses, and write them in the one form that every track has."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, contracts, files, records, registry
from bitbudget.datasets import check_split, with_defaults
from bitbudget.errors import UserError
from bitbudget.inspection import truth
from bitbudget.items import item as items
from bitbudget.items import subset

SPEC = ("seed", "dataset", "kind", "options", "split", "subset")


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--dataset-dir", type=Path, required=True, help="the fetched data set")
    cli.spec(parser, SPEC)
    parser.add_argument(
        "--instances", type=Path, help="the user's own file of objects in the images, to find its faults early"
    )
    parser.add_argument("--study", required=True)
    parser.add_argument("--out-subset", type=Path, required=True, help="subset.json")
    parser.add_argument("--out-items", type=Path, required=True, help="items.jsonl")
    args = parser.parse_args()

    spec = args.spec
    module = registry.module_of("dataset", spec["kind"])
    options = with_defaults(module, spec["kind"], spec["options"])
    check_split(module, spec["kind"], spec["split"])
    fetched = files.read_json(args.dataset_dir / "dataset.json")
    for name, expected in fetched["files"].items():
        path = args.dataset_dir / name
        if not path.is_file() or files.sha256_of(path) != expected:
            raise UserError(
                f"{path} is not the file that was fetched; remove {args.dataset_dir}/dataset.json to fetch it again."
            )
    available = {item.id: item for item in module.read_items(options, args.dataset_dir, spec["split"])}
    ids = subset.resolve(spec["subset"], available, spec["seed"])
    read_categories = contracts.of(module, "read_categories")
    if read_categories and not any(not one["iscrowd"] for key in ids for one in available[key].extra["objects"]):
        raise UserError(
            f"none of the {len(ids)} chosen images of {spec['dataset']} shows an object to find, so no precision could "
            "have an AP; choose a larger or another subset."
        )
    if args.instances:
        images = {image.id for one in ids for image in available[one].images}
        truth.read(spec["kind"], args.dataset_dir, spec["split"], images, args.instances)
    chosen = {"dataset": spec["dataset"], "revision": fetched["revision"], "split": spec["split"], "ids": ids}
    items.write(args.out_items, [available[one] for one in ids])
    identity = {"study": args.study, "seed": spec["seed"], "subset_hash": files.hash_of(chosen)}
    body = {"licence": fetched["licence"], "n_available": len(available), "checksums": fetched["files"]}
    if read_categories:
        body["categories"] = read_categories(options, args.dataset_dir)
    records.write(args.out_subset, "subset", identity, chosen | body)


if __name__ == "__main__":
    cli.run(main)
