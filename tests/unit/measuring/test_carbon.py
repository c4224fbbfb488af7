"""The table of carbon, held against numbers worked out by hand."""

import csv
import json
import sys

import pytest
from asked import asked

import tabulate_carbon
from bitbudget.errors import UserError
from bitbudget.judging import summary
from bitbudget.measuring import carbon, electricity, footprint
from bitbudget.measuring.electricity import Electricity
from bitbudget.records import absent, metric
from bitbudget.system import accelerators

CARBON = {
    "country": "AUT", "pue": 1.2, "intensity": None, "flops_per_joule": None,
    "what_if": {"countries": ["AUT", "FRA"], "pues": [1.2, 1.5]},
}  # fmt: skip
SPEC = {
    "study": "s", "models": ["m"], "precisions": ["float16", "int8"], "conditions": ["zero-shot"],
    "baseline": "float16", "carbon": CARBON,
}  # fmt: skip


def measured(precision="float16", joules=36.0, device="cuda", gpus=("NVIDIA H200",), gpu="NVIDIA H200", how="counter"):
    """A record; `gpu` is the one that torch used, and `gpus` are all of the machine."""
    about = {"how": how, "source": "NVML total energy counter", "scope": "the GPU alone", "batch_size": 1}
    found = metric(joules, "J", higher_is_better=False, n=3, **about)
    return {
        "model": "m", "precision": precision, "condition": "zero-shot", "metrics": {"energy_per_item": found},
        "circumstances": {"device": device} | ({"gpu": {"name": gpu, "uuid": "GPU-1"}} if gpu else {}),
        "provenance": {"hardware": {"cpu": "x", "gpus": [{"name": name} for name in gpus]}},
    }  # fmt: skip


def simulated(precision):
    """The record of a precision of which nothing was measured."""
    gone = absent("rtn-3 is simulated: its values are rounded", "J", higher_is_better=False)
    return measured(precision) | {"metrics": {"energy_per_item": gone}, "circumstances": {}}


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
        "AUT": {"country_name": "Austria", "carbon_intensity": 100.0, "year": 2023},
        "FRA": {"country_name": "France", "carbon_intensity": 50.0, "year": 2022},
    }
    monkeypatch.setattr(electricity, "_entry", lambda country: world.get(country, {}))


def test_a_thousand_items_of_36_joules_are_a_hundredth_kwh_times_the_pue(intensities):
    """36 kJ are 0.01 kWh; 0.012 at a PUE of 1.2, and 1.2 g at 100 g per kWh."""
    own = rows()[0]
    assert own["kwh_per_1000_items"] == pytest.approx(0.012)
    assert own["carbon_per_1000_items_g"] == pytest.approx(1.2)
    assert own["carbon_per_million_requests_kg"] == pytest.approx(1.2)
    assert (own["energy_per_item_J"], own["energy_how"]) == (36.0, "counter")
    assert (own["energy_scope"], own["energy_batch_size"]) == ("the GPU alone", 1)
    assert (own["intensity_g_per_kwh"], own["intensity_year"], own["country_name"]) == (100.0, 2023, "Austria")
    assert own["note"] == ""


def test_hours_processors_power_and_pue_make_kwh_and_grams():
    """Patterson's formula: 1 hour x 1 processor x 300 W x PUE 1.1 = 0.33 kWh; at 0.429 kg per kWh 141.57 g."""
    cell = {"energy_per_item_J": 3600 * 300 / 1000, "note": ""}
    where = carbon.Place(False, "USA", None, Electricity(429.0, None, "a table"), 1.1)
    row = carbon.in_place(cell, where)
    assert row["kwh_per_1000_items"] == pytest.approx(0.33)
    assert row["carbon_per_1000_items_g"] == pytest.approx(141.57)


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


