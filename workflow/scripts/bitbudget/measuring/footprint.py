"""Electricity and carbon of an item, from its energy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bitbudget.measuring.electricity import electricity_of, unknown
from bitbudget.measuring.electricity import footprint as of_joules
from bitbudget.records import absent, metric


def electricity(energy: dict[str, Any], pue: float) -> dict[str, Any]:
    """Electricity of one item in kWh, with what the building around the machine adds to it: energy x PUE."""
    if "absent" in energy:
        return absent(f"there is no energy figure: {energy['absent']}", "kWh", higher_is_better=False)
    return _converted(energy, lambda joules: of_joules(joules, pue, None).kwh, "kWh", pue=pue)


def carbon(energy: dict[str, Any], country: str, pue: float, intensity: float | None = None) -> dict[str, Any]:
    """Operational carbon of one item in g CO2e, at the PUE and with the electricity of the country.

    `intensity` is the study's own figure of that electricity in g CO2e per kWh, which stands over the country's.
    """
    if "absent" in energy:
        return absent(f"there is no energy figure: {energy['absent']}", "g CO2e", higher_is_better=False)
    found = electricity_of(country, intensity)
    if found is None:
        reason = (
            f"{unknown(country)}; give the grams of CO2e per kWh as carbon.intensity in the study, or name another "
            "country as carbon.country."
        )
        return absent(reason, "g CO2e", higher_is_better=False)
    return _converted(
        energy, lambda joules: of_joules(joules, pue, found).grams, "g CO2e",
        grams_per_kwh=found.grams_per_kwh, pue=pue, country=country, source=found.source,
        **({} if found.year is None else {"year": found.year}),
    )  # fmt: skip


def _converted(energy: dict[str, Any], convert: Callable[[float], Any], unit: str, **more: Any) -> dict[str, Any]:
    """An energy's metric in another unit; how it was obtained, whose energy it is and its batch size stay with it."""
    ci = tuple(map(convert, energy["ci"])) if "ci" in energy else None
    kept = {key: energy[key] for key in ("how", "scope", "batch_size")}
    return metric(convert(energy["value"]), unit, higher_is_better=False, n=energy["n"], ci=ci, **kept, **more)
