"""What answering costs the climate, here and elsewhere, and what its operations alone would have let one expect.

Of the four practices that Patterson et al. 2022 (arXiv 2204.05149) name, a table over places shows two: "Map", to run
where electricity is clean (the country's carbon intensity), and "Mechanization", to run where little is spent beside
computing (the PUE). The other two, "Model" and "Machine", are what a study compares by its precisions and devices.
Joules are those of `energy_scope` alone, kWh and CO2e those of the whole site: they contain the PUE, as the columns of
the same names in the summary do.

Desislavov et al. 2023 (arXiv 2109.05472) estimate energy as the FLOPs of a forward pass over the FLOPs that the
hardware computes with a joule at its peak. What is measured is more, because no model keeps hardware at its peak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitbudget.errors import UserError
from bitbudget.measuring import disturbances
from bitbudget.measuring.electricity import Electricity, country_name, electricity_of, footprint, unknown
from bitbudget.system.accelerators import accelerator

Record = Mapping[str, Any]
Row = dict[str, Any]

COLUMNS = (
    "study",
    "model",
    "precision",
    "condition",
    "what_if",
    "country",
    "country_name",
    "intensity_g_per_kwh",
    "intensity_year",
    "intensity_source",
    "pue",
    "energy_per_item_J",
    "energy_how",
    "energy_source",
    "energy_scope",
    "energy_batch_size",
    "kwh_per_1000_items",
    "carbon_per_1000_items_g",
    "carbon_per_million_requests_kg",
    "flops_per_item",
    "flops_per_joule",
    "flops_per_joule_source",
    "energy_estimated_from_flops_J",
    "measured_over_estimated",
    "note",
    "remarks",
)


@dataclass(frozen=True)
class Place:
    """Where answers are given: the country, its name and its electricity (None where unknown), and the site's PUE.

    `what_if` is False for the study's own place.
    """

    what_if: bool
    country: str
    country_name: str | None
    electricity: Electricity | None
    pue: float


def table(spec: Mapping[str, Any], measurements: Sequence[Record], flops: Sequence[Record]) -> list[Row]:
    """A row with the keys `COLUMNS` for each model, condition, precision and place; the study's own place comes first.

    `spec` holds the study's `study`, `models`, `precisions`, `conditions`, `baseline` and `carbon`; `flops` are the
    baseline's. A cell is None where there is nothing to say, and `note` says why. Raises `UserError` where a record is
    missing.
    """
    measured = {(one["model"], one["precision"], one["condition"]): one for one in measurements}
    counted = {(one["model"], one["condition"]): one for one in flops}
    found = list(places(spec["carbon"]))
    rows = []
    for model in spec["models"]:
        for condition in spec["conditions"]:
            for precision in spec["precisions"]:
                record = _found(measured, "measurements", model, precision, condition)
                operations = _found(counted, "flops", model, condition)
                cell = {"study": spec["study"], "model": model, "precision": precision, "condition": condition}
                cell |= cost_cells(record, operations, spec["carbon"]["flops_per_joule"])
                rows += [in_place(cell, place) for place in found]
    return rows


def _found(records: Mapping[tuple[str, ...], Record], kind: str, *key: str) -> Record:
    if key not in records:
        raise UserError(f"there is no {kind} record of {' / '.join(key)}; make it before the table of carbon.")
    return records[key]


def places(carbon: Mapping[str, Any]) -> Iterator[Place]:
    """The study's own place, and every country of its `what_if` with every PUE; none of them twice."""
    given = carbon["intensity"]
    own = place(carbon["country"], carbon["pue"], what_if=False, intensity=given)
    yield own
    for country in carbon["what_if"]["countries"]:
        for pue in carbon["what_if"]["pues"]:
            if given is not None or (country, pue) != (own.country, own.pue):
                yield place(country, pue, what_if=True)


def place(country: str, pue: float, *, what_if: bool, intensity: float | None = None) -> Place:
    """A country (ISO 3166-1 alpha-3) with its electricity, or with one of `intensity` g CO2e per kWh where given."""
    return Place(what_if, country, country_name(country), electricity_of(country, intensity), pue)


