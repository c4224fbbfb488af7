"""Write a model's checkpoint in a precision: what is quantized, beside a reference to the snapshot for the rest."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
from pathlib import Path

from bitbudget import cli, records, registry

log = logging.getLogger("bitbudget")

SPEC = (
    "study", "model", "precision", "family", "assignment", "dtype", "device", "simulated", "least_coverage",
    "calibration.asked",
)  # fmt: skip


def main() -> None:
    """Quantize the snapshot layer by layer, and save weights first and the manifest last."""
    parser = cli.parser(__doc__)
    parser.add_argument("--model-dir", type=Path, required=True, help="snapshot of the original model")
    cli.spec(parser, SPEC)
    parser.add_argument(
        "--calibration", type=Path, help="items (texts, or images) for formats that look at some before they round"
    )
    parser.add_argument("--calibration-images", type=Path, help="images.json of these, for a track with images")
    parser.add_argument(
        "--items", type=Path, help="items.jsonl: what the model will be asked, so that it is known to fit"
    )
    parser.add_argument("--images", type=Path, help="images.json, for a track with images")
    parser.add_argument(
        "--audit-with",
        nargs="+",
        metavar="MODULE",
        help="the registered modules that the audit's job uses: audit the checkpoint at once, for that job to find",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    args = parser.parse_args()

    from bitbudget import files
    from bitbudget.items import available
    from bitbudget.models import checkpoint, coverage, group_files, shared_files
    from bitbudget.models.audit import at_once
    from bitbudget.models.formats.base import Calibration
    from bitbudget.runtimes.transformers import asked_items
    from bitbudget.runtimes.transformers import calibration as calibration_inputs
    from bitbudget.system.devices import choose_device
    from bitbudget.system.quiet import quiet_libraries

    quiet_libraries()
    spec = args.spec
    family = registry.module_of("family", spec["family"])
    device = choose_device(spec["device"])
    if args.items:
        asked = available.expected_items(args.items, args.images)
        asked_items.check(args.model_dir, family, asked, files.read_json(args.images) if args.images else None)
    model = checkpoint.original(args.model_dir, family, spec["dtype"])
    coverage.refuse_little(spec["precision"], model.model, family, spec["assignment"], spec["least_coverage"])
    inputs, looked_at, told = None, None, {}
    if args.calibration:
        how = spec.get("calibration", {}).get("asked")
        inputs, told = calibration_inputs.read(args.model_dir, family, args.calibration, args.calibration_images, how)
        load = functools.partial(checkpoint.original, args.model_dir, family, spec["dtype"])
        looked_at = Calibration(load, inputs)
    layers, tensors = checkpoint.quantize(model, family, spec["assignment"], device, looked_at)
    wholes = group_files.make(model, family, spec["assignment"], args.model_dir, args.out, device, looked_at)
    held_there = group_files.parameters(wholes, model.model, family)
    made = checkpoint.save(args.out, args.model_dir, model, tensors, layers, wholes, held_there)
    beside = args.out.parent.parent.glob(f"*/{args.out.name}/{checkpoint.MANIFEST}")  # the study's other precisions
    saved = shared_files.share(args.out, made["files"], beside)
    identity = {key: spec[key] for key in ("study", "model", "precision")}
    body = {key: spec[key] for key in ("family", "dtype", "assignment")} | {"device": device} | made
    if looked_at is not None and looked_at.report:
        body["calibration"] = told | looked_at.report
    records.write(args.out / checkpoint.MANIFEST, "checkpoint", identity, body)
    log.info(
        "%s of %s: %d layers quantized, %.2f MB on disk, %.2f MB of it shared with other precisions",
        spec["precision"], spec["model"], len(layers), made["size_on_disk_bytes"] / 1e6, saved / 1e6,
    )  # fmt: skip
    if args.audit_with:
        # By their names: an edit of the audit must not make checkpoints anew. What fails, the audit's job will tell.
        names = "bitbudget.models.audit.stored", "bitbudget.config.dependencies"
        stored, dependencies = map(importlib.import_module, names)
        with contextlib.suppress(Exception):
            found = stored.audit(args.out, args.model_dir, family, spec, device, inputs and (lambda: inputs))
            at_once.keep(args.out, dependencies.code_of("audit_checkpoint", args.audit_with), spec, found)


if __name__ == "__main__":
    cli.run(main)
