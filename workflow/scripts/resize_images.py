"""Make the chosen images what models shall see: upright, RGB, no longer than the study says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import cli, files, records, registry
from bitbudget.errors import UserError
from bitbudget.items.images import prepare_images

SPEC = ("max_side", "on_corrupt", "remedy", "families")

SKIP = "set `on_corrupt: skip` under `images` in the study"
NAMED = 5  # at most so many unreadable images are named in the error


def refusals(done: dict[str, dict[str, Any]], families: list[str]) -> dict[str, str]:
    """Why a family's models cannot take some of the prepared images, by image id."""
    found = {}
    for name in families:
        refusal = registry.module_of("family", name).image_refusal
        found |= {key: f"{name}: {why}" for key, entry in done.items() if (why := refusal(*entry["size"]))}
    return found


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--study", required=True)
    parser.add_argument("--sources", type=Path, required=True, help="the record that fetch_images wrote")
    cli.spec(parser, SPEC)
    parser.add_argument("--threads", type=int, default=None, help="processes; none: as many as OMP_NUM_THREADS says")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder of the images, inside the study's folder")
    parser.add_argument("--out", type=Path, required=True, help="images.json, in the study's folder")
    args = parser.parse_args()

    sources = {key: Path(entry["path"]) for key, entry in files.read_json(args.sources)["images"].items()}
    done, unreadable = prepare_images(sources, args.out_dir, args.spec["max_side"], threads=args.threads)
    if unreadable and args.spec["on_corrupt"] == "fail":
        names = ", ".join(str(sources[key]) for key in list(unreadable)[:NAMED])
        more = f" and {len(unreadable) - NAMED} more" if len(unreadable) > NAMED else ""
        raise UserError(
            f"{len(unreadable)} of {len(sources)} images cannot be read: {names}{more} "
            f"(of the first: {next(iter(unreadable.values())).rstrip('.')}); "
            f"replace them, or {args.spec.get('remedy', SKIP)}."
        )
    if not done:
        raise UserError(f"none of the {len(sources)} images can be read; {next(iter(unreadable.values()))}")
    refused = refusals(done, args.spec.get("families", []))
    for key in refused:
        (args.out_dir / done.pop(key)["file"]).unlink()
    if not done:
        raise UserError(f"none of the {len(sources)} images can be used: {next(iter(refused.values()))}.")
    left_out = unreadable | refused
    for key, reason in left_out.items():
        cli.log.warning("left out %s: %s", key, reason)
    for key, entry in done.items():
        if "levels" in entry:
            cli.log.warning("%s: %s", sources[key], entry["levels"])
    folder = args.out_dir.resolve().relative_to(args.out.parent.resolve())
    body = {
        "max_side": args.spec["max_side"],
        "images": {key: entry | {"file": str(folder / entry["file"])} for key, entry in done.items()},
        "skipped": [{"id": key, "reason": reason} for key, reason in left_out.items()],
    }
    records.write(args.out, "images", {"study": args.study}, body)


if __name__ == "__main__":
    cli.run(main)
