"""What the precisions cost: the table, and sentences on what is smaller, faster and needs less energy.

A cost counts in a sentence only where it can be held against the baseline's (`recommendation.unusable`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.paper import nodes
from bitbudget.publishing.paper.nodes import Node, Notes
from bitbudget.publishing.paper.view import View, named
from bitbudget.telling import wording

SLOWER, FASTER, OVERLAP, UNKNOWN = "slower", "faster", "overlap", "no interval"
# Column of the costs' table: heading, metric of the measurements, column of the summary, unit.
COSTS = (
    ("Size", "size_on_disk", "size_on_disk_MB", "MB"),
    ("Weights in\nmemory", "weights_in_memory", "weights_in_memory_MB", "MB"),
    ("Peak\nmemory", "peak_memory", "peak_memory_MB", "MB"),
    ("Median\nlatency", "latency", "latency_median_s", "s"),
    ("Energy\nan item", "energy_per_item", "energy_per_item_J", "J"),
    ("CO\N{SUBSCRIPT TWO}e per\n1000", "carbon_per_item", "carbon_per_1000_items_g", "g"),
)
LEAST = (
    ("size_on_disk_MB", "The smallest checkpoint is that of", "MB"),
    ("latency_median_s", "The shortest median latency is that of", "s"),
    ("energy_per_item_J", "The least energy is used by", "J"),
)


def paragraph(view: View) -> Node:
    """What is the smallest, the fastest and the most frugal, and what is smaller and yet not faster."""
    if not view.others:
        return nodes.p(f"[#{view.label('costs')}] has what it costs to run it.")
    if view.simulated_only:
        return nodes.p(
            f"All precisions but the baseline are only simulated, so [#{view.label('costs')}] has the costs of the "
            "baseline alone."
        )
    said = [_least(view, column, words, unit) for column, words, unit in LEAST]
    said += [_size_and_speed(view), _not_comparable(view)]
    found = nodes.inline(f"[#{view.label('costs')}] has the costs.")
    return nodes.paragraph(found, nodes.text(" ".join(filter(None, said))))


def _least(view: View, column: str, words: str, unit: str) -> str:
    """Which precision has the least of a cost."""
    values = view.comparable(column)
    base = values.get(view.e.baseline)
    if len(values) < 2 or base is None:
        return ""
    best = min(values, key=lambda name: values[name])
    factor, shown = wording.unit_for(unit, max(values.values()))
    if best == view.e.baseline:
        return f"{words} the baseline, {best} ({wording.number(base * factor)} {shown})."
    doubt = ""
    if column == "latency_median_s":
        doubt = {
            OVERLAP: ", though their intervals overlap",
            UNKNOWN: f", but {without_interval(view, [best, view.e.baseline])}",
        }.get(relation(view, best) or "", "")
    return (
        f"{words} {best}, {wording.number(values[best] * factor)} {shown} instead of "
        f"{wording.number(base * factor)} {shown} ({values[best] / base:.2f}\N{MULTIPLICATION SIGN}){doubt}."
    )


def relation(view: View, precision: str, model: str | None = None, condition: str | None = None) -> str | None:
    """How a precision's median latency stands to the baseline's, by their intervals; None where one has no value."""
    rows = [view.e.row(model or view.model, name, condition or view.condition) for name in (precision, view.e.baseline)]
    if any(row.get("latency_median_s") is None for row in rows):
        return None
    ends = [[row.get(f"latency_median_ci_{end}_s") for end in ("low", "high")] for row in rows]
    if None in ends[0] + ends[1]:
        return UNKNOWN
    (low, high), (base_low, base_high) = ends
    return SLOWER if low > base_high else FASTER if high < base_low else OVERLAP


def without_interval(view: View, names: Sequence[str]) -> str:
    """Of which of these precisions the latency has no interval, and why."""
    rows = {name: view.e.row(view.model, name, view.condition) for name in names}
    missing = [name for name, row in rows.items() if row.get("latency_median_ci_low_s") is None]
    reasons = list(dict.fromkeys(no_interval(view, view.model, name, view.condition) for name in missing))
    return f"{wording.listed(reasons)} for {wording.listed(missing)}"


def no_interval(view: View, model: str, precision: str, condition: str) -> str:
    """Why a median has no interval: "a single run of 5 calls gives no interval"."""
    measured = view.e.measurements[model, precision, condition]
    calls = measured["metrics"].get("latency", {}).get("n") or 0
    runs = len(measured.get("repeats", []))
    of = "a single run" if runs <= 1 else f"{nodes.number_word(runs).lower()} runs"
    return f"{of} of {nodes.count(calls, 'call')} {'gives' if runs <= 1 else 'give'} no interval"


def _size_and_speed(view: View) -> str:
    """Which precisions are smaller than the baseline and yet slower, and which of them are faster."""
    sizes, times = view.comparable("size_on_disk_MB"), view.comparable("latency_median_s")
    base, own = sizes.get(view.e.baseline), times.get(view.e.baseline)
    if base is None or own is None:
        return ""
    smaller = [name for name in view.others if sizes.get(name, base) < base and name in times]
    found: dict[str, list[str]] = {}
    for name in smaller:
        found.setdefault(relation(view, name) or "", []).append(name)
    slower, faster = found.get(SLOWER, []), found.get(FASTER, [])
    unknown = [name for name in found.get(UNKNOWN, []) if times[name] > own]
    overlap = found.get(OVERLAP, [])
    if not slower and not unknown:
        return ""
    said = []
    if slower:
        are, have = ("is", "has") if len(slower) == 1 else ("are", "have")
        said.append(
            f"{named(slower)} {are} smaller on disk than the baseline and {have} a longer median latency, with "
            "intervals apart"
        )
    if unknown:
        factor, unit = wording.unit_for("s", max(times.values()))
        levels = wording.listed([f"{wording.number(times[name] * factor)} {unit}" for name in unknown])
        what = f"that of {named(unknown)} ({levels}) is longer as well"
        if not slower:
            base_level = f"{wording.number(own * factor)} {unit}"
            what = f"the median latency of {named(unknown)} ({levels}) is longer than the baseline's {base_level}"
        said.append(f"{what}, but {without_interval(view, unknown)}")
    if faster:
        said.append(f"{named(faster)} {'is' if len(faster) == 1 else 'are'} smaller and faster")
    if overlap:
        said.append(f"of {named(overlap)} the interval overlaps the baseline's")
    start = "Not all that is smaller is clearly faster"
    if slower:
        start = "Smaller is not always faster" if faster else "Smaller is not faster here"
    return f"{start}: {'; '.join(said)}."


def _not_comparable(view: View) -> str:
    """Whose costs say nothing beside the baseline's, and why; simulated ones have none."""
    reasons: dict[str, list[str]] = {}
    for name in view.others:
        why = view.unusable(name)
        if why and view.e.row(view.model, name, view.condition)["simulated"] is None:
            reasons.setdefault(why, []).append(name)
    return " ".join(f"The costs of {named(names)} are left aside: {why}." for why, names in reasons.items())


