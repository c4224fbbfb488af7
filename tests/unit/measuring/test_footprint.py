"""Electricity and carbon of an item, held against numbers worked out by hand, with codecarbon and without."""

import sys

import pytest

from bitbudget.measuring import electricity, footprint
from bitbudget.measuring.electricity import Electricity, country_name, electricity_of

ENERGY = {"value": 3.6e6, "n": 1, "how": "counter", "scope": "the GPU alone", "batch_size": 1}


@pytest.fixture
def no_codecarbon(monkeypatch):
    """A world without it: importing it fails."""
    monkeypatch.setitem(sys.modules, "codecarbon.input", None)


def test_carbon_is_that_of_patterson_et_al(monkeypatch):
    """kWh = hours x processors x mean power x PUE; tCO2e = MWh x intensity: 3 h of 2 at 250 W, 1000 items."""
    monkeypatch.setattr(footprint, "electricity_of", lambda *_: Electricity(110.0, 2023, "a table"))
    hours, processors, kilowatts, pue, items = 3, 2, 0.250, 1.2, 1000
    tonnes = hours * processors * kilowatts * pue / 1000 * (110.0 / 1000)  # MWh x tCO2e a MWh
    joules = hours * 3600 * processors * kilowatts * 1000 / items
    energy = ENERGY | {"value": joules, "n": 3, "ci": [0.9 * joules, 1.1 * joules]}
    found = footprint.carbon(energy, "AUT", pue)
    assert found["value"] == pytest.approx(tonnes * 1e6 / items)
    assert found["ci"] == pytest.approx([0.9 * found["value"], 1.1 * found["value"]])
    assert found["unit"] == "g CO2e"
    assert (found["grams_per_kwh"], found["pue"], found["country"], found["source"]) == (110.0, 1.2, "AUT", "a table")
    assert found["year"] == 2023
    kwh = footprint.electricity(energy, pue)
    assert kwh["value"] == pytest.approx(hours * processors * kilowatts * pue / items)
    assert (kwh["unit"], kwh["pue"]) == ("kWh", pue)


def test_how_the_energy_was_had_and_whose_it_is_stays_with_what_is_made_of_it():
    about = {"how": "counter", "scope": "the GPU alone", "batch_size": 1}
    assert footprint.electricity(ENERGY, 1.2).items() >= about.items()
    assert footprint.carbon(ENERGY, "AUT", 1.2, intensity=20).items() >= about.items()


def test_an_intensity_of_the_study_stands_over_the_countrys_and_needs_no_codecarbon(no_codecarbon):
    found = footprint.carbon(ENERGY, country="AUT", pue=1.5, intensity=20)
    assert found["value"] == pytest.approx(30.0)
    assert (found["source"], found["country"]) == ("given in the study", "AUT")
    assert "year" not in found


def test_an_unknown_country_has_no_carbon_figure():
    found = footprint.carbon(ENERGY, "XXX", 1.0)
    assert "no carbon intensity of XXX" in found["absent"]
    assert "value" not in found


def test_without_codecarbon_the_reason_names_it_and_what_helps(no_codecarbon):
    assert electricity_of("AUT") is None
    assert country_name("AUT") is None
    reason = footprint.carbon(ENERGY, "AUT", 1.2)["absent"]
    assert "codecarbon" in reason
    assert "is not installed" in reason
    assert "carbon.intensity" in reason
    assert footprint.electricity(ENERGY, 1.2)["value"] == pytest.approx(1.2), "electricity needs no intensity"


def test_carbon_intensities_are_plausible_and_of_a_year():
    pytest.importorskip("codecarbon")
    low, high = electricity_of("SWE"), electricity_of("POL")
    assert 5 < low.grams_per_kwh < 100 < high.grams_per_kwh < 1500
    assert low.source == f"codecarbon's energy mix data of {low.year}"
    assert 2015 < low.year < 2040
    assert country_name("SWE") == "Sweden"


def test_carbon_that_is_unknown_is_not_zero():
    assert electricity.footprint(3.6e6, 1.0, None).grams is None
    assert electricity.footprint(3.6e6, 1.0, Electricity(0.0, None, "wind alone")).grams == 0.0
