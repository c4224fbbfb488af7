"""What a short paper has room for beside the main results: all metrics, carbon elsewhere, the audit in full."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bitbudget import wording
from bitbudget.paper import nodes
from bitbudget.paper.nodes import Node, Notes, Unit
from bitbudget.paper.view import View, named

MOST_METRICS, WITH_INTERVALS = 6, 4  # columns of a table, and those for whose intervals there is room
COUNTRIES = 5


def units(view: View) -> list[Unit]:
    found = []
    if len(view.e.scores[view.model, view.e.baseline, view.condition]["metrics"]) > 1:
        found.append(Unit(_metrics(view), 5))
    carbon = _carbon(view)
    if carbon:
        found.append(Unit(carbon, 6))
    found.append(Unit([_audit(view)], 8))
    return found


def _metrics(view: View) -> list[Node]:
    """All metrics of every precision, of the main model and condition."""
    names = [name for name in view.track.METRICS if name != view.e.primary]
    there = [
        name
        for name in names
        if any(name in view.e.scores[view.model, p, view.condition]["metrics"] for p in view.e.precisions)
    ][:MOST_METRICS]
    notes, rows = Notes(), []
    for precision in view.e.precisions:
        cells = []
        for name in there:
            metric = view.metric(view.model, precision, view.condition, name)
            cells.append(
                nodes.text(_level(view, metric, name, len(there)))
                if "value" in metric
                else notes.absent(metric.get("absent"))
            )
        rows.append(nodes.row(precision, *cells))
    where = view.cell_name(view.model, view.condition)
    caption = nodes.text(
        f"The other metrics of every precision{f' ({where})' if where else ''}"
        + (", with 95 % intervals." if len(there) <= WITH_INTERVALS else "; intervals are in summary.csv.")
    )
    columns = [nodes.column("Precision")]
    columns += [nodes.column(view.track.METRICS[name]["label"], "right") for name in there]
    return [nodes.table(view.label("metrics"), caption, columns, rows, notes.lines())]


def _level(view: View, metric: Mapping[str, Any], name: str, columns: int) -> str:
    """A value, with its interval where there is room."""
    if columns <= WITH_INTERVALS:
        return view.level(metric, name)
    return view.format_of(name, metric).level(metric["value"])


def _carbon(view: View) -> list[Node]:
    """The same energy on other countries' grids, for the baseline and what is recommended."""
    chosen = view.e.recommendation_of(view.model, view.condition)
    names = list(dict.fromkeys([view.e.baseline, *([chosen["precision"]] if chosen and chosen["precision"] else [])]))
    pue = view.e.study["carbon"]["pue"]
    by_country: dict[str, dict[str, float]] = {}
    intensity: dict[str, float] = {}
    for row in view.e.carbon:
        here = (row["model"], row["condition"]) == (view.model, view.condition) and row["pue"] == pue
        if here and row["precision"] in names and row["carbon_per_million_requests_kg"] is not None:
            country = row["country_name"] or row["country"]
            by_country.setdefault(country, {})[row["precision"]] = row["carbon_per_million_requests_kg"]
            intensity[country] = row["intensity_g_per_kwh"]
    if len(by_country) < 2:
        return []
    ordered = sorted(by_country, key=lambda name: intensity[name])[:COUNTRIES]
    rows = [
        nodes.row(
            country,
            wording.number(intensity[country]),
            *(
                wording.number(by_country[country][name]) if name in by_country[country] else nodes.NOT_MEASURED
                for name in names
            ),
        )
        for country in ordered
    ]
    words = (
        "CO\N{SUBSCRIPT TWO}e of a million requests in kg, were the same energy drawn from other grids (intensity in "
        "g per "
        "kWh)."
    )
    more = " Where a model runs can matter more than its format." if len(names) > 1 else ""
    caption = nodes.text(words + more)
    columns = [nodes.column("Grid", wide=True), nodes.column("g/kWh", "right")]
    columns += [nodes.column(name, "right") for name in names]
    return [nodes.table(view.label("carbon"), caption, columns, rows, wide=False)]


def _audit(view: View) -> Node:
    """How each group's weights lie in memory and what multiplies with them, as the audit found."""
    rows: list[Node] = []
    seen: dict[tuple[str, str, str], list[str]] = {}
    for precision in view.e.precisions:
        for layer in view.e.audits[view.model, precision]["layers"]:
            if "found" in layer:
                # how many scales a layer has follows from its shape
                key = (layer["found"], re.sub(r", \d+ scales?$", "", layer["storage"]), _kernel(layer["kernel"]))
                names = seen.setdefault(key, [])
                if precision not in names:
                    names.append(precision)
    for (form, storage, kernel), names in seen.items():
        rows.append(nodes.row(form, storage, kernel, named(names, 4)))
    caption = nodes.text("What the audit found of the layers with weights: format, storage in memory, and kernel.")
    columns = [
        nodes.column("Format"),
        nodes.column("Storage", wide=True),
        nodes.column("Kernel"),
        nodes.column("In precisions", wide=True),
    ]
    return nodes.table(view.label("audit"), caption, columns, rows[:14])


def _kernel(path: str) -> str:
    """A kernel without the modules that it is in: "linear", "FULLY_CONNECTED (XNNPACK)"."""
    name, _, delegate = path.partition(" (")
    return name.rsplit(".", 1)[-1] + (f" ({delegate}" if delegate else "")
