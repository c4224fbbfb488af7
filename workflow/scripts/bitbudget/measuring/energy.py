"""Where energy figures come from, best first: a counter of the hardware, else an estimate that is called one."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Energy:
    """Energy of a window in joules, and the window's length in seconds."""

    joules: float
    seconds: float


class Source(Protocol):
    """Something that tells the energy between `start` and `stop`.

    `how` is `counter` or `estimated`; `scope` says whose energy it is; windows shorter than `least_seconds` mean
    nothing and give no figure.
    """

    name: str
    how: str
    scope: str
    least_seconds: float

    def start(self) -> None: ...

    def stop(self) -> Energy: ...


class NvmlCounter:
    """The GPU's own energy counter (Volta and later), in millijoules; it refreshes about every 100 ms."""

    name, how, scope, least_seconds = "NVML total energy counter", "counter", "the GPU alone", 5.0

    def __init__(self) -> None:
        from bitbudget.measuring.nvml import handle_of_current_gpu

        self.handle = handle_of_current_gpu()
        self._read()  # raises here where the GPU has no counter

    def _read(self) -> int:
        import pynvml

        return pynvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)

    def start(self) -> None:
        import torch

        torch.cuda.synchronize()
        self._began, self._joules = time.perf_counter(), self._read() / 1000

    def stop(self) -> Energy:
        import torch

        torch.cuda.synchronize()
        return Energy(self._read() / 1000 - self._joules, time.perf_counter() - self._began)


class RaplCounter:
    """Intel's and AMD's package counters (RAPL) as Linux' powercap shows them, in microjoules; they wrap around."""

    name, how, scope, least_seconds = "RAPL package counters", "counter", "the whole processor package", 1.0

    def __init__(self, root: Path = POWERCAP) -> None:
        # the zones below a package are parts of it, and `psys`, which some laptops have beside it, holds it too
        zones = [z for z in sorted(root.glob("intel-rapl:*")) if z.name.count(":") == 1]
        self.zones = [z for z in zones if (z / "name").read_text().startswith("package")]
        if not self.zones:
            raise OSError(f"no RAPL package zones in {root}")
        self._read()

    def _read(self) -> list[int]:
        return [int((zone / "energy_uj").read_text()) for zone in self.zones]

    def start(self) -> None:
        self._began, self._first = time.perf_counter(), self._read()

    def stop(self) -> Energy:
        used = 0
        for zone, first, last in zip(self.zones, self._first, self._read(), strict=True):
            range_ = int((zone / "max_energy_range_uj").read_text())
            used += last - first if last >= first else last - first + range_
        return Energy(used / 1e6, time.perf_counter() - self._began)


class CodecarbonEstimate:
    """codecarbon's estimate from the processor's rated power and its load: an order of magnitude, no measurement."""

    name, how, least_seconds = "codecarbon", "estimated", 1.0
    scope = "processor and memory, from the rated power and the load"

    def __init__(self, country: str) -> None:
        from codecarbon import OfflineEmissionsTracker

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        self._tracker = OfflineEmissionsTracker(
            country_iso_code=country,
            save_to_file=False,
            log_level="critical",
            measure_power_secs=1,
            allow_multiple_runs=True,
        )
        self._windows = 0

    def start(self) -> None:
        self._windows += 1
        self._tracker.start_task(f"window {self._windows}")
        self._began = time.perf_counter()

    def stop(self) -> Energy:
        seconds = time.perf_counter() - self._began
        used = self._tracker.stop_task()
        # its sum would add every GPU of the machine, which the measured model does not use
        return Energy((used.cpu_energy + used.ram_energy) * 3.6e6, seconds)


def choose_source(device: str, country: str) -> tuple[Source | None, str]:
    """The best source that works on this machine, or None and the sentence that says why there is none.

    A GPU without a counter gets no figure: an estimate of the processor alone would pass the GPU over in silence.
    """
    if device == "cuda":
        try:
            return NvmlCounter(), ""
        except Exception as fault:  # NVML's own exceptions have no common base that can be imported without it
            return None, (
                f"the GPU gives no energy counter ({fault}); install nvidia-ml-py and use a GPU of the Volta "
                "generation or later."
            )
    try:
        return RaplCounter(), ""
    except (OSError, ValueError):
        pass
    try:
        return CodecarbonEstimate(country), ""
    except ImportError:
        return None, "there is no readable RAPL counter and codecarbon is not installed; install it."


def carbon_intensity(country: str) -> tuple[float, str] | None:
    """Grams of CO2e per kWh of electricity in a country, with the source; None where codecarbon has no figure."""
    try:
        from codecarbon.input import DataSource
    except ImportError:
        return None
    entry = DataSource().get_global_energy_mix_data().get(country, {})
    if "carbon_intensity" not in entry:
        return None
    return float(entry["carbon_intensity"]), f"codecarbon's energy mix data of {entry.get('year', 'an unknown year')}"
