"""The table of carbon, held against numbers worked out by hand."""

import csv
import json
import sys

import pytest

import tabulate_carbon
from bitbudget import accelerators, carbon
from bitbudget.electricity import Electricity
from bitbudget.errors import UserError
from bitbudget.records import absent, metric

CARBON = {
    "country": "AUT", "pue": 1.2, "intensity": None, "flops_per_joule": None,
    "what_if": {"countries": ["AUT", "FRA"], "pues": [1.2, 1.5]},
}  # fmt: skip
SPEC = {
    "study": "s", "models": ["m"], "precisions": ["float16", "int8"], "conditions": ["zero-shot"],
    "baseline": "float16", "carbon": CARBON,
}  # fmt: skip


def measured(precision="float16", joules=36.0, device="cuda", gpus=("NVIDIA H200",), **more):
    found = metric(joules, "J", higher_is_better=False, n=3, how="counter", source="NVML total energy counter")
    return {
        "model": "m", "precision": precision, "condition": "zero-shot", "metrics": {"energy_per_item": found},
        "circumstances": {"device": device},
        "provenance": {"hardware": {"cpu": "x", "gpus": [{"name": name} for name in gpus]}},
    } | more  # fmt: skip


def counted(flops=989.5e10, **more):
    found = metric(flops, "FLOPs", higher_is_better=False, n=1)
    return {"model": "m", "precision": "float16", "condition": "zero-shot", "metrics": {"flops_per_item": found}} | more


def rows(carbon_=CARBON, measurements=None, flops=None):
    spec = SPEC | {"carbon": carbon_}
    return carbon.table(spec, measurements or [measured(), measured("int8", 18.0)], flops or [counted()])


@pytest.fixture
def intensities(monkeypatch):
    """A world of two countries."""
    world = {
        "AUT": Electricity("Austria", 100.0, 2023, "a fixed table"),
        "FRA": Electricity("France", 50.0, 2022, "a fixed table"),
    }
    monkeypatch.setattr(carbon, "electricity_of", world.get)


def test_a_thousand_items_of_36_joules_are_a_hundredth_kwh_times_the_pue(intensities):
    """36 kJ are 0.01 kWh; 0.012 at a PUE of 1.2, and 1.2 g at 100 g per kWh."""
    own = rows()[0]
    assert own["facility_kwh_per_1000_items"] == pytest.approx(0.012)
    assert own["g_co2e_per_1000_items"] == pytest.approx(1.2)
    assert own["kg_co2e_per_million_requests"] == pytest.approx(1.2)
    assert (own["energy_per_item_J"], own["energy_how"]) == (36.0, "counter")
    assert (own["intensity_g_per_kwh"], own["intensity_year"], own["country_name"]) == (100.0, 2023, "Austria")
    assert own["note"] == ""


def test_hours_processors_power_and_pue_make_kwh_and_grams():
    """Patterson's formula: 1 hour x 1 processor x 300 W x PUE 1.1 = 0.33 kWh; at 0.429 kg per kWh 141.57 g."""
    cell = {"energy_per_item_J": 3600 * 300 / 1000, "note": ""}
    where = carbon.Place(False, "USA", None, 429.0, None, None, 1.1)
    row = carbon.in_place(cell, where)
    assert row["facility_kwh_per_1000_items"] == pytest.approx(0.33)
    assert row["g_co2e_per_1000_items"] == pytest.approx(141.57)


def test_the_studys_own_place_comes_first_and_no_place_twice(intensities):
    found = [(r["precision"], r["what_if"], r["country"], r["pue"]) for r in rows()]
    others = [(True, "AUT", 1.5), (True, "FRA", 1.2), (True, "FRA", 1.5)]
    assert found == [(p, *where) for p in ("float16", "int8") for where in [(False, "AUT", 1.2), *others]]
    assert list(rows()[0]) == list(carbon.COLUMNS)


def test_an_intensity_of_ones_own_is_used_for_ones_own_place_alone(intensities):
    found = rows(CARBON | {"intensity": 7})
    assert (found[0]["intensity_g_per_kwh"], found[0]["intensity_source"]) == (7.0, "given in the study")
    assert found[0]["intensity_year"] is None
    austria = [r for r in found if r["precision"] == "int8" and r["country"] == "AUT" and r["what_if"]]
    assert [(r["pue"], r["intensity_g_per_kwh"]) for r in austria] == [(1.2, 100.0), (1.5, 100.0)]


def test_a_country_without_data_has_its_row_and_a_note_and_no_number(intensities):
    found = rows(CARBON | {"what_if": {"countries": ["XKX"], "pues": [1.1]}})[1]
    assert "no carbon intensity of XKX" in found["note"]
    assert (found["intensity_g_per_kwh"], found["g_co2e_per_1000_items"]) == (None, None)
    assert found["facility_kwh_per_1000_items"] == pytest.approx(0.011), "energy needs no intensity"


