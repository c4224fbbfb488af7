"""Count the floating-point operations of a picture from the baseline's file; its precisions do the same
multiplications."""

from __future__ import annotations

import logging
from pathlib import Path

from bitbudget import cli, files, records

log = logging.getLogger("bitbudget")

SPEC = ("study", "model", "precision", "condition", "seed")


def main() -> None:
    """Count what the file's main graph multiplies, and write the record with what was not counted."""
    parser = cli.parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the baseline's checkpoint")
    parser.add_argument("--audit", type=Path, required=True, help="audit.json")
    parser.add_argument("--subset", type=Path, required=True, help="subset.json")
    cli.spec(parser, SPEC)
    parser.add_argument("--out", type=Path, required=True, help="flops.json")
    args = parser.parse_args()

    from bitbudget.runtimes.litert import flatbuffer, flops
    from bitbudget.runtimes.litert.interpreter import MODEL, SPECIFICATION, manifest

    manifest(args.checkpoint)
    file = args.checkpoint / MODEL
    graphs = flatbuffer.read(file)
    shapes = flops.shapes_of(file, files.read_json(args.checkpoint / SPECIFICATION)["input"])
    found, others = flops.count(graphs[0], shapes)
    hidden = flops.hidden(graphs)
    if hidden:
        reason = (
            f"{', '.join(hidden)} of {file} lie in graphs that another operator calls as often as a picture asks for, "
            "which its shapes do not tell; convert the model without control flow."
        )
        metric = records.absent(reason, "FLOPs", higher_is_better=False)
    else:
        total = sum(found.values())
        metric = records.metric(total, "FLOPs", higher_is_better=False, n=1, raw=[total])
    spec = args.spec
    identity = {key: spec[key] for key in ("study", "model", "precision", "condition", "seed")}
    body = {
        "checkpoint_hash": files.read_json(args.audit)["checkpoint_hash"],
        "subset_hash": files.read_json(args.subset)["subset_hash"],
        "new_tokens": None,
        "convention": flops.CONVENTION,
        "operators": found,
        "not_counted": others,
        "metrics": {"flops_per_item": metric},
    }
    records.write(args.out, "flops", identity, body)
    if hidden:
        log.warning("warning: %s", metric["absent"])
    else:
        log.info("%.4g GFLOPs an image; not counted: %s", total / 1e9, ", ".join(others) or "nothing")


if __name__ == "__main__":
    cli.run(main)
