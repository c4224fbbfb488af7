"""Load a ready checkpoint and tell what it holds, beside the original's weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from bitbudget import cli, records, registry
from bitbudget.errors import UserError

SPEC = ("study", "model", "precision", "family", "device")


def main() -> None:
    """Audit every layer and write the record; a checkpoint of another model fails the job."""
    parser = cli.parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--model-dir", type=Path, required=True, help="snapshot of the original model")
    cli.spec(parser, SPEC)
    parser.add_argument("--out", type=Path, required=True, help="audit.json")
    args = parser.parse_args()

    from bitbudget.models import checkpoint, group_files
    from bitbudget.models.audit import stored
    from bitbudget.models.ready import auditing
    from bitbudget.system import verified
    from bitbudget.system.devices import choose_device
    from bitbudget.system.quiet import quiet_libraries

    quiet_libraries()
    spec = args.spec
    family = registry.module_of("family", spec["family"])
    device = choose_device(spec["device"])
    verified.hold_folder(args.model_dir, checkpoint.SNAPSHOT)
    made = checkpoint.manifest(args.checkpoint)
    if "ready" not in made:
        raise UserError(f"{args.checkpoint} was quantized here: audit it with audit_checkpoint.py.")
    identity = {key: spec[key] for key in ("study", "model", "precision")}
    if files := group_files.read(made):
        asked = {key: made[key] for key in ("assignment", "dtype")} | {"precision": spec["precision"], "simulated": []}
        body = stored.audit(args.checkpoint, args.model_dir, family, asked, device)
        del body["coverage"]  # nothing was asked of it
        remarks = [words for one in files for words in registry.format_of(one.spec["format"]).remarks(made, body)]
    else:
        model = checkpoint.load(args.checkpoint, family, device)
        found = auditing.audit(args.checkpoint, model, args.model_dir, family, made, device)
        remarks = found["remarks"]
        body = {
            "checkpoint_hash": made["checkpoint_hash"],
            "passed": True,
            "simulated": [],
            "device": device,
            "weights_bytes_in_memory": sum(group["bytes"] for group in found["groups"].values()),
            "groups": found["groups"],
            "layers": [asdict(layer) for layer in found["layers"]],
            "other_parameters": found["other_parameters"],
        }
    records.write(args.out, "audit", identity, body | {"ready": made["ready"] | {"remarks": remarks}})
    for name, group in body["groups"].items():
        error = group["relative_error"]
        shown = "" if error is None else f", relative error {error:.4f}"
        cli.log.info("%-20s %-14s %9.3f MB%s", name, group["format"], group["bytes"] / 1e6, shown)
    for remark in remarks:
        cli.log.info("%s: %s", spec["precision"], remark)


if __name__ == "__main__":
    cli.run(main)