def table(view: View, cells: Sequence[tuple[str, str]], rest: str) -> Node:
    """Size, memory, speed, energy and carbon of every precision; what was not measured has its reason."""
    notes = Notes()
    largest = max(view.e.study["measure"]["batch_sizes"])
    rates = [(f"Items/s\n(batch {largest})", f"throughput_{largest}", f"throughput_batch_{largest}_items_per_s")]
    columns, scales = [nodes.column("Precision")], {}
    for title, _, column, unit in COSTS:
        values = [view.e.row(m, p, c).get(column) or 0 for m, c in cells for p in view.e.precisions]
        scales[column] = (1.0, "g") if unit == "g" else wording.unit_for(unit, max(values, default=0))
        columns.append(nodes.column(f"{title} ({scales[column][1]})", "right"))
    columns += [nodes.column(title, "right") for title, _, _ in rates]
    rows: list[Node] = []
    for model, condition in cells:
        name = view.cell_name(model, condition)
        rows += [nodes.group(name)] if name and len(cells) > 1 else []
        for precision in view.e.precisions:
            cell = (model, precision, condition)
            shown: list[Any] = [precision]
            shown += [_cost(view, cell, metric, column, scales[column][0], notes) for _, metric, column, _ in COSTS]
            shown += [_cost(view, cell, metric, column, 1.0, notes) for _, metric, column in rates]
            rows.append(nodes.row(*shown))
    estimated = any((row.get("energy_how") or "") == "estimated" for row in view.e.summary)
    caption = nodes.inline(
        "Costs of every precision{of}: median latency and energy of one {item}{how}, CO\N{SUBSCRIPT TWO}e of "
        "1000.{rest}",
        of=f" ({view.cell_name(*cells[0])})" if len(cells) == 1 and view.cell_name(*cells[0]) else "",
        item="image" if view.words.detections else "item",
        how=" (energy and carbon are estimated, not metered)" if estimated else "",
        rest=rest,
    )
    return nodes.table(view.label("costs"), caption, columns, rows, notes.lines())


def _cost(
    view: View, cell: tuple[str, str, str], metric: str, column: str, factor: float, notes: Notes
) -> str | list[Node]:
    line, metrics = view.e.row(*cell), view.e.measurements[cell]["metrics"]
    value = line.get(column)
    if value is None:
        return notes.absent(_reason(metrics, metric))
    shown = wording.number(value * factor)
    if column != "latency_median_s":
        return shown
    low, high = line.get("latency_median_ci_low_s"), line.get("latency_median_ci_high_s")
    if low is None or high is None:
        return nodes.text(shown) + mark(notes, no_interval(view, *cell))
    return f"{shown} [{wording.number(low * factor)}, {wording.number(high * factor)}]"


def mark(notes: Notes, reason: str) -> list[Node]:
    """The raised number of a note on a value that is there."""
    return notes.absent(reason)[1:]


def _reason(metrics: Mapping[str, Any], name: str) -> str | None:
    found = metrics.get(name) or metrics.get("energy_per_item" if "carbon" in name else "latency") or {}
    return found.get("absent") or "it is not in the measurements of this run"