def cost_cells(measured: Record, operations: Record, given: float | None) -> Row:
    """What an item took and what its operations would have let one expect; `note` says what is lacking, and why.

    `remarks` are those of the measurements, as that the machine was loaded.

    `given` is the study's own figure of the hardware, FLOPs per joule.
    """
    energy, no_energy = energy_cells(measured)
    estimate, no_estimate = estimate_cells(measured, operations, given)
    notes = [no_energy, no_estimate]
    if "energy_per_item_J" in energy and "energy_estimated_from_flops_J" in estimate:
        estimate["measured_over_estimated"] = energy["energy_per_item_J"] / estimate["energy_estimated_from_flops_J"]
        if energy["energy_how"] == "estimated":
            notes.append(f"measured_over_estimated: both are estimates, the energy is {energy['energy_source']}'s")
    remarks = disturbances.columns(measured)["remarks"]
    return energy | estimate | {"note": " | ".join(note for note in notes if note), "remarks": remarks}


def energy_cells(measured: Record) -> tuple[Row, str]:
    """Joules of an item (gross), how they were obtained and whose they are; or the reason why there are none."""
    found = measured["metrics"]["energy_per_item"]
    if "absent" in found:
        return {}, f"no energy: {found['absent']}"
    about = {f"energy_{key}": found[key] for key in ("how", "source", "scope", "batch_size")}
    return {"energy_per_item_J": found["value"]} | about, ""


def estimate_cells(measured: Record, operations: Record, given: float | None) -> tuple[Row, str]:
    """FLOPs of an item, what the hardware computes with a joule, and the joules that follow; or why none do."""
    counted = operations["metrics"]["flops_per_item"]
    per_joule, source, reason = flops_per_joule(measured, given)
    found: Row = {
        "flops_per_item": counted.get("value"),
        "flops_per_joule": per_joule,
        "flops_per_joule_source": source,
    }
    if "absent" in counted:
        return found, f"no estimate: {counted['absent']}"
    if per_joule is not None:
        found["energy_estimated_from_flops_J"] = counted["value"] / per_joule
    return found, reason


def flops_per_joule(measured: Record, given: float | None) -> tuple[float | None, str | None, str]:
    """FLOPs per joule at the hardware's peak and where the number is from, or the sentence that says why there is none.

    `measured` says on which device and machine; `given` is the study's own figure. There is none where nothing was
    measured, as of a simulated precision, whatever the study says.
    """
    about = measured["circumstances"]
    if "device" not in about:
        return None, None, "no estimate: nothing was measured, so there is no hardware to estimate for."
    if given is not None:
        return float(given), "given in the study", ""
    remedy = "give it as carbon.flops_per_joule in the study."
    if about["device"] != "cuda":
        return None, None, f"no estimate: what a processor computes with a joule is in no data sheet; {remedy}"
    names = gpus(measured)
    known = accelerator(names[0]) if len(names) == 1 else None
    if known is None:
        which = " or ".join(names) or "the GPU"
        return None, None, f"no estimate: the FLOPs per joule of {which} are not known here; {remedy}"
    return known.flops_per_joule, known.source, ""


def gpus(measured: Record) -> list[str]:
    """The kinds of GPU that the repeats may have been measured on: the one that torch used, where they name it.

    A record that does not name it has the GPUs of its machine, of which torch used one.
    """
    # the record that pools repeats may be made on another machine than they
    made = measured.get("repeats") or [measured]
    named = [one["circumstances"].get("gpu") for one in made]
    machines = [one["provenance"]["hardware"]["gpus"] for one in made]
    return sorted(
        {gpu["name"] for own, there in zip(named, machines, strict=True) for gpu in ([own] if own else there)}
    )


def in_place(cell: Row, where: Place) -> Row:
    """A row: what answering takes by `cell`, at this place."""
    there = where.electricity
    row: Row = dict.fromkeys(COLUMNS) | cell
    row |= {
        "what_if": where.what_if,
        "country": where.country,
        "country_name": where.country_name,
        "intensity_g_per_kwh": there and there.grams_per_kwh,
        "intensity_year": there and there.year,
        "intensity_source": there and there.source,
        "pue": where.pue,
    }
    joules = cell.get("energy_per_item_J")
    if joules is not None:
        thousand = footprint(1000 * joules, where.pue, there)
        row["kwh_per_1000_items"] = thousand.kwh
        # grams for a thousand are kilograms for a million
        row |= dict.fromkeys(("carbon_per_1000_items_g", "carbon_per_million_requests_kg"), thousand.grams)
    if there is None:
        remedy = "choose another country" if where.what_if else "give it as carbon.intensity in the study"
        row["note"] = " | ".join(filter(None, (cell["note"], f"no carbon: {unknown(where.country)}; {remedy}.")))
    return row
