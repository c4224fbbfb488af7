"""Make a ready checkpoint one of a study's: weights as they are, asked as the original is, told in a manifest."""

from __future__ import annotations

from pathlib import Path

from bitbudget import cli, records, registry

SPEC = ("study", "model", "precision", "family", "assignment", "dtype", "device")


def main() -> None:
    """Link the weights, copy tokenizer and processor, and write the manifest last."""
    parser = cli.parser(__doc__)
    parser.add_argument("--fetched", type=Path, required=True, help="folder of the ready checkpoint")
    parser.add_argument("--model-dir", type=Path, required=True, help="snapshot of the original model")
    cli.spec(parser, SPEC)
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    args = parser.parse_args()

    from bitbudget.models import checkpoint
    from bitbudget.models.ready import adopting
    from bitbudget.system.devices import choose_device
    from bitbudget.system.quiet import quiet_libraries

    quiet_libraries()
    spec = args.spec
    given = args.fetched, args.model_dir, args.out, spec["dtype"], choose_device(spec["device"])
    formats = [registry.format_of(one["format"]) for one in spec["assignment"].values()]
    if whole := next((one for one in formats if one.whole), None):
        made = whole.adopt(*given, registry.module_of("family", spec["family"]), spec["assignment"])
    else:
        made = adopting.adopt(*given)
    identity = {key: spec[key] for key in ("study", "model", "precision")}
    body = {key: spec[key] for key in ("family", "assignment")} | made
    records.write(args.out / checkpoint.MANIFEST, "checkpoint", identity, body)
    cli.log.info(
        "%s of %s: %s, %s, %.2f MB on disk", spec["precision"], spec["model"], made["ready"]["checkpoint"],
        made["ready"]["method"] or "not quantized", made["size_on_disk_bytes"] / 1e6,
    )  # fmt: skip


if __name__ == "__main__":
    cli.run(main)
