"""Convert a detector's SavedModel or Keras model to a .tflite file, by TensorFlow's own converter."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

from bitbudget import cli, files, records
from bitbudget.system import verified

log = logging.getLogger("bitbudget")

SPEC = ("model", "detector", "made")


def main() -> None:
    """Write the file, what the model itself gives for the test picture, and the record last."""
    parser = cli.parser(__doc__)
    parser.add_argument("--model-dir", type=Path, required=True, help="the fetched model")
    cli.spec(parser, SPEC)
    parser.add_argument("--calibration", type=Path, help="items of the images that a format calibrates on")
    parser.add_argument("--calibration-images", type=Path, help="images.json of these images")
    parser.add_argument("--out", type=Path, required=True, help="folder of the converted file")
    args = parser.parse_args()

    import numpy as np
    from PIL import Image

    from bitbudget.runtimes.litert import answers, probe
    from bitbudget.runtimes.litert.preprocessing import prepare
    from bitbudget.runtimes.litert.spec import complete
    from bitbudget.runtimes.litert.tensorflow_export import CONVERSION, MODEL, OUTPUTS, Source

    began = time.perf_counter()
    spec = args.spec
    verified.hold_folder(args.model_dir, "model.json")
    given = complete(spec["detector"])["input"]
    source = Source(args.model_dir)
    pictures = answers.pictures(args.calibration, args.calibration_images) if args.calibration else {}

    def inputs() -> Iterator[np.ndarray]:
        for picture in pictures.values():
            with Image.open(picture.path) as image:
                yield prepare(image.convert("RGB"), given)[0]

    name = spec["made"] and spec["made"]["format"]
    content = source.convert(name, inputs())
    args.out.mkdir(parents=True, exist_ok=True)
    with files.written_whole(args.out / MODEL) as temporary:
        temporary.write_bytes(content)
    np.savez(args.out / OUTPUTS, **source.answer(prepare(probe.picture(), given)[0]))
    body = {
        "format": name,
        "converter": {"name": "tf.lite.TFLiteConverter", "version": source.tf.__version__},
        "files": {
            one: {"bytes": (args.out / one).stat().st_size, "sha256": files.sha256_of(args.out / one)}
            for one in (MODEL, OUTPUTS)
        },
        "images": len(pictures),
        "seconds": round(time.perf_counter() - began, 3),
    }
    files.flush_all(args.out)
    records.write(args.out / CONVERSION, "conversion", {"model": spec["model"]}, body)
    said = f"{len(content) / 1e6:.2f} MB by TensorFlow {source.tf.__version__}"
    log.info("%s in %s: %s", spec["model"], name or "float32", said)


if __name__ == "__main__":
    cli.run(main)
