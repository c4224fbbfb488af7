"""Fetch one model into a folder: a Hub snapshot of one commit, a converted GGUF file, a detector's ready file, or links
to local files.
"""

from pathlib import Path

from bitbudget import cli, registry
from bitbudget.models import gguf_file, gguf_models, hub, ready_models, snapshots

SPEC = ("entry", "templated")


def main() -> None:
    """Fetch the model and write its record last."""
    parser = cli.parser(__doc__)
    parser.add_argument("--model", required=True, help="the model's name in config/models.yaml")
    cli.spec(parser, SPEC)
    parser.add_argument("--out", required=True, type=Path, help="the model's folder")
    parser.add_argument("--partial", required=True, type=Path, help="this model's own folder for unfinished downloads")
    arguments = parser.parse_args()
    entry = arguments.spec["entry"]
    family = registry.module_of("family", entry["family"])
    given = (arguments.model, entry, arguments.out, arguments.partial)
    if ready_models.is_ready(family):
        record = ready_models.fetch(*given)
    else:
        source = gguf_models if gguf_file.is_gguf(entry) else hub
        templated = arguments.spec["templated"]
        record = source.fetch(*given, check=lambda folder: snapshots.check(folder, family, templated))
    total = sum(f["bytes"] for f in record["files"].values())
    cli.log.info(
        "%s: %d files, %.1f MB, at revision %s", arguments.model, len(record["files"]), total / 1e6, record["revision"]
    )


if __name__ == "__main__":
    cli.run(main)
