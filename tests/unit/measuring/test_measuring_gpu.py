"""What NVML tells, and the guard before and after measuring: held against a fake NVML and a fake torch.cuda."""

import math
import os
import sys
import time
from types import SimpleNamespace

import measuring_fakes as fakes
import pytest
import torch

from bitbudget.errors import UserError
from bitbudget.measuring import energy, machine, memory, nvml

OWN = os.getpid()


class FakeNvml:
    """Two GPUs whose order is not torch's; energy in millijoules, power in milliwatts, processes by GPU."""

    def __init__(self):
        self.millijoules = {"GPU-aaa": 0, "GPU-bbb": 5_000}
        self.milliwatts = {"GPU-aaa": 900_000, "GPU-bbb": 200_000}
        self.running = {"GPU-aaa": {77: 1}, "GPU-bbb": {}}  # bytes by process id
        self.names = {}

    def nvmlInit(self):
        pass

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):
        return ["GPU-bbb", "GPU-aaa"][index]

    def nvmlDeviceGetUUID(self, handle):
        return handle

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self._of(self.millijoules, handle)

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._of(self.milliwatts, handle)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        found = self._of(self.running, handle)
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in found.items()]

    def nvmlSystemGetProcessName(self, pid):
        return self._of(self.names, pid)

    @staticmethod
    def _of(table, key):
        if key not in table:
            raise RuntimeError("Not Supported")
        return table[key]


@pytest.fixture
def gpu(monkeypatch):
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="bbb"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Abacus H9")
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))  # a loaded machine is warned of, too
    return fake


# --- energy ---


def test_nvml_counts_the_gpu_that_torch_uses_in_joules(gpu):
    source, reason = energy.choose_source("cuda")
    assert (type(source), source.how, reason) == (energy.NvmlCounter, "counter", "")
    source.start()
    gpu.millijoules = {"GPU-aaa": 10**9, "GPU-bbb": 8_250}
    assert source.stop().joules == pytest.approx(3.25)


class NoThread:
    """Stands for the thread that samples: the tests below sample by themselves, on a clock of their own."""

    def __init__(self, target, daemon):
        assert daemon

    def start(self):
        pass

    join = start


@pytest.fixture
def sampled(gpu, monkeypatch):
    """A source that samples power, and how to let time pass for it: seconds, and whether there is a reading each ms."""
    gpu.millijoules = {}
    world = fakes.World().patch(monkeypatch)
    monkeypatch.setattr(energy.threading, "Thread", NoThread)
    source, reason = energy.choose_source("cuda")
    assert (type(source), source.how, reason) == (energy.NvmlPower, "sampled", "")

    def after(seconds):
        for _ in range(round(seconds / 0.001)):
            world.spend(0.001)
            source._sample()

    return source, after


def test_a_gpu_without_a_counter_has_its_power_sampled_in_a_thread(gpu):
    gpu.millijoules = {}
    source, _ = energy.choose_source("cuda")
    source.interval, source.longest_gap = 0.002, 600.0
    for watts in (200.0, 50.0):  # a source is used again and again
        gpu.milliwatts["GPU-bbb"] = 1000 * watts
        source.start()
        while len(source._samples) < 4:
            time.sleep(0.002)
        found = source.stop()
        assert found.joules == pytest.approx(watts * found.seconds)
    assert not source._thread.is_alive()


def test_sampled_power_that_changes_is_summed_up(gpu, sampled):
    """600 W for the second half, 200 W before it."""
    source, after = sampled
    source.start()
    after(0.1)
    gpu.milliwatts["GPU-bbb"] = 600_000
    after(0.1)
    found = source.stop()
    assert found.seconds == pytest.approx(0.2)
    assert found.joules == pytest.approx(400 * 0.2, rel=0.01)


def test_trapezoids_are_exact_for_power_that_runs_straight():
    assert energy.trapezoids([(10.0, 0.0), (11.0, 100.0), (13.0, 300.0), (13.5, 0.0)]) == 50 + 400 + 75
    assert energy.trapezoids([(10.0, 5.0)]) == 0


def test_a_reading_that_fails_now_and_then_does_not_matter(gpu, sampled):
    source, after = sampled
    works, gpu.milliwatts = gpu.milliwatts, {}
    source.start()  # the first reading fails
    for watts in (works, {}, works):
        after(0.02)
        gpu.milliwatts = watts
    after(0.02)
    gpu.milliwatts = {}  # and so does the last
    found = source.stop()
    assert found.fault == ""
    assert found.joules == pytest.approx(200 * 0.08)


