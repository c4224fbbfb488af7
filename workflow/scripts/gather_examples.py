"""Gather every item with what each precision answered, personal strings replaced: what everything published shows."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files, records
from bitbudget.errors import UserError
from bitbudget.items import available
from bitbudget.telling import examples

SPEC = (
    "study", "seed", "track", "primary", "models", "precisions", "conditions", "baseline", "kind", "inspection.redact",
    "inspection.phone_region",
)  # fmt: skip


def main() -> None:
    arguments = cli.parser(__doc__)
    cli.spec(arguments, SPEC)
    arguments.add_argument("--subset", type=Path, required=True, help="subset.json, which stands in results/{study}")
    arguments.add_argument("--items", type=Path, required=True, help="items.jsonl")
    arguments.add_argument("--images", type=Path, help="images.json, of a track with images")
    for name in ("predictions", "item-scores"):
        arguments.add_argument(
            f"--{name}",
            type=Path,
            nargs="+",
            required=True,
            help=f"all {name.replace('-', '_')}.jsonl, each in a folder {{model}}/{{precision}}/{{condition}}",
        )
    arguments.add_argument("--inspection", type=Path, required=True, help="inspection.json")
    arguments.add_argument("--out", type=Path, required=True, help="examples.json to write")
    args = arguments.parse_args()

    subset, inspection = files.read_json(args.subset), files.read_json(args.inspection)
    if inspection["subset_hash"] != subset["subset_hash"]:
        raise UserError(f"{args.inspection} is of another subset than {args.subset}; inspect the outputs again.")
    body = examples.gather(
        args.spec,
        available.usable_items(args.items, args.images),
        {path.parts[-4:-1]: path for path in args.predictions},
        {path.parts[-4:-1]: path for path in args.item_scores},
        inspection,
        {one["id"]: one["name"] for one in subset.get("categories", ())},
        (args.images or args.items).parent,
    )
    identity = {key: args.spec[key] for key in ("study", "seed")}
    record = records.write(args.out, "examples", identity | {"subset_hash": subset["subset_hash"]}, body)
    withheld = sum(item["withheld"] is not None for item in record["items"])
    cli.log.info(
        "%s: %d items, the pictures of %d withheld; shown as examples: %s",
        args.out, len(record["items"]), withheld, ", ".join(record["qualitative"]) or "none",
    )  # fmt: skip


if __name__ == "__main__":
    cli.run(main)
