"""Energy and carbon against a meter whose truth is known, and the sources that a processor has."""

import time
from types import SimpleNamespace

import measuring_fakes as fakes
import pytest
from measuring_fakes import DECODE, FIRST, IDLE, PREPARE

from bitbudget.electricity import Electricity, electricity_of
from bitbudget.measuring import efficiency, energy, footprint

SECONDS = {"preprocessing": PREPARE[0], "first_token": PREPARE[0] + FIRST[0]}
SECONDS["per_item"] = SECONDS["first_token"] + DECODE[0]
JOULES = {"preprocessing": PREPARE[1], "first_token": PREPARE[1] + FIRST[1]}
JOULES["per_item"] = JOULES["first_token"] + DECODE[1]
DIFFERENCES = {"prefill": ("first_token", "preprocessing"), "decode": ("per_item", "first_token")}


@pytest.fixture
def world(monkeypatch):
    return fakes.World().patch(monkeypatch)


def test_energy_is_the_truth_gross_and_net_by_item_and_by_part(world):
    found = efficiency.measure(fakes.subject(world), 1.0, fakes.Meter(world), "")
    assert found["idle_power"]["raw"] == pytest.approx([IDLE, IDLE])
    assert (found["idle_power"]["unit"], found["idle_power"]["how"]) == ("W", "counter")
    for name in ("per_item", "preprocessing", "first_token"):
        metric = found[f"energy_{name}"]
        assert metric["net"] == pytest.approx(JOULES[name])
        assert metric["value"] == pytest.approx(JOULES[name] + IDLE * SECONDS[name])
        assert (metric["batch_size"], metric["source"], metric["how"]) == (1, "fake meter", "counter")
        assert metric["scope"] == "the fake"
        assert metric["n"] == len(metric["raw"]) == len(metric["net_raw"]) == (2 if name == "per_item" else 1)
        assert min(metric["window_seconds"]) >= fakes.PLAN["min_seconds"]
    for name, (whole, part) in DIFFERENCES.items():
        metric = found[f"energy_{name}"]
        assert metric["net"] == pytest.approx(JOULES[whole] - JOULES[part])
        assert metric["value"] == pytest.approx(metric["net"] + IDLE * (SECONDS[whole] - SECONDS[part]))
        assert metric["how"] == "counter, by difference"
        assert metric["difference"] == [f"energy_{whole}", f"energy_{part}"]
    assert found["energy_per_item"] == found["energy_per_item_1"]
    assert found["energy_per_item_4"]["batch_size"] == 4
    parts = sum(found[f"energy_{name}"]["value"] for name in ("preprocessing", "prefill", "decode"))
    assert parts == pytest.approx(found["energy_per_item"]["value"])


def test_net_takes_off_the_mean_of_the_idle_power_before_and_after(world):
    class Warming(fakes.Meter):
        """The machine draws 7 W in the first window, and 11 W while idle in the last."""

        def start(self):
            super().start()
            world.idle = 11.0 if len(self.windows) == 7 else IDLE

    found = efficiency.measure(fakes.subject(world), 1.0, Warming(world), "")
    assert found["idle_power"]["raw"] == pytest.approx([7.0, 11.0])
    assert found["idle_power"]["value"] == found["energy_per_item"]["idle_watts"] == pytest.approx(9.0)
    assert found["energy_per_item"]["net"] == pytest.approx(JOULES["per_item"] - 2.0 * SECONDS["per_item"])


class Patient(fakes.Meter):
    least_seconds = 5.0


class Dead(fakes.Meter):
    def stop(self):
        return energy.Energy(0.0, super().stop().seconds)


def test_a_window_without_energy_takes_its_own_metric_alone(world):
    class Once(fakes.Meter):
        def stop(self):
            used = super().stop()
            return energy.Energy(0.0, used.seconds) if len(self.windows) == 3 else used

    found = efficiency.measure(fakes.subject(world), 1.0, Once(world), "")
    assert found["energy_per_item_4"]["absent"].startswith("the fake meter counted no energy in a window of 2.0 s")
    assert found["energy_per_item_1"]["value"] > 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Patient, "windows of 2 s are too short for the fake meter, which needs 5 s; raise measure.min_seconds"),
        (Dead, "the fake meter counted no energy in a window of 1.1 s"),
        (None, "there is no meter; buy one."),
    ],
)
def test_energy_that_means_nothing_is_absent_with_the_reason(world, source, reason):
    meter = source(world) if source else None
    found = efficiency.measure(fakes.subject(world), 1.0, meter, "" if source else reason)
    parts = ("preprocessing", "first_token", "prefill", "decode")
    for name in ("per_item", "per_item_1", "per_item_4", *parts):
        assert "value" not in found[f"energy_{name}"]
        assert found[f"energy_{name}"]["absent"].startswith(reason)
    assert found["throughput_1"]["value"] > 0
    assert found["idle_power"]["absent"].startswith(reason)
    for made in (
        footprint.carbon(found["energy_per_item"], "AUT", 1.2),
        footprint.electricity(found["energy_per_item"], 1.2),
    ):
        assert found["energy_per_item"]["absent"] in made["absent"]
    if meter is None or source is Patient:
        assert world.clock < 130, "no window was opened, and nobody waited"