def test_the_columns_that_the_summary_has_too_have_the_same_names_and_numbers(intensities):
    """A number under two names, or two numbers under one, would be taken for what it is not."""
    found = measured()["metrics"]["energy_per_item"]
    made = {
        "electricity_per_item": footprint.electricity(found, 1.2),
        "carbon_per_item": footprint.carbon(found, "AUT", 1.2),
        "energy_per_item": found,
    }
    own = rows()[0]
    shared = [column for column in summary.COSTS if column in own]
    assert {"kwh_per_1000_items", "carbon_per_1000_items_g", "carbon_per_million_requests_kg"} <= set(shared)
    for column in shared:
        name, key, factor = summary.COSTS[column]
        assert own[column] == pytest.approx(made[name][key] * factor), column


def test_what_disturbed_the_measuring_stands_in_every_place(intensities):
    loaded = measured("int8") | {"remarks": ["repeat 1: the machine was loaded (9.0 jobs on 2 cores).", "And more."]}
    found = rows(measurements=[measured(), loaded])
    said = {row["remarks"] for row in found if row["precision"] == "int8"}
    assert said == {"repeat 1: the machine was loaded (9.0 jobs on 2 cores). | And more."}
    assert {row["remarks"] for row in found if row["precision"] == "float16"} == {None}


def test_a_country_without_data_has_its_row_and_a_note_and_no_number(intensities):
    found = rows(CARBON | {"what_if": {"countries": ["XKX"], "pues": [1.1]}})[1]
    assert "no carbon intensity of XKX" in found["note"]
    assert "choose another country" in found["note"]
    assert (found["intensity_g_per_kwh"], found["carbon_per_1000_items_g"]) == (None, None)
    assert found["kwh_per_1000_items"] == pytest.approx(0.011), "energy needs no intensity"


def test_the_estimate_is_flops_over_flops_per_joule(intensities):
    """An H200: 989.5 TFLOPS at 700 W; 9.895 TFLOPs take 7 J, and 36 J were measured."""
    own, quantized = rows()[0], rows()[4]
    assert own["energy_estimated_from_flops_J"] == pytest.approx(7.0)
    assert own["measured_over_estimated"] == pytest.approx(36 / 7)
    assert "H200" in own["flops_per_joule_source"]
    assert quantized["measured_over_estimated"] == pytest.approx(18 / 7), "the same multiplications in every precision"


def test_the_gpu_is_that_of_the_repeats_wherever_they_were_pooled(intensities):
    here = measured(gpus=(), gpu=None)
    pooled = here | {"repeats": [measured(), measured()]}
    assert rows(measurements=[pooled, measured("int8")])[0]["energy_estimated_from_flops_J"] == pytest.approx(7.0)
    mixed = here | {"repeats": [measured(), measured(gpu="NVIDIA L4")]}
    assert "NVIDIA H200 or NVIDIA L4" in rows(measurements=[mixed, measured("int8")])[0]["note"]


def test_the_gpu_is_the_one_that_was_used_among_those_of_the_machine(intensities):
    """Its name is torch's; the machine's list has other GPUs, and names a slice's whole GPU."""
    two = ("NVIDIA L4", "NVIDIA H200")
    assert rows(measurements=[measured(gpus=two), measured("int8")])[0]["measured_over_estimated"] is not None
    sliced = measured(gpus=("NVIDIA A100-SXM4-40GB",), gpu="NVIDIA A100-SXM4-40GB MIG 3g.20gb")
    found = rows(measurements=[sliced, measured("int8")])[0]
    assert found["flops_per_joule"] is None
    assert "MIG 3g.20gb" in found["note"]


def test_a_record_that_does_not_name_its_gpu_has_that_of_the_machine_where_there_is_one_kind(intensities):
    found = rows(measurements=[measured(gpu=None, gpus=("NVIDIA H200",) * 8), measured("int8")])[0]
    assert found["energy_estimated_from_flops_J"] == pytest.approx(7.0)


