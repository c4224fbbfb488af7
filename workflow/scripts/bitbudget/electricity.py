"""How much carbon a country's electricity carries: codecarbon's data by country (most of them Our World in Data's)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Electricity:
    """A country's electricity: g CO2e per kWh, the year that figure is of (None if unknown), and where it is from."""

    country_name: str | None
    grams_per_kwh: float
    year: int | None
    source: str


def electricity_of(country: str) -> Electricity | None:
    """The electricity of a country (ISO 3166-1 alpha-3); None where codecarbon has no figure of it."""
    from codecarbon.input import DataSource

    entry = DataSource().get_global_energy_mix_data().get(country, {})
    if "carbon_intensity" not in entry:
        return None
    year = int(entry["year"]) if "year" in entry else None
    source = f"codecarbon's energy mix data of {year or 'an unknown year'}"
    return Electricity(entry.get("country_name"), float(entry["carbon_intensity"]), year, source)