def test_the_estimate_is_flops_over_flops_per_joule(intensities):
    """An H200: 989.5 TFLOPS at 700 W; 9.895 TFLOPs take 7 J, and 36 J were measured."""
    own, quantized = rows()[0], rows()[4]
    assert own["energy_estimated_from_flops_J"] == pytest.approx(7.0)
    assert own["measured_over_estimated"] == pytest.approx(36 / 7)
    assert "H200" in own["flops_per_joule_source"]
    assert quantized["measured_over_estimated"] == pytest.approx(18 / 7), "the same multiplications in every precision"


def test_the_gpu_is_that_of_the_repeats_wherever_they_were_pooled(intensities):
    here = measured(gpus=())
    pooled = here | {"repeats": [{"provenance": {"hardware": {"gpus": [{"name": "NVIDIA H200"}]}}}]}
    assert rows(measurements=[pooled, measured("int8")])[0]["energy_estimated_from_flops_J"] == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"circumstances": {"device": "cpu"}}, "no data sheet"),
        ({"circumstances": {}}, "nothing was measured"),
        ({"provenance": {"hardware": {"gpus": [{"name": "NVIDIA A100-SXM4-40GB MIG 3g.20gb"}]}}}, "MIG 3g.20gb"),
        ({"provenance": {"hardware": {"gpus": [{"name": "NVIDIA L4"}, {"name": "NVIDIA H200"}]}}}, "H200 or NVIDIA L4"),
    ],
)
def test_hardware_that_is_not_known_is_not_guessed(intensities, change, said):
    found = rows(measurements=[measured() | change, measured("int8") | change])[0]
    assert said in found["note"]
    assert found["flops_per_item"] == 989.5e10
    assert (found["flops_per_joule"], found["measured_over_estimated"]) == (None, None)
    assert found["g_co2e_per_1000_items"] == pytest.approx(1.2)


def test_the_studys_own_flops_per_joule_is_used(intensities):
    found = rows(CARBON | {"flops_per_joule": 989.5e9}, [measured(device="cpu"), measured("int8", device="cpu")])[0]
    assert found["energy_estimated_from_flops_J"] == pytest.approx(10.0)
    assert found["flops_per_joule_source"] == "given in the study"


def test_without_energy_the_estimate_stands_alone(intensities):
    gone = {"metrics": {"energy_per_item": absent("the GPU has no energy counter", "J", higher_is_better=False)}}
    found = rows(measurements=[measured() | gone, measured("int8") | gone])[0]
    assert found["energy_estimated_from_flops_J"] == pytest.approx(7.0)
    assert found["measured_over_estimated"] is None
    assert found["facility_kwh_per_1000_items"] is None
    assert "no energy counter" in found["note"]


def test_flops_that_could_not_be_counted_give_no_estimate(intensities):
    gone = {"metrics": {"flops_per_item": absent("a loop hides them from view", "FLOPs", higher_is_better=False)}}
    found = rows(flops=[counted() | gone])[0]
    assert "a loop hides" in found["note"]
    assert (found["flops_per_item"], found["energy_estimated_from_flops_J"]) == (None, None)


def test_a_missing_record_is_named(intensities):
    with pytest.raises(UserError, match="m / int8 / zero-shot"):
        rows(measurements=[measured()])
    with pytest.raises(UserError, match="no flops record of m / zero-shot"):
        rows(flops=[counted(condition="4-shot")])


def test_codecarbons_data_have_a_name_and_a_year():
    found = carbon.place("AUT", 1.2, what_if=False)
    assert found.country_name == "Austria"
    assert 2000 <= found.year <= 2030
    assert 20 < found.intensity < 500
    assert str(found.year) in found.source


@pytest.mark.parametrize(
    ("name", "per_watt"),
    [
        ("Tesla T4", 65 / 70),
        ("NVIDIA A10", 125 / 150),
        ("NVIDIA A10G", None),
        ("NVIDIA A100-SXM4-80GB", 312 / 400),
        ("A100-PCIE-40GB", 312 / 250),
        ("NVIDIA L40S", 362 / 350),
        ("NVIDIA L40", None),
        ("NVIDIA H100 80GB HBM3", 989.5 / 700),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA GeForce RTX 4090", 165.2 / 450),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
    ],
)
def test_a_gpu_is_known_by_its_whole_name(name, per_watt):
    found = accelerators.accelerator(name)
    assert (found and found.flops_per_joule / 1e12) == (per_watt and pytest.approx(per_watt))


def test_the_file_opens_with_plain_columns_and_empty_cells(tmp_path, monkeypatch, intensities):
    for name, content in (("a", measured()), ("b", measured("int8", device="cpu")), ("flops", counted())):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    given = ["--spec", json.dumps(SPEC), "--measurements", str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    given += ["--flops", str(tmp_path / "flops.json"), "--out", str(tmp_path / "carbon.csv")]
    monkeypatch.setattr(sys, "argv", ["tabulate_carbon", *given])
    tabulate_carbon.main()
    text = (tmp_path / "carbon.csv").read_text()
    assert text.startswith("study,model,precision,condition,what_if,country,")
    found = list(csv.DictReader(text.splitlines()))
    assert len(found) == 8
    assert found[4]["flops_per_joule"] == ""
    assert float(found[0]["g_co2e_per_1000_items"]) == pytest.approx(1.2)
