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
    """Energy of a window in joules, and the window's length in seconds.

    `fault` is the sentence that says why there is no energy, where the source failed in this window.
    """

    joules: float
    seconds: float
    fault: str = ""


class Source(Protocol):
    """Something that tells the energy between `start` and `stop`; both may raise whatever their libraries do.

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
    that short windows mean nothing, and readings that fail now and then do not matter: a window has no energy where
    there was none for more than `longest_gap` seconds.
    """

    name, how, scope, least_seconds = "NVML power readings", "sampled", "the GPU alone", 5.0
    interval, longest_gap = 0.05, 1.0

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
        self._failed, self._over, self._began = "", threading.Event(), time.perf_counter()
        self._sample()
        self._thread = threading.Thread(target=self._sample_on, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        try:
            self._samples.append((time.perf_counter(), self._watts()))
        except Exception as fault:  # NVML's own exceptions have no common base that can be imported without it
            self._failed = in_words(fault)

    def _sample_on(self) -> None:
        while not self._over.wait(self.interval):
            self._sample()

    def stop(self) -> Energy:
        import torch

        torch.cuda.synchronize()
        self._over.set()
        self._thread.join()
        self._sample()
        ended = time.perf_counter()
        seconds = ended - self._began
        moments = [self._began, *(moment for moment, _ in self._samples), ended]
        gap = max(later - earlier for earlier, later in pairwise(moments))
        if not self._samples or gap > self.longest_gap:
            why = f" ({self._failed})" if self._failed else ""
            fault = f"the GPU's power was not read for {gap:.1f} s of a window of {seconds:.1f} s{why}; measure again."
            return Energy(0.0, seconds, fault)
        ends = (self._began, self._samples[0][1]), (ended, self._samples[-1][1])
        return Energy(trapezoids([ends[0], *self._samples, ends[1]]), seconds)


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
    """codecarbon's estimate from the processor's rated power and its load: an order of magnitude, no measurement.

    The load is the whole machine's, averaged between readings at both ends of a window and every second in it; it is
    told from the kernel's counters of processor time, which are in hundredths of a second, so that shorter windows than
    a second would be coarse.

    Raises whatever codecarbon raises where it cannot estimate anything here.
    """

    name, how, least_seconds = "codecarbon", "estimated", 1.0
    scope = "processor and memory, from the rated power and the load"

    def __init__(self) -> None:
        from codecarbon import OfflineEmissionsTracker

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        # What is left out here is taken from the user's files and environment (CODECARBON_PUE=2 doubles all energy).
        self._tracker = OfflineEmissionsTracker(
            country_iso_code="USA",  # it insists on one; only its figures of carbon, which are not used, depend on it
            output_methods=[],
            log_level="critical",
            measure_power_secs=1,
            allow_multiple_runs=True,
            tracking_mode="machine",
            pue=1.0,
            force_cpu_power=None,
            force_ram_power=None,
        )
        self._windows = 0
        self.start()  # the first window looks for the hardware; and what fails in codecarbon shows only here
        if fault := self.stop().fault:
            raise OSError(fault)

    def start(self) -> None:
        self._windows += 1
        self._tracker.start_task(f"window {self._windows}")
        self._began = time.perf_counter()

    def stop(self) -> Energy:
        seconds = time.perf_counter() - self._began
        used = self._tracker.stop_task()
        if used is None:  # of a task that could not be started codecarbon says nothing else
            return Energy(0.0, seconds, f"codecarbon gave no figure for a window of {seconds:.1f} s; measure again.")
        # its sum would add every GPU of the machine, which the measured model does not use
        return Energy((used.cpu_energy + used.ram_energy) * 3.6e6, seconds)


def in_words(fault: Exception) -> str:
    """What an exception says in one line, or its kind where it says nothing."""
    return " ".join(str(fault).split()) or type(fault).__name__


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
                faults.append(in_words(fault))
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
    except Exception as fault:  # whatever it raises, a missing figure of energy is no reason to measure nothing
        return None, (
            f"there is no readable RAPL counter, and codecarbon does not work here ({in_words(fault)}); measure on a "
            "machine whose counters can be read."
        )
