"""Write a detector's checkpoint in a precision: its .tflite file in one format, with its specification."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from bitbudget import cli, files, records
from bitbudget.items import item
from bitbudget.models.calibration import images as calibration_images
from bitbudget.system import verified

log = logging.getLogger("bitbudget")

SNAPSHOT = "model.json"  # the record of a fetched file
SPEC = ("study", "model", "precision", "family", "assignment")


def main() -> None:
    """Quantize the exported file; the manifest is written last."""
    parser = cli.parser(__doc__)
    parser.add_argument("--exported", type=Path, required=True, help="folder of the exported detector")
    cli.spec(parser, SPEC)
    parser.add_argument("--calibration", type=Path, help="items of the images that a format calibrates on")
    parser.add_argument("--calibration-images", type=Path, help="images.json of these images")
    parser.add_argument("--ready", type=Path, help="folder of a ready .tflite file, which is taken as it is")
    parser.add_argument("--converted", type=Path, help="folder of the file that TensorFlow's converter made")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    args = parser.parse_args()

    from bitbudget.models.formats.litert import AS_IS
    from bitbudget.runtimes.litert import activations, answers, quantizing, widening
    from bitbudget.runtimes.litert.interpreter import EXPORT, MANIFEST, MODEL, SPECIFICATION, Detector, threads_for
    from bitbudget.runtimes.litert.tensorflow_export import CONVERSION

    spec = args.spec
    (asked,) = spec["assignment"].values()
    verified.hold_folder(args.exported, EXPORT)
    pictures, inputs = {}, None
    if args.calibration:
        pictures = answers.pictures(args.calibration, args.calibration_images)
        detector = Detector(args.exported, threads=1)
        inputs = (detector.prepare(picture.path)[0] for picture in pictures.values())
    (args.out / MANIFEST).unlink(missing_ok=True)
    ranges: dict[str, tuple[float, float]] = {}
    if args.ready:
        verified.hold_folder(args.ready, SNAPSHOT)
        content = (args.ready / MODEL).read_bytes()
    elif args.converted:
        verified.hold_folder(args.converted, CONVERSION)
        content = (args.converted / MODEL).read_bytes()
        if inputs is not None:
            ranges = activations.seen(args.exported / MODEL, inputs, threads_for(None))
    elif asked["format"] == AS_IS:
        content = (args.exported / MODEL).read_bytes()
    else:
        with widening.in_float32(args.exported) as exported:
            content = quantizing.quantize(exported / MODEL, asked, inputs, ranges)
    with files.written_whole(args.out / MODEL) as temporary:
        temporary.write_bytes(content)
    with files.written_whole(args.out / SPECIFICATION) as temporary:
        shutil.copyfile(args.exported / SPECIFICATION, temporary)
    weights = {MODEL: {"bytes": len(content), "sha256": files.sha256_of(args.out / MODEL)}}
    specification = files.read_json(args.out / SPECIFICATION)
    body = {
        "family": spec["family"],
        "dtype": "litert",
        "assignment": spec["assignment"],
        "device": "cpu",
        "files": weights,
        "size_on_disk_bytes": len(content),
        "layers": {},
        "checkpoint_hash": files.hash_of({"files": weights, "detector": specification}),
    }
    if args.calibration:
        chosen = item.read(args.calibration)
        hashed = calibration_images.hash_of(chosen)
        body["calibration"] = {"calibration_hash": hashed, "n": len(chosen), "images": len(pictures)}
        body["calibration"]["ranges"] = {name: list(ends) for name, ends in ranges.items()}
    if args.converted:
        body["converter"] = files.read_json(args.converted / CONVERSION)["converter"]
    if args.ready:
        about = files.read_json(args.ready / SNAPSHOT)
        body["ready"] = {"checkpoint": about["model"], "method": None, "quantization_config": None, "remarks": []}
        body["ready"] |= {key: about[key] for key in ("source", "revision", "licence")}
    identity = {key: spec[key] for key in ("study", "model", "precision")}
    records.write(args.out / MANIFEST, "checkpoint", identity, body)
    seen = f", calibrated on {len(pictures)} images" if args.calibration else ""
    log.info("%s of %s: %.2f MB on disk%s", spec["precision"], spec["model"], len(content) / 1e6, seen)


if __name__ == "__main__":
    cli.run(main)
