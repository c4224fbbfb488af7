"""The sources of energy figures that a processor has: its counters, and codecarbon's estimate."""

import sys
import time
from types import SimpleNamespace

import measuring_fakes as fakes
import pytest

from bitbudget.measuring import energy


@pytest.fixture
def world(monkeypatch):
    return fakes.World().patch(monkeypatch)


def zone(root, name, label, microjoules, largest=10**9):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{label}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{largest}\n")


def test_rapl_sums_its_packages_and_nothing_twice(tmp_path, world):
    zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 1_000_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    zone(tmp_path, "intel-rapl:2", "psys", 7_000_000)
    source = energy.RaplCounter(tmp_path)
    source.start()
    for name, microjoules in (("0", 3_500_000), ("0:0", 9_000_000), ("1", 5_250_000), ("2", 90_000_000)):
        (tmp_path / f"intel-rapl:{name}" / "energy_uj").write_text(str(microjoules))
    world.spend(0.01)
    found = source.stop()
    assert found.joules == pytest.approx(2.5 + 0.25)
    assert found.seconds == pytest.approx(0.01)


def test_rapl_counters_that_wrap_around(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 900_000, largest=1_000_000)
    source = energy.RaplCounter(tmp_path)
    source.start()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("50000")
    assert source.stop().joules == pytest.approx(0.15)


def test_without_rapl_zones_there_is_no_rapl(tmp_path):
    with pytest.raises(OSError, match="no RAPL package zones"):
        energy.RaplCounter(tmp_path)


def test_a_cpu_takes_the_counter_before_the_estimate(tmp_path, monkeypatch):
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    real = energy.RaplCounter
    monkeypatch.setattr(energy, "RaplCounter", lambda: real(tmp_path))
    assert energy.choose_source("cpu")[0].how == "counter"
    monkeypatch.setattr(energy, "RaplCounter", lambda: real(tmp_path / "nowhere"))
    monkeypatch.setattr(energy, "CodecarbonEstimate", lambda: SimpleNamespace(how="estimated"))
    assert energy.choose_source("cpu")[0].how == "estimated"

    def absent():
        raise ImportError("codecarbon")

    monkeypatch.setattr(energy, "CodecarbonEstimate", absent)
    source, reason = energy.choose_source("cpu")
    assert source is None
    assert "codecarbon is not installed" in reason


def test_the_processors_name_is_looked_up_only_for_the_estimate(tmp_path, monkeypatch):
    pytest.importorskip("codecarbon")
    from codecarbon.core import util

    asked = []
    monkeypatch.setattr(util, "detect_cpu_model", lambda: asked.append(1))
    real = energy.RaplCounter
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    monkeypatch.setattr(energy, "RaplCounter", lambda: real(tmp_path))
    assert energy.look_up_processor() is None
    monkeypatch.setattr(energy, "RaplCounter", lambda: real(tmp_path / "nowhere"))
    energy.look_up_processor().join()
    assert asked == [1]


# --- codecarbon ---


@pytest.fixture
def tracker(monkeypatch):
    """Stands for codecarbon; `gives` is what its tasks return in turn, 2 Wh of processor and 1 Wh of memory else."""
    made = SimpleNamespace(gives=[], options={}, tasks=[])

    def stop_task():
        given = made.gives.pop(0) if made.gives else SimpleNamespace(cpu_energy=0.002, ram_energy=0.001, gpu_energy=9.0)
        if isinstance(given, Exception):
            raise given
        return given

    def tracker(**options):
        made.options = options
        return SimpleNamespace(start_task=made.tasks.append, stop_task=stop_task)

    monkeypatch.setitem(sys.modules, "codecarbon", SimpleNamespace(OfflineEmissionsTracker=tracker))
    return made


def no_rapl():
    raise OSError("no RAPL")


def test_the_estimate_is_of_processor_and_memory_in_joules(tracker):
    source = energy.CodecarbonEstimate()
    source.start()
    assert source.stop().joules == pytest.approx(0.003 * 3.6e6)
    assert len(set(tracker.tasks)) == len(tracker.tasks) == 2, "one to find the hardware"


def test_a_window_of_which_codecarbon_gives_no_figure_says_so(tracker, world):
    source = energy.CodecarbonEstimate()
    tracker.gives = [None]
    source.start()
    found = source.stop()
    assert found.joules == 0
    assert found.fault.startswith("codecarbon gave no figure for a window of 0.0 s")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "(codecarbon gave no figure for a window of 0.0 s; measure again.)"),
        (AttributeError("no attribute '_active_task'"), "(no attribute '_active_task')"),
        (ValueError(), "(ValueError)"),
    ],
)
def test_a_codecarbon_that_does_not_work_is_a_reason_and_no_crash(tracker, world, monkeypatch, given, said):
    monkeypatch.setattr(energy, "RaplCounter", no_rapl)
    tracker.gives = [given]
    source, reason = energy.choose_source("cpu")
    assert source is None
    assert reason.startswith(f"there is no readable RAPL counter, and codecarbon does not work here {said}; measure on")


def test_what_the_user_set_for_codecarbon_does_not_change_the_figures(monkeypatch, tmp_path):
    """Of the real one: it would multiply by its PUE, and write a file."""
    pytest.importorskip("codecarbon")
    monkeypatch.chdir(tmp_path)
    for name, value in (("PUE", "2"), ("TRACKING_MODE", "process"), ("FORCE_CPU_POWER", "9000"),
                        ("FORCE_RAM_POWER", "9000"), ("OUTPUT_METHODS", "csv")):  # fmt: skip
        monkeypatch.setenv(f"CODECARBON_{name}", value)
    source = energy.CodecarbonEstimate()
    source.start()
    time.sleep(0.3)
    found = source.stop()
    assert 1 < found.joules / found.seconds < 2000
    about = source._tracker._conf
    assert (about["pue"], about["tracking_mode"], about["force_cpu_power"]) == (1.0, "machine", None)
    assert list(tmp_path.iterdir()) == []
