"""Fetch a data set's annotations (or make a generated set) into its folder, and record what was fetched."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, files, records, registry
from bitbudget.datasets import with_defaults
from bitbudget.fetching import pins

SPEC = ("kind", "options", "licence")


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--dataset", required=True, help="its name in config/datasets.yaml")
    cli.spec(parser, SPEC)
    parser.add_argument("--out", type=Path, required=True, help="folder to fill; dataset.json is written there last")
    parser.add_argument(
        "--partial", type=Path, default=Path("resources/.partial/datasets"), help="folder of unfinished downloads"
    )
    args = parser.parse_args()

    kind = args.spec["kind"]
    module = registry.module_of("dataset", kind)
    options = with_defaults(module, kind, args.spec["options"])
    asked = dict(options)
    if options.get("revision") == "":  # left open: held to the first one fetched
        asked["revision"] = pins.locked("datasets", args.dataset).get("revision", "")
    found = module.fetch(asked, args.out, args.partial / args.dataset)
    if "lock" in found:
        pins.hold("datasets", args.dataset, found["lock"])
    files.flush_all(args.out)
    body = {"dataset": args.dataset, "kind": kind, "options": options}
    body |= {key: found[key] for key in ("revision", "source", "files")}
    body["licence"] = found["licence"] or args.spec.get("licence") or "not stated"
    records.write(args.out / "dataset.json", "dataset", {}, body)


if __name__ == "__main__":
    cli.run(main)
