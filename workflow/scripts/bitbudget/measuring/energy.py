"""Where energy figures come from, best first: a counter of the hardware, its power sampled, else an estimate."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
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

    `how` is `counter`, `sampled` or `estimated`; `scope` says whose energy it is; windows shorter than `least_seconds`
    mean nothing and give no figure.
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


class NvmlPower:
    """The GPU's power, read about every 50 ms in a thread and summed up by trapezoids, for GPUs without a counter.

    The driver itself averages the reading over up to a second (NVML's documentation of nvmlDeviceGetPowerUsage), so
    that short windows mean nothing. A window in which a reading fails has no energy.
    """

    name, how, scope, least_seconds = "NVML power readings", "sampled", "the GPU alone", 5.0
    interval = 0.05

    def __init__(self) -> None:
        from bitbudget.measuring.nvml import handle_of_current_gpu

        self.handle = handle_of_current_gpu()
        self._watts()  # raises here where the GPU does not tell its power

    def _watts(self) -> float:
        import pynvml

        return pynvml.nvmlDeviceGetPowerUsage(self.handle) / 1000

    def start(self) -> None:
        import torch

        torch.cuda.synchronize()
        self._samples: list[tuple[float, float]] = []
        self._failed, self._over = False, threading.Event()
        self._sample()
        self._thread = threading.Thread(target=self._sample_on, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        try:
            self._samples.append((time.perf_counter(), self._watts()))
        except Exception:  # NVML's own exceptions have no common base that can be imported without it
            self._failed = True

    def _sample_on(self) -> None:
        while not self._over.wait(self.interval):
            self._sample()

    def stop(self) -> Energy:
        import torch

        torch.cuda.synchronize()
        self._over.set()
        self._thread.join()
        self._sample()
        if self._failed:
            return Energy(0.0, self._samples[-1][0] - self._samples[0][0] if self._samples else 0.0)
        return Energy(trapezoids(self._samples), self._samples[-1][0] - self._samples[0][0])


def trapezoids(samples: list[tuple[float, float]]) -> float:
    """Joules under samples (seconds, watts) in order of time, the power taken to run straight between them."""
    return sum((later - earlier) * (first + second) / 2 for (earlier, first), (later, second) in pairwise(samples))


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

    def __init__(self) -> None:
        from codecarbon import OfflineEmissionsTracker

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        self._tracker = OfflineEmissionsTracker(
            country_iso_code="USA",  # it insists on one; only its figures of carbon, which are not used, depend on it
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


def look_up_processor() -> threading.Thread | None:
    """Begin to ask for the processor's name, which codecarbon's estimate needs and which takes a second to find.

    To be called before other slow work, as importing torch, and to be joined before anything is measured. None where
    there is nothing to ask for: codecarbon is not installed, or a counter makes it needless. codecarbon keeps the name
    for the process; were it to stop doing so, this would save nothing and change nothing.
    """
    try:
        RaplCounter()
        return None
    except (OSError, ValueError):
        pass
    try:
        from codecarbon.core.util import detect_cpu_model
    except ImportError:
        return None
    thread = threading.Thread(target=detect_cpu_model, daemon=True)
    thread.start()
    return thread


def choose_source(device: str) -> tuple[Source | None, str]:
    """The best source that works on this machine, or None and the sentence that says why there is none.

    A GPU that tells neither energy nor power gets no figure: an estimate of the processor alone would pass the GPU over
    in silence.
    """
    if device == "cuda":
        faults = []
        for kind in (NvmlCounter, NvmlPower):
            try:
                return kind(), ""
            except Exception as fault:  # NVML's own exceptions have no common base that can be imported without it
                faults.append(str(fault))
        return None, (
            f"the GPU tells neither its energy nor its power ({', '.join(dict.fromkeys(faults))}); install "
            "nvidia-ml-py, and use a GPU whose power NVML can read."
        )
    try:
        return RaplCounter(), ""
    except (OSError, ValueError):
        pass
    try:
        return CodecarbonEstimate(), ""
    except ImportError:
        return None, "there is no readable RAPL counter and codecarbon is not installed; install it."
