"""Export a detector to LiteRT: its .tflite file, and what goes into it and comes out of it."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from bitbudget import cli, contracts, files, records, registry

log = logging.getLogger("bitbudget")

SPEC = ("model", "family", "detector")


def main() -> None:
    """Write the file and its specification first, and the record last."""
    parser = cli.parser(__doc__)
    parser.add_argument("--model-dir", type=Path, required=True, help="the fetched model")
    cli.spec(parser, SPEC)
    parser.add_argument("--converted", type=Path, help="folder of what TensorFlow made of a SavedModel or Keras model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the exported detector")
    args = parser.parse_args()

    from bitbudget.runtimes.litert.export import export
    from bitbudget.runtimes.litert.interpreter import EXPORT

    began = time.perf_counter()
    spec = args.spec
    family = registry.module_of("family", spec["family"])
    if contracts.of(family, "SOURCE") == "transformers":
        from bitbudget.system.quiet import quiet_libraries

        quiet_libraries()
    made = export(args.model_dir, family, spec, args.out, args.converted)
    fetched = files.read_json(args.model_dir / "model.json")
    body = {key: fetched[key] for key in ("family", "source", "revision")} | made
    body["seconds"] = round(time.perf_counter() - began, 3)
    files.flush_all(args.out)
    records.write(args.out / EXPORT, "export", {"model": spec["model"]}, body)
    parity = made["parity"]
    shown = ", ".join(f"{name} {gap:.1e}" for name, gap in parity["max_abs_difference"].items()) if parity else "none"
    size = sum(file["bytes"] for file in made["files"].values())
    log.info(
        "%s: %.2f MB, %d operators, largest differences from the model: %s",
        spec["model"], size / 1e6, sum(made["operators"].values()), shown,
    )  # fmt: skip


if __name__ == "__main__":
    cli.run(main)