def test_a_window_in_which_readings_fail_for_long_has_no_energy_and_says_so(gpu, sampled):
    source, after = sampled
    source.start()
    after(0.5)
    gpu.milliwatts = {}
    after(1.2)
    found = source.stop()
    assert found.joules == 0
    assert found.fault.startswith("the GPU's power was not read for 1.2 s of a window of 1.7 s (Not Supported); ")
    source.start()  # no reading at all
    assert source.stop().fault.startswith("the GPU's power was not read for 0.0 s")


def test_a_gpu_that_tells_nothing_gets_no_figure_and_no_estimate(gpu):
    gpu.millijoules, gpu.milliwatts = {}, {}
    source, reason = energy.choose_source("cuda")
    assert source is None
    assert reason.startswith("the GPU tells neither its energy nor its power (Not Supported)")
    assert reason.endswith(".")


# --- the guard ---


def test_measuring_beside_another_process_is_refused_with_its_name_and_the_remedy(gpu):
    gpu.running["GPU-bbb"] = {4_000_001: 10, OWN: 20}
    gpu.names = {4_000_001: b"/usr/bin/python3.11"}
    with pytest.raises(UserError) as refused:
        machine.circumstances("cuda", earlier=nvml.processes_by_gpu())
    said = str(refused.value)
    assert said.startswith("process 4000001 (python3.11) computes on the GPU Abacus H9 (GPU-bbb), so that")
    assert "stop it, or set `measure.busy_gpu: warn` in the study" in said
    gpu.names = {}
    with pytest.raises(UserError, match=r"process 4000001 \(whose name cannot be read\) computes"):
        machine.circumstances("cuda", "refuse")
    gpu.running["GPU-bbb"] |= {os.getppid(): 1}  # it came after `earlier`, but this process is known by its own id
    with pytest.raises(UserError, match=r"process \d+ \(.+\) and process 4000001 .* compute on the GPU"):
        machine.circumstances("cuda", "refuse")


def test_with_warn_it_is_measured_all_the_same(gpu, caplog):
    gpu.running["GPU-bbb"] = {4_000_001: 10}
    earlier = nvml.processes_by_gpu()
    assert machine.circumstances("cuda", "warn", earlier)["other_gpu_processes"] == [4_000_001]
    assert "process 4000001 (whose name cannot be read) on the GPU Abacus H9" in caplog.text


def test_what_runs_elsewhere_does_not_matter(gpu, caplog):
    gpu.running["GPU-bbb"] = {OWN: 20}
    assert machine.circumstances("cuda")["other_gpu_processes"] == []  # process 77 is on the other GPU
    gpu.running["GPU-bbb"] = {4_000_001: 10}
    assert machine.circumstances("cpu")["other_gpu_processes"] == []
    assert machine.afterwards("cpu")["other_gpu_processes_after"] == []
    assert "GPU" not in caplog.text


def test_unknown_is_not_taken_for_nobody(gpu, caplog):
    gpu.running = {}
    earlier = nvml.processes_by_gpu()
    assert earlier is None
    assert machine.circumstances("cuda", earlier=earlier)["other_gpu_processes"] is None
    assert machine.afterwards("cuda", earlier)["other_gpu_processes_after"] is None
    gpu.running = {"GPU-aaa": {}, "GPU-bbb": {4_000_003: 1}}  # NVML works again, but nobody knows who was there
    assert machine.circumstances("cuda", earlier=earlier)["other_gpu_processes"] is None
    assert "GPU" not in caplog.text


def test_a_list_that_does_not_hold_the_process_that_computes_tells_nothing(gpu):
    earlier = nvml.processes_by_gpu()
    assert machine.circumstances("cuda", earlier=earlier)["other_gpu_processes"] == []
    assert machine.afterwards("cuda", earlier)["other_gpu_processes_after"] is None


def test_the_gpu_that_torch_uses_is_named(gpu):
    found = machine.circumstances("cuda", earlier=nvml.processes_by_gpu())
    assert found["gpu"] == {"name": "Abacus H9", "uuid": "GPU-bbb"}
    assert "gpu" not in machine.circumstances("cpu")


def test_a_process_that_comes_meanwhile_is_recorded_and_warned_of(gpu, caplog):
    gpu.running["GPU-bbb"] = {OWN: 20}
    machine.circumstances("cuda")
    assert machine.afterwards("cuda")["other_gpu_processes_after"] == [] and not caplog.text
    gpu.running["GPU-bbb"][4_000_002] = 10
    found = machine.afterwards("cuda")
    assert found["other_gpu_processes_after"] == [4_000_002]
    assert found["load_after"] >= 0
    assert "process 4000002" in caplog.text and "when the measuring ended" in caplog.text


