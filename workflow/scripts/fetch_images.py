"""Bring the chosen images to this machine, no others, and record where each one is."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from bitbudget import cli, files, records
from bitbudget.errors import UserError
from bitbudget.fetching.download import download_many
from bitbudget.items import item as items
from bitbudget.items.item import ImageRef

SPEC = ("at_most",)


def local_path(image: ImageRef, folder: Path) -> Path:
    """Where an image is, or will be once it is downloaded, in a data set's folder."""
    if image.is_remote:
        return folder / "images" / (image.id + PurePosixPath(urlsplit(image.source).path).suffix)
    return folder / image.source  # an absolute source stays as it is


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--study", required=True)
    parser.add_argument("--items", type=Path, required=True, help="items.jsonl")
    parser.add_argument("--dataset-dir", type=Path, required=True, help="the fetched data set")
    cli.spec(parser, SPEC)
    parser.add_argument(
        "--partial", type=Path, default=Path("resources/.partial/datasets"), help="folder of unfinished downloads"
    )
    parser.add_argument("--out", type=Path, required=True, help="record of each image's path and SHA-256")
    args = parser.parse_args()

    images = {image.id: image for item in items.read(args.items) for image in item.images}
    paths = {key: local_path(image, args.dataset_dir) for key, image in images.items()}
    download_many(
        [(image.source, paths[key]) for key, image in images.items() if image.is_remote],
        at_most=args.spec["at_most"],
        partial=args.partial / args.dataset_dir.name / "images",
    )
    missing = [path for path in paths.values() if not path.is_file()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(f"the image {missing[0]}{more} is not there; put it back, or fetch the data set again.")
    body = {key: {"path": str(path), "sha256": files.sha256_of(path)} for key, path in paths.items()}
    dataset = files.read_json(args.dataset_dir / "dataset.json")["dataset"]
    records.write(args.out, "image_sources", {"study": args.study}, {"dataset": dataset, "images": body})


if __name__ == "__main__":
    cli.run(main)
