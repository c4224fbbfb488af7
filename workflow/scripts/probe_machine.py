"""Probe how fast this machine reads memory and multiplies, once for a study; nothing else may run beside it."""

from __future__ import annotations

import logging
from pathlib import Path

from bitbudget import cli, records

log = logging.getLogger("bitbudget")

SPEC = ("study", "seed", "device", "measure.busy_gpu")


def main() -> None:
    """Probe the device that the study measures on, and write the record."""
    parser = cli.parser(__doc__)
    cli.spec(parser, SPEC)
    parser.add_argument("--out", type=Path, required=True, help="machine.json")
    args = parser.parse_args()

    from bitbudget.measuring import nvml

    earlier = nvml.processes_by_gpu()  # before torch can make a context, which NVML would list
    import torch

    from bitbudget.measuring import machine, machine_probe
    from bitbudget.system.devices import choose_device

    spec = args.spec
    device = choose_device(spec["device"])
    about = machine.circumstances(device, spec["measure"]["busy_gpu"], earlier, window=1.0)
    about |= {
        "device": device,
        "threads": torch.get_num_threads(),
        "last_cache_bytes": machine_probe.last_cache(device),
    }
    metrics = machine_probe.probe(device)
    identity = {key: spec[key] for key in ("study", "seed")}
    records.write(args.out, "machine", identity, {"metrics": metrics, "circumstances": about})
    for name, found in metrics.items():
        said = found.get("absent") or f"{found['value']:.4g} {found['unit']}"
        log.info("%s: %s", name.replace("_", " "), said)


if __name__ == "__main__":
    cli.run(main)
