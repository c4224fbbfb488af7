"""What was found: quality with its intervals, costs, the figures, the floor, and what inspecting the answers showed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget import wording
from bitbudget.paper import figures, nodes
from bitbudget.paper.nodes import Node, Notes, Unit
from bitbudget.paper.view import View, named

MOST_ROWS = 16  # of the main tables: further models and conditions are in summary.csv
VERDICTS = {
    "loss": "loss",
    "gain": "gain",
    "loss-within-noise": "loss within noise",
    "gain-within-noise": "gain within noise",
    "identical": "identical",
    "no-loss-detected": "no loss detected",
    "not-compared": "not compared",
}
CLEAR = ("loss", "gain", "loss-within-noise", "not-compared")  # verdicts that are said in full
UNSEEN = ("identical", "no-loss-detected", "gain-within-noise")
# Column of the costs' table: heading, metric of the measurements, column of the summary, unit.
COSTS = (
    ("Size", "size_on_disk", "size_on_disk_MB", "MB"),
    ("Weights in\nmemory", "weights_in_memory", "weights_in_memory_MB", "MB"),
    ("Peak\nmemory", "peak_memory", "peak_memory_MB", "MB"),
    ("Median\nlatency", "latency", "latency_median_s", "s"),
    ("Energy\nan item", "energy_per_item", "energy_per_item_J", "J"),
    ("CO\N{SUBSCRIPT TWO}e per\n1000", "carbon_per_item", "carbon_per_1000_items_g", "g"),
)


def cells_shown(view: View) -> list[tuple[str, str]]:
    """The models and conditions that the main tables have room for, at least the first."""
    most = max(1, MOST_ROWS // len(view.e.precisions))
    return view.cells[:most]


def rest(view: View) -> str:
    """Where those are that the tables have no room for."""
    shown = len(cells_shown(view))
    left = [" / ".join(cell) for cell in view.cells[shown:]]
    return f" {wording.listed(left)}: see summary.csv." if left else ""


def units(view: View) -> list[Unit]:
    found = [Unit([nodes.h("Quality"), *_quality(view)]), Unit([main_table(view)]), *figures.of_quality(view)]
    found.append(Unit([nodes.h("Costs"), *_costs(view), costs_table(view)]))
    return [*found, *figures.of_costs(view)]


def _quality(view: View) -> list[Node]:
    base = view.metric(view.model, view.e.baseline, view.condition)
    start = view.where(view.model, view.condition)
    values = {"start": start, "label": view.words.label, "name": view.e.baseline, "n": f"{base.get('n', view.n)}"}
    if "value" not in base:
        first = nodes.inline(
            "{start}the {label} of {name} is absent: {why}", **values, why=nodes.sentence(base.get("absent", ""))
        )
    else:
        first = nodes.inline(
            "{start}{name} reaches {level} {label} (95 % interval in brackets, n = {n}){table}.",
            **values,
            level=view.level(base),
            table="",
        )
        first += nodes.inline(f" [#{view.label('quality')}] has all precisions.") if view.others else []
    found = [nodes.paragraph(_capital(first), _floor(view, base))]
    if view.others:
        found.append(nodes.paragraph(*_verdicts(view)))
    return found


def _capital(inlines: list[Node]) -> list[Node]:
    """The inlines as the start of a sentence; a name keeps its letters."""
    return [one for one in inlines if one.get("text") != ""]


def _floor(view: View, base: Mapping[str, Any]) -> list[Node]:
    """How far above answers without looking, or reading, the baseline is."""
    floor = view.e.blind["metrics"].get(view.e.primary, {})
    if "value" not in floor:
        return nodes.text(f"Of a blind floor there is none: {floor['absent']}") if "absent" in floor else []
    form = view.format_of(view.e.primary, floor)
    ends, value = base.get("ci"), floor["value"]
    text = nodes.text(f"The blind floor ({view.track.FLOOR}) is {form.level(value)}")
    if not ends:
        return [*text, *nodes.text(".")]
    clear = ends[0] > value if view.words.higher_is_better else ends[1] < value
    return [*text, *nodes.text(", which the baseline clears." if clear else ", which the baseline does not clear.")]


def _verdicts(view: View) -> list[list[Node]]:
    """The verdicts of the main model and condition, the clear ones first, then what other cells say."""
    kinds = view.by_kind(view.model, view.condition)
    found: list[list[Node]] = []
    for kind, names in kinds.items():
        if kind in CLEAR:
            for name in names:
                said = view.e.verdict_of(view.model, name, view.condition)["sentence"]
                said = re.sub(r" \(p [=<>] [^)]*\)", "", said)  # it stands in the table
                found.append(nodes.inline("{name} {said}.", name=name, said=_follow(said)))
    not_clear = {name for kind in UNSEEN for name in kinds.get(kind, [])}
    unseen = [name for name in view.others if name in not_clear]
    if unseen:
        found.append(_unseen(view, unseen, bool(found)))
    noise = [
        one
        for one in view.e.verdicts["noise_floors"]
        if (one["model"], one["condition"]) == (view.model, view.condition)
    ]
    found += [nodes.text(nodes.sentence(one["sentence"])) for one in noise]
    return [*found, nodes.text(view.elsewhere())] if view.elsewhere() else found


def _follow(said: str) -> str:
    """A verdict as it follows the precision's name: "loses 4 points …" as it is, others after a colon."""
    verb = said.startswith(("loses", "gains", "the same"))
    return said if verb else f": {said}".lstrip()


