"""Electricity and carbon of work that took a computer so many joules, and how much carbon a country's electricity has.

Patterson et al. 2022 (arXiv 2204.05149, "The 4Ms"): kWh = hours x processors x mean power x PUE, and tCO2e = MWh x
tCO2e per MWh. Hours x processors x mean power is the energy that was measured; the PUE (power usage effectiveness: all
power of a site over that of its computers) adds what the building takes. The intensities are codecarbon's data by
country, most of them Our World in Data's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Electricity:
    """How clean electricity is: g CO2e per kWh, the year that figure is of (None if unknown), and where it is from."""

    grams_per_kwh: float
    year: int | None
    source: str


@dataclass(frozen=True)
class Footprint:
    """Electricity of the whole site in kWh, PUE included, and its carbon in g CO2e, None where that is unknown."""

    kwh: float
    grams: float | None


def footprint(joules: float, pue: float, electricity: Electricity | None) -> Footprint:
    """What `joules` of the computer come to at a site of this PUE with this electricity."""
    kwh = joules / JOULES_PER_KWH * pue
    return Footprint(kwh, None if electricity is None else kwh * electricity.grams_per_kwh)


def electricity_of(country: str, given: float | None = None) -> Electricity | None:
    """The electricity of a country (ISO 3166-1 alpha-3), or one of `given` g CO2e per kWh, as the study says.

    None where codecarbon has no figure of the country, or is not installed; `unknown` says so in words.
    """
    if given is not None:
        return Electricity(float(given), None, "given in the study")
    entry = _entry(country)
    if "carbon_intensity" not in entry:
        return None
    year = int(entry["year"]) if "year" in entry else None
    return Electricity(
        float(entry["carbon_intensity"]), year, f"codecarbon's energy mix data of {year or 'an unknown year'}"
    )


def country_name(country: str) -> str | None:
    """The country's name in English; None where codecarbon does not know it, or is not installed."""
    return _entry(country).get("country_name")


def unknown(country: str) -> str:
    """Why there is no carbon figure for this country, without what would help."""
    return f"codecarbon, whose figures by country are used, has no carbon intensity of {country} or is not installed"


def _entry(country: str) -> dict[str, Any]:
    """What codecarbon knows of a country's electricity; empty where it knows nothing or is not there to be asked."""
    try:
        from codecarbon.input import DataSource
    except ImportError:
        return {}
    return DataSource().get_global_energy_mix_data().get(country, {})