def ids(earlier, computing=False):
    return [process.pid for process in nvml.other_gpu_processes(earlier, computing)]


@pytest.mark.parametrize("computing", [False, True])
def test_in_a_container_ones_own_process_under_another_number_is_not_another(gpu, computing):
    """torch has made a context between the two looks, and NVML lists it under the host's number."""
    earlier = nvml.processes_by_gpu()
    gpu.running["GPU-bbb"] = {4_000_003: 20}
    assert ids(earlier, computing) == []
    if not computing:
        assert machine.circumstances("cuda", "refuse", earlier)["other_gpu_processes"] == []


@pytest.mark.parametrize("computing", [False, True])
def test_in_a_container_another_process_is_still_seen(gpu, computing):
    gpu.running["GPU-bbb"] = {4_000_001: 10}
    earlier = nvml.processes_by_gpu()
    gpu.running["GPU-bbb"][4_000_003] = 20
    assert ids(earlier, computing) == [4_000_001]
    gpu.running["GPU-bbb"][4_000_004] = 1  # one of the two newer ones is another, too
    assert ids(earlier, computing) == [4_000_001, 4_000_003, 4_000_004]
    del gpu.running["GPU-bbb"][4_000_001], gpu.running["GPU-bbb"][4_000_003]
    assert ids(earlier, computing) == []


def test_who_was_on_another_gpu_is_known_by_uuid_and_not_by_number(gpu):
    """Process 77 was on the other GPU, which is NVML's second and torch's first here; then it comes to this one."""
    earlier = nvml.processes_by_gpu()
    assert earlier == {"GPU-aaa": {77}, "GPU-bbb": set()}
    gpu.running["GPU-bbb"] = {77: 1, 4_000_003: 20}
    assert ids(earlier) == [77, 4_000_003]


@pytest.fixture
def waited(monkeypatch):
    """The seconds that were waited in a world of two cores, where `load` jobs of before fade and `running` go on."""
    world = {"load": 0.1, "running": 0.0, "waited": 0.0}

    def sleep(seconds):
        world["load"] = world["running"] + (world["load"] - world["running"]) * math.exp(-seconds / 60)
        world["waited"] += seconds

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("os.getloadavg", lambda: (world["load"], 0, 0))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    return world


def test_a_loaded_machine_is_recorded_and_warned_of(waited, caplog):
    waited |= {"load": 99.0, "running": 99.0}
    found = machine.circumstances("cpu")
    assert (found["load_before"], found["cores"]) == (99.0, 2)
    assert waited["waited"] == machine.STEP  # it does not fall, so nothing is gained by waiting on
    assert "timings will be slow" in caplog.text


@pytest.mark.parametrize(("load", "seconds"), [(2.4, 0), (3.0, 20), (8.0, 70)])
def test_the_load_of_what_ran_before_is_waited_for_to_fall(waited, caplog, load, seconds):
    caplog.set_level("INFO")
    waited["load"] = load
    assert machine.circumstances("cpu")["load_before"] <= 2.5
    assert waited["waited"] == seconds
    assert ("waiting for the load to fall before measuring" in caplog.text) == bool(seconds)
    assert "timings will be slow" not in caplog.text


@pytest.mark.parametrize(("window", "seconds"), [(0.1, 0), (1.0, 30), (30.0, 90)])
def test_short_windows_are_not_worth_a_long_wait(waited, window, seconds):
    waited |= {"load": 100.0}
    machine.circumstances("cpu", window=window)
    assert waited["waited"] == seconds


def test_a_load_that_stays_too_long_is_not_waited_for(waited, caplog):
    waited |= {"load": 100.0, "running": 5.0}
    assert machine.circumstances("cpu")["load_before"] > 2.5
    assert waited["waited"] == machine.MOST_WAITING and "timings will be slow" in caplog.text


# --- memory ---


def test_memory_of_this_process_on_its_own_gpu(gpu, monkeypatch):
    for name, value in (("max_memory_allocated", 3e6), ("max_memory_reserved", 5e6)):
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    gpu.running = {"GPU-aaa": {OWN: 99e6}, "GPU-bbb": {OWN: 8e6, 12: 1e9}}
    done = []
    found = memory.peak_memory(lambda: done.append(1), "cuda")
    assert (found["value"], found["kind"], found["reserved_MB"]) == (3.0, "CUDA allocated", 5.0)
    assert found["nvml_process_MB"] == 8.0
    del gpu.running["GPU-bbb"][OWN]
    assert "nvml_process_MB" not in memory.peak_memory(lambda: done.append(1), "cuda")
    assert done == [1, 1]
