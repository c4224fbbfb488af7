"""What answering costs the climate, here and elsewhere, and what its operations alone would have let one expect.

Patterson et al. 2022 (arXiv 2204.05149): kWh = hours x processors x mean power x PUE, and tCO2e = MWh x tCO2e per MWh.
Of the four practices that they name, a table over places shows two: "Map", to run where electricity is clean (the
country's carbon intensity), and "Mechanization", to run where little is spent beside computing (the PUE, power usage
effectiveness: all power of a site over that of its computers). The other two, "Model" and "Machine", are what a study
compares by its precisions and devices.

Desislavov et al. 2021 (arXiv 2109.05472) estimate energy as the FLOPs of a forward pass over the FLOPs that the
hardware computes with a joule at its peak. What is measured is more, because no model keeps hardware at its peak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitbudget.accelerators import accelerator
from bitbudget.electricity import electricity_of
from bitbudget.errors import UserError

Record = Mapping[str, Any]
Row = dict[str, Any]

JOULES_PER_KWH = 3.6e6
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
    "facility_kwh_per_1000_items",
    "g_co2e_per_1000_items",
    "kg_co2e_per_million_requests",
    "flops_per_item",
    "flops_per_joule",
    "flops_per_joule_source",
    "energy_estimated_from_flops_J",
    "measured_over_estimated",
    "note",
)


@dataclass(frozen=True)
class Place:
    """Where answers are given: the country of the electricity and its g CO2e per kWh, and the site's PUE.

    `what_if` is False for the study's own place. What is not known is None.
    """

    what_if: bool
    country: str
    country_name: str | None
    intensity: float | None
    year: int | None
    source: str | None
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
                cell |= energy_cells(record)
                cell |= estimate_cells(record, operations, spec["carbon"]["flops_per_joule"])
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
    """A country (ISO 3166-1 alpha-3) with its carbon intensity, or with `intensity` (g CO2e per kWh) where given."""
    known = electricity_of(country)
    name = known.country_name if known else None
    if intensity is not None:
        return Place(what_if, country, name, float(intensity), None, "given in the study", pue)
    if known is None:
        return Place(what_if, country, None, None, None, None, pue)
    return Place(what_if, country, name, known.grams_per_kwh, known.year, known.source, pue)


def energy_cells(measured: Record) -> Row:
    """Joules of an item (gross), and how they were obtained."""
    found = measured["metrics"]["energy_per_item"]
    if "absent" in found:
        return {"note": f"no energy: {found['absent']}"}
    return {
        "energy_per_item_J": found["value"],
        "energy_how": found["how"],
        "energy_source": found["source"],
        "note": "",
    }


def estimate_cells(measured: Record, operations: Record, given: float | None) -> Row:
    """FLOPs of an item, what the hardware computes with a joule, the joules that follow, and measured over these.

    `given` is the study's own figure of the hardware, FLOPs per joule.
    """
    counted = operations["metrics"]["flops_per_item"]
    cells = energy_cells(measured)
    per_joule, source, reason = flops_per_joule(measured, given)
    found: Row = {
        "flops_per_item": counted.get("value"),
        "flops_per_joule": per_joule,
        "flops_per_joule_source": source,
    }
    if "absent" in counted:
        reason = f"no estimate: {counted['absent']}"
    elif per_joule is not None:
        estimated = counted["value"] / per_joule
        found["energy_estimated_from_flops_J"] = estimated
        if "energy_per_item_J" in cells:
            found["measured_over_estimated"] = cells["energy_per_item_J"] / estimated
    found["note"] = " | ".join(part for part in (cells["note"], reason) if part)
    return found


def flops_per_joule(measured: Record, given: float | None) -> tuple[float | None, str | None, str]:
    """FLOPs per joule at the hardware's peak and where the number is from, or the sentence that says why there is none.

    `measured` says on which device and machine; `given` is the study's own figure.
    """
    if given is not None:
        return float(given), "given in the study", ""
    remedy = "give it as carbon.flops_per_joule in the study."
    about = measured["circumstances"]
    if "device" not in about:
        return None, None, "no estimate: nothing was measured, so there is no hardware to estimate for."
    if about["device"] != "cuda":
        return None, None, f"no estimate: what a processor computes with a joule is in no data sheet; {remedy}"
    names = sorted({gpu["name"] for gpu in _hardware(measured)["gpus"]})
    known = accelerator(names[0]) if len(names) == 1 else None
    if known is None:
        which = " or ".join(names) or "the GPU"
        return None, None, f"no estimate: the FLOPs per joule of {which} are not known here; {remedy}"
    return known.flops_per_joule, known.source, ""


def _hardware(measured: Record) -> Mapping[str, Any]:
    """The machine that measured: that of the repeats, which the record that pools them may not be made on."""
    repeats = measured.get("repeats") or [measured]
    return repeats[0]["provenance"]["hardware"]


def in_place(cell: Row, where: Place) -> Row:
    """A row: what answering takes by `cell`, at this place."""
    row: Row = dict.fromkeys(COLUMNS) | cell
    row |= {
        "what_if": where.what_if,
        "country": where.country,
        "country_name": where.country_name,
        "intensity_g_per_kwh": where.intensity,
        "intensity_year": where.year,
        "intensity_source": where.source,
        "pue": where.pue,
    }
    notes = [cell["note"]] if cell["note"] else []
    joules = cell.get("energy_per_item_J")
    if joules is not None:
        row["facility_kwh_per_1000_items"] = 1000 * joules / JOULES_PER_KWH * where.pue
        if where.intensity is not None:
            grams = row["facility_kwh_per_1000_items"] * where.intensity
            # grams for a thousand are kilograms for a million
            row |= {"g_co2e_per_1000_items": grams, "kg_co2e_per_million_requests": grams}
    if where.intensity is None:
        notes.append(f"no carbon: codecarbon has no carbon intensity of {where.country}; choose another country.")
    row["note"] = " | ".join(notes)
    return row
