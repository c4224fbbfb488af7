"""Electricity and carbon of an item, from its energy."""

from __future__ import annotations

from typing import Any

from bitbudget.electricity import Electricity, electricity_of
from bitbudget.records import absent, metric

JOULES_PER_KWH = 3.6e6


def electricity(energy: dict[str, Any], pue: float) -> dict[str, Any]:
    """Electricity of one item in kWh, with what the building around the machine adds to it: energy x PUE."""
    if "absent" in energy:
        return absent(f"there is no energy figure: {energy['absent']}", "kWh", higher_is_better=False)
    return _scaled(energy, pue / JOULES_PER_KWH, "kWh", pue=pue)


def carbon(energy: dict[str, Any], country: str, pue: float, intensity: float | None = None) -> dict[str, Any]:
    """Operational carbon of one item in g CO2e (Patterson et al. 2022, arXiv 2204.05149, "The 4Ms").

    There, kWh = hours x processors x mean power x PUE, and tCO2e = MWh x tCO2e per MWh. Here hours x processors x mean
    power is the measured `energy`, and the carbon intensity is `intensity` in g CO2e per kWh where the study gives it,
    else that of the country's electricity.
    """
    if "absent" in energy:
        return absent(f"there is no energy figure: {energy['absent']}", "g CO2e", higher_is_better=False)
    given = None if intensity is None else Electricity(None, float(intensity), None, "given in the study")
    found = given or electricity_of(country)
    if found is None:
        reason = (
            f"no carbon intensity is known for {country}; name another country in the study's carbon.country, or give "
            "the grams of CO2e per kWh as carbon.intensity."
        )
        return absent(reason, "g CO2e", higher_is_better=False)
    return _scaled(
        energy, pue / JOULES_PER_KWH * found.grams_per_kwh, "g CO2e",
        grams_per_kwh=found.grams_per_kwh, pue=pue, country=country, source=found.source,
        **({} if found.year is None else {"year": found.year}),
    )  # fmt: skip


def _scaled(energy: dict[str, Any], factor: float, unit: str, **more: Any) -> dict[str, Any]:
    ends = energy.get("ci")
    ci = (ends[0] * factor, ends[1] * factor) if ends else None
    value = energy["value"] * factor
    return metric(value, unit, higher_is_better=False, n=energy["n"], ci=ci, how=energy["how"], **more)
