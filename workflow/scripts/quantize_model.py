"""Write a model's checkpoint in a precision: every module group in its format, loadable without the original."""

from __future__ import annotations

import logging
from pathlib import Path

from bitbudget import cli, records, registry

log = logging.getLogger("bitbudget")


def main() -> None:
    """Load the snapshot, quantize it layer by layer, and save weights first and the manifest last."""
    parser = cli.parser(__doc__)
    parser.add_argument("--model-dir", type=Path, required=True, help="snapshot of the original model")
    parser.add_argument("--spec", type=cli.json_argument, required=True, help="the rule's part of the study as JSON")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    args = parser.parse_args()

    from bitbudget import checkpoint
    from bitbudget.devices import choose_device
    from bitbudget.quiet import quiet_libraries

    quiet_libraries()
    spec = args.spec
    family = registry.module_of("family", spec["family"])
    device = choose_device(spec["device"])
    model = checkpoint.load_original(args.model_dir, family, spec["dtype"])
    layers, tensors = checkpoint.quantize(model, family, spec["assignment"], device)
    made = checkpoint.save(args.out, args.model_dir, model.config, tensors, layers)
    identity = {key: spec[key] for key in ("study", "model", "precision")}
    body = {key: spec[key] for key in ("family", "dtype", "assignment")} | {"device": device} | made
    records.write(args.out / checkpoint.MANIFEST, "checkpoint", identity, body)
    log.info(
        "%s of %s: %d layers quantized, %.2f MB on disk",
        spec["precision"], spec["model"], len(layers), made["size_on_disk_bytes"] / 1e6,
    )  # fmt: skip


if __name__ == "__main__":
    cli.run(main)