def _unseen(view: View, names: Sequence[str], after: bool) -> list[Node]:
    """What is said of the precisions without a clear difference, in one sentence."""
    pieces = []
    for name in names:
        metric = view.difference(view.model, name, view.condition)
        seen = metric.get("smallest_detectable") if metric else None
        shown = view.signed(metric) if metric else "no difference could be computed"
        form = view.format_of(view.e.primary, metric, metric) if metric else None
        pieces.append(f"{name} ({shown}" + (f"; could have seen {form.size(seen)}" if seen and form else "") + ")")
    start = "No clear difference was found for" if after or len(names) < len(view.others) else (
        "No precision differs clearly from the baseline:"
    )  # fmt: skip
    return nodes.text(f"{start} {wording.listed(pieces)}; differences are {view.words.noun}{view.words.direction}.")


def main_table(view: View) -> Node:
    """Quality of every precision, its difference from the baseline, and the verdict."""
    notes = Notes()
    rows: list[Node] = []
    cells = cells_shown(view)
    compared = bool(view.others)
    for model, condition in cells:
        name = view.cell_name(model, condition)
        rows += [nodes.group(name)] if name and (len(cells) > 1) else []
        for precision in view.e.precisions:
            rows.append(_quality_row(view, model, precision, condition, notes))
    columns = [nodes.column("Precision"), nodes.column(_heading(view), "right")]
    if compared:
        columns += [
            nodes.column("Difference\n[95 % CI]", "right"),
            nodes.column("p (Holm)", "right"),
            nodes.column("Images\nchanged" if view.words.detections else "Answers\nchanged", "right"),
            nodes.column("Verdict", wide=True),
            nodes.column("Accepted"),
        ]
    first = view.cell_name(*cells[0]) if len(cells) == 1 else ""
    caption = nodes.inline(
        "{label} of every precision{of} on the same {n} {items}{differences}.{bold}{rest}",
        bold=" Bold: recommended." if compared else "",
        label=view.words.label[:1].upper() + view.words.label[1:],
        of=f" ({first})" if first else "",
        n=view.n,
        items=view.items,
        differences=f", and its difference from {view.e.baseline} in {view.words.noun}{view.words.direction}"
        if compared
        else " with its 95 % interval",
        rest=rest(view),
    )
    return nodes.table(view.label("quality"), caption, columns, rows, notes.lines())


def _heading(view: View) -> str:
    return f"{view.words.label[:1].upper()}{view.words.label[1:]}\n[95 % CI]"


def _quality_row(view: View, model: str, precision: str, condition: str, notes: Notes) -> Node:
    metric = view.metric(model, precision, condition)
    value = nodes.text(view.level(metric)) if "value" in metric else notes.absent(metric.get("absent"))
    chosen = view.e.recommendation_of(model, condition)
    best = bool(chosen) and chosen["precision"] == precision and bool(view.others)
    name = precision + (" (baseline)" if precision == view.e.baseline and view.others else "")
    if not view.others:
        return nodes.row(name, value)
    if precision == view.e.baseline:
        return nodes.row(name, value, "", "", "", "", "", strong=best)
    verdict = view.e.verdict_of(model, precision, condition)
    difference = view.difference(model, precision, condition)
    if difference is None or verdict is None:
        why = verdict["sentence"] if verdict else "it was not compared"
        return nodes.row(name, value, notes.absent(why), "", "", "not compared", "")
    p = difference.get("p_holm")
    compared = view.e.comparison_of(model, precision, condition)
    return nodes.row(
        name,
        value,
        view.signed(difference),
        wording.p_value(p).removeprefix("p = ").removeprefix("p ") if p is not None else "",
        f"{compared['answers']['changed']} of {compared['n']}",
        VERDICTS.get(verdict["kind"], verdict["kind"]),
        "yes" if verdict["accepted"] else "no",
        strong=best,
    )