def test_a_difference_at_or_below_zero_is_absent_with_its_reason(world):
    subject = fakes.subject(world)
    subject.generate_first = lambda numbers: world.spend(0.5, 9.0)  # a first token dearer than the whole answer
    found = efficiency.measure(subject, 1.0, fakes.Meter(world), "")
    absent = found["energy_decode"]
    assert "value" not in absent
    assert absent["absent"].startswith("energy_per_item less energy_first_token is -")
    assert found["energy_prefill"]["value"] > 0


# --- carbon ---


def test_carbon_is_that_of_patterson_et_al(monkeypatch):
    """kWh = hours x processors x mean power x PUE; tCO2e = MWh x intensity: 3 h of 2 at 250 W, 1000 items."""
    monkeypatch.setattr(footprint, "electricity_of", lambda country: Electricity("Austria", 110.0, 2023, "a table"))
    hours, processors, kilowatts, pue, items = 3, 2, 0.250, 1.2, 1000
    tonnes = hours * processors * kilowatts * pue / 1000 * (110.0 / 1000)  # MWh x tCO2e a MWh
    joules = hours * 3600 * processors * kilowatts * 1000 / items
    metric = {"value": joules, "n": 3, "how": "counter", "ci": [0.9 * joules, 1.1 * joules]}
    found = footprint.carbon(metric, "AUT", pue)
    assert found["value"] == pytest.approx(tonnes * 1e6 / items)
    assert found["ci"] == pytest.approx([0.9 * found["value"], 1.1 * found["value"]])
    assert found["unit"] == "g CO2e"
    assert (found["grams_per_kwh"], found["pue"], found["country"], found["source"]) == (110.0, 1.2, "AUT", "a table")
    assert (found["year"], found["how"]) == (2023, "counter")
    kwh = footprint.electricity(metric, pue)
    assert kwh["value"] == pytest.approx(hours * processors * kilowatts * pue / items)
    assert (kwh["unit"], kwh["pue"]) == ("kWh", pue)


def test_an_intensity_of_the_study_stands_over_the_countrys():
    metric = {"value": 3.6e6, "n": 1, "how": "counter"}
    found = footprint.carbon(metric, country="XXX", pue=1.5, intensity=20)
    assert found["value"] == pytest.approx(30.0)
    assert (found["source"], found["country"]) == ("given in the study", "XXX")
    assert "year" not in found


def test_an_unknown_country_has_no_carbon_figure():
    found = footprint.carbon({"value": 1.0, "n": 1, "how": "counter"}, "XXX", 1.0)
    assert found["absent"].startswith("no carbon intensity is known for XXX")


def test_carbon_intensities_are_plausible_and_of_a_year():
    pytest.importorskip("codecarbon")
    low, high = electricity_of("SWE"), electricity_of("POL")
    assert 5 < low.grams_per_kwh < 100 < high.grams_per_kwh < 1500
    assert low.source == f"codecarbon's energy mix data of {low.year}"
    assert 2015 < low.year < 2040


# --- sources of a processor ---


def zone(root, name, label, microjoules, largest=10**9):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{label}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{largest}\n")


def test_rapl_sums_its_packages_and_nothing_twice(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 1_000_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    zone(tmp_path, "intel-rapl:2", "psys", 7_000_000)
    source = energy.RaplCounter(tmp_path)
    source.start()
    for name, microjoules in (("0", 3_500_000), ("0:0", 9_000_000), ("1", 5_250_000), ("2", 90_000_000)):
        (tmp_path / f"intel-rapl:{name}" / "energy_uj").write_text(str(microjoules))
    time.sleep(0.01)
    found = source.stop()
    assert found.joules == pytest.approx(2.5 + 0.25)
    assert 0.01 <= found.seconds < 0.5


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
