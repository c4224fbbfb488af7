"""Read a detector's checkpoint and hold what it contains against what its precision asked for; fail if they differ."""

from __future__ import annotations

import logging
from pathlib import Path

from bitbudget import cli, records
from bitbudget.system import verified

log = logging.getLogger("bitbudget")

SPEC = ("study", "model", "precision", "assignment", "simulated")


def main() -> None:
    """Audit every weight and write the record; a checkpoint that is not what its name says fails the job."""
    parser = cli.parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--exported", type=Path, required=True, help="folder of the exported detector")
    cli.spec(parser, SPEC)
    parser.add_argument(
        "--calibration", type=Path, help="items of the images that a format calibrated on, to see them again"
    )
    parser.add_argument("--calibration-images", type=Path, help="images.json of these images")
    parser.add_argument("--out", type=Path, required=True, help="audit.json")
    args = parser.parse_args()

    from bitbudget.models.formats.litert import AS_IS
    from bitbudget.runtimes.litert import activations, answers, ready, widening
    from bitbudget.runtimes.litert.audit import audit
    from bitbudget.runtimes.litert.interpreter import EXPORT, MODEL, Detector, manifest, threads_for

    spec = args.spec
    (asked,) = spec["assignment"].values()
    made = manifest(args.checkpoint)
    verified.hold_folder(args.exported, EXPORT)
    ranges = None
    if args.calibration:
        detector = Detector(args.exported, threads=1)
        inputs = (
            detector.prepare(one.path)[0]
            for one in answers.pictures(args.calibration, args.calibration_images).values()
        )
        ranges = activations.seen(args.exported / MODEL, inputs, threads_for(None))
    if "ready" in made:
        found = ready.audit(args.exported, args.checkpoint, made["ready"])
    elif asked["format"] == AS_IS:
        found = audit(args.exported, args.checkpoint, spec["precision"], asked)
    else:
        with widening.in_float32(args.exported) as exported:
            found = audit(exported, args.checkpoint, spec["precision"], asked, ranges)
    identity = {key: spec[key] for key in ("study", "model", "precision")}
    body = {
        "checkpoint_hash": made["checkpoint_hash"],
        "passed": True,
        "simulated": spec["simulated"],
        "device": "cpu",
    } | found
    records.write(args.out, "audit", identity, body)
    for name, group in found["groups"].items():
        error = group["relative_error"]
        shown = "" if error is None else f", relative error {error:.4f}"
        log.info("%-20s %-14s %9.3f MB%s", name, group["format"], group["bytes"] / 1e6, shown)
    runs = found["delegate"]
    limits = found["output_limits"]
    off = ", ".join(
        f"{name} {error:.2g}" + (f" (limit {limits[name]:.2g})" if name in limits else "")
        for name, error in found["output_errors"].items()
    )
    log.info("%d of %d operators run by %s; outputs off by %s", runs["delegated"], runs["operators"], runs["name"], off)
    for one in found["not_held"]:
        log.warning("%s", one)


if __name__ == "__main__":
    cli.run(main)
