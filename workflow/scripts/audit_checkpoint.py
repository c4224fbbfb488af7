"""Load a checkpoint and hold what it contains against what its precision asked for; fail where they differ."""

from __future__ import annotations

import logging
from argparse import Namespace
from pathlib import Path
from typing import Any

from bitbudget import cli, records, registry
from bitbudget.models.audit import at_once

log = logging.getLogger("bitbudget")

SPEC = ("study", "model", "precision", "family", "assignment", "dtype", "device", "simulated", "calibration.asked")


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
    parser.add_argument("--code", help="digest of this script's code: what quantize_model found by the same is taken")
    parser.add_argument("--out", type=Path, required=True, help="audit.json")
    args = parser.parse_args()

    spec = args.spec
    body = at_once.kept(args.checkpoint, args.code, spec) or _audited(args)
    identity = {key: spec[key] for key in ("study", "model", "precision")}
    records.write(args.out, "audit", identity, body)
    for name, group in body["groups"].items():
        error = group["relative_error"]
        shown = "" if error is None else f", relative error {error:.4f}"
        log.info("%-20s %-14s %9.3f MB%s", name, group["format"], group["bytes"] / 1e6, shown)


def _audited(args: Namespace) -> dict[str, Any]:
    """What the record says of the checkpoint, found by loading it."""
    from bitbudget.models.audit import stored
    from bitbudget.runtimes.transformers import calibration
    from bitbudget.system.devices import choose_device
    from bitbudget.system.quiet import quiet_libraries

    quiet_libraries()
    family = registry.module_of("family", args.spec["family"])

    def looked_at() -> Any:
        how = args.spec.get("calibration", {}).get("asked")
        return calibration.read(args.model_dir, family, args.calibration, args.calibration_images, how)[0]

    device = choose_device(args.spec["device"])
    return stored.audit(args.checkpoint, args.model_dir, family, args.spec, device, args.calibration and looked_at)


if __name__ == "__main__":
    cli.run(main)
