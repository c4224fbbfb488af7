"""Fetch a ready checkpoint into a folder: a Hub snapshot, links to local files, a .tflite or a GGUF file."""

from pathlib import Path

from bitbudget import cli
from bitbudget.models import gguf_models, hub, ready_models

SPEC = ("source",)


def main() -> None:
    """Fetch the checkpoint and write its record last."""
    parser = cli.parser(__doc__)
    cli.spec(parser, SPEC)
    parser.add_argument("--out", required=True, type=Path, help="the checkpoint's folder")
    parser.add_argument("--partial", required=True, type=Path, help="this one's own folder for unfinished downloads")
    arguments = parser.parse_args()
    source = arguments.spec["source"]
    given = (source["checkpoint"], source, arguments.out, arguments.partial)
    if source["file"]:
        record = ready_models.fetch(*given)
    elif "gguf" in source:
        name, _, *places = given
        record = gguf_models.fetch_as_it_is(name, source | {"file": source["gguf"]}, *places)
    else:
        from bitbudget.models.ready import methods
        from bitbudget.models.snapshots import small_files
        from bitbudget.system.quiet import quiet_libraries

        quiet_libraries()
        record = hub.fetch(*given, look=methods.check, check=small_files.check_json)
    total = sum(f["bytes"] for f in record["files"].values())
    cli.log.info("%s: %d files, %.1f MB", source["checkpoint"], len(record["files"]), total / 1e6)


if __name__ == "__main__":
    cli.run(main)
