"""Choose the worked examples of a few-shot condition: out of the training split, by the seed, none evaluated."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files, records, registry
from bitbudget.datasets import check_split, with_defaults
from bitbudget.items import item as items
from bitbudget.items.shot_choice import choose
from bitbudget.items.shots import answer_of

SPEC = ("study", "seed", "condition", "dataset", "kind", "options", "shots_split", "shots")


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--dataset-dir", type=Path, required=True, help="the fetched data set")
    parser.add_argument(
        "--items", type=Path, required=True, help="items.jsonl: what is evaluated, and so is no example"
    )
    cli.spec(parser, SPEC)
    parser.add_argument("--out", type=Path, required=True, help="shots.jsonl, in the form of items.jsonl")
    parser.add_argument("--record", type=Path, required=True, help="shots.json")
    args = parser.parse_args()

    spec = args.spec
    module = registry.module_of("dataset", spec["kind"])
    options = with_defaults(module, spec["kind"], spec["options"])
    check_split(module, spec["kind"], spec["shots_split"])
    available = module.read_items(options, args.dataset_dir, spec["shots_split"])
    where = f"the split {spec['shots_split']!r} of {spec['dataset']}"
    chosen = choose(available, items.read(args.items), spec["shots"], spec["seed"], where)
    items.write(args.out, chosen)
    identity = {key: spec[key] for key in ("study", "condition", "seed")}
    body = {
        "dataset": spec["dataset"],
        "split": spec["shots_split"],
        "revision": files.read_json(args.dataset_dir / "dataset.json")["revision"],
        "ids": [item.id for item in chosen],
        "answers": [answer_of(item.references) for item in chosen],
    }
    records.write(args.record, "shots", identity, body)
    cli.log.info("examples: %s", ", ".join(body["ids"]))


if __name__ == "__main__":
    cli.run(main)
