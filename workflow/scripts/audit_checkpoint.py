"""Load a checkpoint and hold what it contains against what its precision asked for; fail where they differ."""

from __future__ import annotations

import functools
import logging
from dataclasses import asdict
from pathlib import Path

from bitbudget import cli, records, registry
from bitbudget.errors import UserError

log = logging.getLogger("bitbudget")

SPEC = ("study", "model", "precision", "family", "assignment", "dtype", "device", "simulated", "calibration.prompt")


def main() -> None:
    """Audit every layer and write the record; a checkpoint that is not what its name says fails the job."""
    parser = cli.parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--model-dir", type=Path, required=True, help="snapshot of the original model")
    cli.spec(parser, SPEC)
    parser.add_argument(
        "--calibration", type=Path, help="the items (texts, or images) on which calibrated formats were quantized"
    )
    parser.add_argument("--calibration-images", type=Path, help="images.json of these, for a track with images")
    parser.add_argument("--out", type=Path, required=True, help="audit.json")
    args = parser.parse_args()

    from bitbudget.models import checkpoint
    from bitbudget.models.audit import checkpoint_audit
    from bitbudget.models.audit.audited import coverage
    from bitbudget.models.calibration.inputs import inputs_of
    from bitbudget.runtimes.transformers import calibration as calibration_inputs
    from bitbudget.system.devices import choose_device
    from bitbudget.system.quiet import quiet_libraries

    quiet_libraries()
    spec = args.spec
    family = registry.module_of("family", spec["family"])
    device = choose_device(spec["device"])
    model = checkpoint.load(args.checkpoint, family, device)
    original = checkpoint.load_original(args.model_dir, family, spec["dtype"])
    states = functools.partial(checkpoint.stored_state, args.checkpoint)
    manifest = checkpoint.manifest(args.checkpoint)
    told = manifest.get("calibration", {}).get("layers", {})
    decided, inputs = {path: facts["decided"] for path, facts in told.items()}, None
    for path, chosen in manifest["layers"].items():
        if registry.format_of(chosen["format"]).calibrated and path not in decided:
            raise UserError(
                f"{args.checkpoint} does not say what {chosen['format']} decided on for {path}: delete it and make it "
                "again."
            )
    if decided and not args.calibration:
        raise UserError(
            f"{args.checkpoint} holds formats that are calibrated: name the items, as for quantize_model.py, "
            "with --calibration."
        )
    if decided:
        prompt = spec.get("calibration", {}).get("prompt")
        read, _ = calibration_inputs.read(args.model_dir, family, args.calibration, args.calibration_images, prompt)
        inputs = functools.partial(inputs_of, model, list(decided), read, device)
    layers = checkpoint_audit.audit_layers(model, original, family, spec["assignment"], device, states, decided, inputs)
    others = checkpoint_audit.other_parameters(model, original, family, layers)
    changed = checkpoint_audit.changed_elsewhere(model, original, layers)
    changed += checkpoint_audit.changed_on_disk(
        args.checkpoint, args.model_dir, spec["dtype"], spec["assignment"], layers
    )
    checkpoint_audit.refuse_faults(spec["precision"], layers, others + changed)
    wanted = {group: chosen["format"] for group, chosen in spec["assignment"].items()}
    quantized = [group for group, name in wanted.items() if not registry.format_of(name).is_float]
    groups = checkpoint_audit.by_group(layers, others, wanted)
    identity = {key: spec[key] for key in ("study", "model", "precision")}
    body = {
        "checkpoint_hash": manifest["checkpoint_hash"],
        "passed": True,
        "simulated": spec["simulated"],
        "device": device,
        "weights_bytes_in_memory": sum(g["bytes"] for g in groups.values()),
        "coverage": coverage(layers, others, wanted, quantized),
        "groups": groups,
        "layers": [asdict(layer) for layer in layers],
        "other_parameters": others,
    }
    records.write(args.out, "audit", identity, body)
    for name, group in groups.items():
        error = group["relative_error"]
        shown = "" if error is None else f", relative error {error:.4f}"
        log.info("%-20s %-14s %9.3f MB%s", name, group["format"], group["bytes"] / 1e6, shown)


if __name__ == "__main__":
    cli.run(main)