def test_two_estimates_are_not_passed_off_as_a_measurement(intensities):
    found = rows(measurements=[measured(how="estimated"), measured("int8")])
    assert found[0]["measured_over_estimated"] == pytest.approx(36 / 7)
    assert "both are estimates" in found[0]["note"]
    assert found[4]["note"] == ""


@pytest.mark.parametrize("given", [None, 989.5e9])
def test_a_simulated_precision_has_no_estimate_whatever_the_study_says(intensities, given):
    found = rows(CARBON | {"flops_per_joule": given}, [measured(), simulated("int8")])[4]
    assert (found["flops_per_joule"], found["energy_estimated_from_flops_J"]) == (None, None)
    assert "nothing was measured" in found["note"]
    assert found["flops_per_item"] == 989.5e10


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"device": "cpu", "gpu": None}, "no data sheet"),
        ({"gpu": None, "gpus": ("NVIDIA L4", "NVIDIA H200")}, "NVIDIA H200 or NVIDIA L4"),
        ({"gpu": None, "gpus": ()}, "of the GPU are not known"),
        ({"gpu": "NVIDIA A10G"}, "NVIDIA A10G"),
    ],
)
def test_hardware_that_is_not_known_is_not_guessed(intensities, record, said):
    found = rows(measurements=[measured(**record), measured("int8", **record)])[0]
    assert said in found["note"]
    assert found["flops_per_item"] == 989.5e10
    assert (found["flops_per_joule"], found["measured_over_estimated"]) == (None, None)
    assert found["carbon_per_1000_items_g"] == pytest.approx(1.2)


def test_the_studys_own_flops_per_joule_is_used(intensities):
    found = rows(CARBON | {"flops_per_joule": 989.5e9}, [measured(device="cpu"), measured("int8", device="cpu")])[0]
    assert found["energy_estimated_from_flops_J"] == pytest.approx(10.0)
    assert found["flops_per_joule_source"] == "given in the study"


def test_without_energy_the_estimate_stands_alone(intensities):
    gone = {"metrics": {"energy_per_item": absent("the GPU has no energy counter", "J", higher_is_better=False)}}
    found = rows(measurements=[measured() | gone, measured("int8") | gone])[0]
    assert found["energy_estimated_from_flops_J"] == pytest.approx(7.0)
    assert found["measured_over_estimated"] is None
    assert found["kwh_per_1000_items"] is None
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


def test_without_codecarbon_the_studys_own_intensity_is_enough_and_else_a_note_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "codecarbon.input", None)
    own, other = rows(CARBON | {"intensity": 100})[:2]
    assert own["carbon_per_1000_items_g"] == pytest.approx(1.2)
    assert other["carbon_per_1000_items_g"] is None
    assert "codecarbon" in other["note"]
    assert "carbon.intensity in the study" in rows()[0]["note"]


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


def test_the_file_opens_with_plain_columns_and_empty_cells(tmp_path, monkeypatch, caplog, intensities):
    for name, content in (("a", measured()), ("b", measured("int8", device="cpu")), ("flops", counted())):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    own_intensity = SPEC | {"carbon": CARBON | {"intensity": 100}}  # its place stands in `what_if`, too
    given = ["--spec", asked("tabulate_carbon", own_intensity), "--measurements"]
    given += [str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--flops", str(tmp_path / "flops.json")]
    given += ["--out", str(tmp_path / "carbon.csv")]
    monkeypatch.setattr(sys, "argv", ["tabulate_carbon", *given])
    with caplog.at_level("INFO"):
        tabulate_carbon.main()
    text = (tmp_path / "carbon.csv").read_text()
    assert text.startswith("study,model,precision,condition,what_if,country,")
    found = list(csv.DictReader(text.splitlines()))
    assert len(found) == 10
    assert "10 rows, 5 places" in caplog.text
    assert found[5]["flops_per_joule"] == ""
    assert float(found[0]["carbon_per_1000_items_g"]) == pytest.approx(1.2)
