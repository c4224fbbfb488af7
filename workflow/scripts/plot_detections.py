"""Draw what a study's detectors find in a few of its images, precision beside precision."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli
from bitbudget.publishing.figures import detections, gallery, style

SPEC = ("models", "precisions", "conditions", "baseline", "note")


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument("--subset", type=Path, required=True, help="subset.json, which names the categories")
    arguments.add_argument("--items", type=Path, required=True, help="items.jsonl")
    arguments.add_argument("--images", type=Path, required=True, help="images.json")
    arguments.add_argument(
        "--predictions",
        type=Path,
        nargs="+",
        required=True,
        help="all predictions.jsonl, each in a folder {model}/{precision}/{condition}",
    )
    cli.spec(arguments, SPEC)
    arguments.add_argument("--out-dir", type=Path, required=True, help="folder for detections.svg and .png")
    args = arguments.parse_args()

    shown = gallery.load(args.subset, args.items, args.images, args.predictions, args.spec)
    with style.applied():
        style.save(detections.draw(shown), args.out_dir, "detections")
    cli.log.info("the figure is in %s", args.out_dir)


if __name__ == "__main__":
    cli.run(main)