def _costs(view: View) -> list[Node]:
    if not view.others:
        return [nodes.p(f"[#{view.label('costs')}] has what it costs to run it.")]
    found = nodes.inline(f"[#{view.label('costs')}] has the costs. ")
    for column, words, unit in (
        ("size_on_disk_MB", "The smallest checkpoint is that of", "MB"),
        ("latency_median_s", "The shortest median latency is that of", "s"),
        ("energy_per_item_J", "The least energy is used by", "J"),
    ):
        values = view.measured(column)
        base = values.get(view.e.baseline)
        if len(values) < 2 or base is None:
            continue
        best = min(values, key=lambda name: values[name])
        factor, name_of = wording.unit_for(unit, max(values.values()))
        if best == view.e.baseline:
            found += nodes.text(f"{words} the baseline, {best} ({wording.number(base * factor)} {name_of}). ")
            continue
        apart = column != "latency_median_s" or _apart(view, best) is not None
        found += nodes.text(
            f"{words} {best}, {wording.number(values[best] * factor)} {name_of} instead of "
            f"{wording.number(base * factor)} {name_of} ({values[best] / base:.2f}\N{MULTIPLICATION SIGN})"
            + (". " if apart else ", though their intervals overlap. ")
        )
    return [nodes.paragraph(found, _slower(view), nodes.text(_warnings(view)))]


def _apart(view: View, precision: str) -> int | None:
    """1 where a precision's latency is clearly longer than the baseline's, -1 where shorter, None where intervals
    overlap or are missing."""
    ends = [
        [view.e.row(view.model, name, view.condition).get(f"latency_median_ci_{end}_s") for end in ("low", "high")]
        for name in (precision, view.e.baseline)
    ]
    if None in ends[0] + ends[1]:
        return None
    (low, high), (base_low, base_high) = ends
    return 1 if low > base_high else -1 if high < base_low else None


def _slower(view: View) -> list[Node]:
    """Which precisions are smaller and yet clearly slower than the baseline."""
    sizes = view.measured("size_on_disk_MB")
    base = sizes.get(view.e.baseline)
    if base is None:
        return []
    slower = [name for name in view.others if sizes.get(name, base) < base and _apart(view, name) == 1]
    if not slower:
        return []
    are, have = ("is", "has") if len(slower) == 1 else ("are", "have")
    return nodes.text(
        f"Smaller is not faster here: {named(slower)} {are} smaller on disk than the baseline and {have} a longer "
        "median latency, with intervals apart."
    )


def _warnings(view: View) -> str:
    """What was measured under other circumstances than the baseline."""
    rows = [view.e.row(view.model, name, view.condition) for name in view.others]
    found = [row["precision"] for row in rows if "not comparable" in (row.get("notes") or "")]
    return (
        f"The costs of {named(found)} were measured under other circumstances than the baseline's and cannot be "
        f"compared."
        if found
        else ""
    )


def costs_table(view: View) -> Node:
    """Size, memory, speed, energy and carbon of every precision; what was not measured has its reason."""
    notes = Notes()
    cells = cells_shown(view)
    rates = _rates(view)
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
            line, metrics = (
                view.e.row(model, precision, condition),
                view.e.measurements[model, precision, condition]["metrics"],
            )
            cells_of_row: list[Any] = [precision]
            for _, metric, column, _ in COSTS:
                value = line.get(column)
                if value is None:
                    cells_of_row.append(notes.absent(_reason(metrics, metric)))
                    continue
                factor = scales[column][0]
                cells_of_row.append(_with_interval(line, column, value, factor))
            for _, metric, column in rates:
                value = line.get(column)
                cells_of_row.append(
                    wording.number(value) if value is not None else notes.absent(_reason(metrics, metric))
                )
            rows.append(nodes.row(*cells_of_row))
    estimated = any((row.get("energy_how") or "") == "estimated" for row in view.e.summary)
    caption = nodes.inline(
        "Costs of every precision{of}: median latency and energy of one {item}{how}, CO\N{SUBSCRIPT TWO}e of "
        "1000.{rest}",
        of=f" ({view.cell_name(*cells[0])})" if len(cells) == 1 and view.cell_name(*cells[0]) else "",
        item="image" if view.words.detections else "item",
        how=" (energy and carbon are estimated, not metered)" if estimated else "",
        rest=rest(view),
    )
    return nodes.table(view.label("costs"), caption, columns, rows, notes.lines())


def _with_interval(line: Mapping[str, Any], column: str, value: float, factor: float) -> str:
    shown = wording.number(value * factor)
    low, high = line.get("latency_median_ci_low_s"), line.get("latency_median_ci_high_s")
    if column == "latency_median_s" and low is not None and high is not None:
        return f"{shown} [{wording.number(low * factor)}, {wording.number(high * factor)}]"
    return shown


def _rates(view: View) -> list[tuple[str, str, str]]:
    """Throughput columns: heading, metric, column of the summary."""
    sizes = view.e.study["measure"]["batch_sizes"]
    largest = max(sizes)
    return [(f"Items/s\n(batch {largest})", f"throughput_{largest}", f"throughput_batch_{largest}_items_per_s")]


def _reason(metrics: Mapping[str, Any], name: str) -> str | None:
    found = metrics.get(name) or metrics.get("energy_per_item" if "carbon" in name else "latency") or {}
    return found.get("absent") or "it is not in the measurements of this run"
