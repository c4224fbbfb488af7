"""What a short paper has room for beside the main results: all metrics, carbon elsewhere, the audit in full."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bitbudget.publishing.paper import nodes
from bitbudget.publishing.paper.nodes import Node, Notes, Unit
from bitbudget.publishing.paper.view import View
from bitbudget.telling import wording

MOST_METRICS, WITH_INTERVALS = 6, 4  # columns of a table, and those for whose intervals there is room
REASON = 150  # letters of why a metric is absent
IN_A_COLUMN = 1  # metrics whose table is no wider than a column


def units(view: View) -> list[Unit]:
    found = []
    metrics = _metrics(view)
    found += [Unit(metrics, 3)] if metrics else []
    carbon = _carbon(view)
    if carbon:
        found.append(Unit(carbon, 6))
    audit = _audit(view)
    return [*found, *([Unit([audit], 8)] if audit else [])]


def _metrics(view: View) -> list[Node]:
    """All other metrics of every precision, of the main model and condition; empty where none has a value."""
    entries = view.main["entries"]
    about = {one["name"]: one["label"] for one in view.e.verdicts["metrics"] if one["name"] != view.e.primary}
    known = [name for name in about if any("value" in entry["metrics"].get(name, {}) for entry in entries)]
    there = known[:MOST_METRICS]
    if not there:
        return []
    notes, rows = Notes(), []
    for entry in entries:
        cells = []
        for name in there:
            metric = entry["metrics"].get(name, {})
            interval = metric.get("interval", "") if len(there) <= WITH_INTERVALS else ""
            value = " ".join(filter(None, (metric.get("text", ""), interval)))
            cells.append(nodes.text(value) if value else notes.absent(metric.get("absent")))
        rows.append(nodes.row(entry["precision"], *cells))
    caption = nodes.text(
        f"The other metrics of every precision{view.of_main}"
        + (", with 95 % intervals." if len(there) <= WITH_INTERVALS else "; intervals are in summary.csv.")
    )
    columns = [nodes.column("Precision"), *(nodes.column(about[name], "right") for name in there)]
    further = [about[name] for name in known[MOST_METRICS:]]
    lines = [*notes.lines(), *_absent(view, [name for name in about if name not in known])]
    lines += [f"{wording.listed(further)}: see summary.csv."] if further else []
    return [nodes.table(view.label("metrics"), caption, columns, rows, lines, wide=len(there) > IN_A_COLUMN)]


def _absent(view: View, names: Sequence[str]) -> list[str]:
    """Which metrics no precision has, by their reasons."""
    why: dict[str, list[str]] = {}
    for name in names:
        metric = view.entry(view.e.baseline)["metrics"].get(name, {})
        reason = nodes.shortened(metric.get("absent") or "no reason is recorded", REASON).rstrip(".")
        why.setdefault(reason, []).append(view.track.METRICS[name]["label"])
    return [f"{wording.listed(labels)}: absent, {reason}." for reason, labels in why.items()]


def _carbon(view: View) -> list[Node]:
    """The same energy on other countries' grids, for the baseline and what is recommended."""
    chosen = view.main["recommendation"]["precision"]
    names = list(dict.fromkeys([view.e.baseline, *([chosen] if chosen else [])]))
    here = [
        row
        for row in view.e.carbon
        if (row["model"], row["condition"]) == (view.model, view.condition)
        and row["precision"] in names
        and row["carbon_per_million_requests_kg"] is not None
    ]
    countries = {pue: {row["country"] for row in here if row["pue"] == pue} for pue in sorted({r["pue"] for r in here})}
    # the study's own, unless other grids were reckoned with another only
    pue = view.e.study["carbon"]["pue"]
    pue = pue if len(countries.get(pue, ())) > 1 else max(countries, key=lambda one: len(countries[one]), default=pue)
    by_country: dict[str, dict[str, float]] = {}
    intensity: dict[str, float] = {}
    for row in here:
        if row["pue"] == pue:
            country = row["country_name"] or row["country"]
            by_country.setdefault(country, {})[row["precision"]] = row["carbon_per_million_requests_kg"]
            intensity[country] = row["intensity_g_per_kwh"]
    if len(by_country) < 2:
        return []
    by_intensity = sorted(by_country, key=lambda name: intensity[name])
    own = [row["country_name"] or row["country"] for row in view.e.carbon if not row["what_if"]][:1]
    chosen_grids = {by_intensity[0], by_intensity[-1], *own}
    ordered = [name for name in by_intensity if name in chosen_grids]
    left = len(by_country) - len(ordered)
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
    caption = nodes.text(
        "CO\N{SUBSCRIPT TWO}e of a million requests in kg, were the same energy drawn from other grids, at a power "
        f"usage effectiveness of {pue:g}"
        + (f": the study's own ({own[0]}), and the cleanest and the dirtiest of those compared" if own else "")
        + (f". {nodes.count(left, 'more grid')} in carbon.csv" if left else "")
        + (". Timings were disturbed and are not to be compared." if view.main["disturbed"] else ".")
    )
    columns = [nodes.column("Grid", wide=True), nodes.column("g/kWh", "right")]
    columns += [nodes.column(name, "right") for name in names]
    return [nodes.table(view.label("carbon"), caption, columns, rows, wide=False)]


def _audit(view: View) -> Node | None:
    """How each format's weights lie in memory and what multiplies with them; None where the formats' names say it."""
    held: dict[str, tuple[list[str], list[str], list[str]]] = {}
    for precision in view.e.precisions:
        for layer in view.e.audits[view.model, precision]["layers"]:
            if "found" in layer:
                # how many scales a layer has follows from its shape
                storage = re.sub(r", \d+ scales?$", "", layer["storage"])
                found = held.setdefault(layer["found"], ([], [], []))
                for names, name in zip(found, (storage, _kernel(layer["kernel"]), precision), strict=True):
                    if name not in names:
                        names.append(name)
    if not any(_told(form, storage) for form, (storage, _, _) in held.items()):
        return None
    rows = [
        nodes.row(form, "; ".join(storage), ", ".join(kernels), wording.named(names, 4))
        for form, (storage, kernels, names) in held.items()
    ]
    of = f" of {view.model}" if len(view.e.models) > 1 else ""
    caption = nodes.text(f"What the audit found of the layers with weights{of}: format, storage in memory, and kernel.")
    columns = [
        nodes.column("Format"),
        nodes.column("Storage", wide=True),
        nodes.column("Kernel"),
        nodes.column("In precisions", wide=True),
    ]
    return nodes.table(view.label("audit"), caption, columns, rows)


def _told(form: str, storages: Sequence[str]) -> bool:
    """Whether the storage is not what the format's name says already: "INT8" says nothing of litert-int8."""
    return any(one.lower() not in form.lower() for one in storages)


def _kernel(path: str) -> str:
    """A kernel without the modules that it is in: "linear", "FULLY_CONNECTED (XNNPACK)"."""
    name, _, delegate = path.partition(" (")
    return name.rsplit(".", 1)[-1] + (f" ({delegate}" if delegate else "")
