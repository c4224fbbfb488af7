"""Pool what several processes measured of one precision into one record, beside what the machine allows."""

from __future__ import annotations

import logging
from pathlib import Path

from bitbudget import cli, files, records

log = logging.getLogger("bitbudget")

SPEC = ("carbon.country", "carbon.pue", "carbon.intensity")


def main() -> None:
    """Pool the repeats and write the record; what may have disturbed them is logged and recorded."""
    parser = cli.parser(__doc__)
    parser.add_argument("--repeats", type=Path, nargs="+", required=True, help="all repeat-{k}.json")
    parser.add_argument("--machine", type=Path, help="machine.json; without it there are no floors")
    parser.add_argument("--audit", type=Path, help="audit.json of the precision")
    parser.add_argument("--flops", type=Path, help="flops.json of the baseline under this condition")
    cli.spec(parser, SPEC)
    parser.add_argument("--out", type=Path, required=True, help="measurements.json")
    args = parser.parse_args()

    from bitbudget.measuring import floor, pooling

    identity, body = pooling.pooled([files.read_json(path) for path in args.repeats], args.spec["carbon"])
    if args.machine:
        machine, audit, flops = (files.read_json(path) for path in (args.machine, args.audit, args.flops))
        body["metrics"] |= floor.metrics(body, audit, machine, flops)
    records.write(args.out, "measurements", identity, body)
    for remark in body["remarks"]:
        log.info("remark: %s", remark)
    log.info("pooled %d repeat%s", len(args.repeats), "s" * (len(args.repeats) != 1))


if __name__ == "__main__":
    cli.run(main)
