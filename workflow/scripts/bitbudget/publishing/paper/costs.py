"""What the precisions cost: the table of every model and condition, and what is smaller, faster and more frugal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.paper import nodes
from bitbudget.publishing.paper.nodes import Node, Notes
from bitbudget.publishing.paper.view import View
from bitbudget.telling import across

Record = Mapping[str, Any]

MOST_ROWS = 20
TITLES = {
    "size_on_disk": "Size\non disk", "weights_in_memory": "Weights in\nmemory", "peak_memory": "Peak\nmemory",
    "latency": "Median\nlatency", "energy_per_item": "Energy\nper item",
    "carbon_per_item": "CO\N{SUBSCRIPT TWO}e per\n1000",
}  # fmt: skip


def paragraph(view: View) -> Node:
    """What is the smallest, the fastest and the most frugal, what is smaller and yet slower, and what disturbs it."""
    table = nodes.inline(f"[#{view.label('costs')}] has the costs.")
    if not view.others:
        return nodes.paragraph(table)
    if all(entry["simulated"] for entry in view.main["entries"] if not entry["baseline"]):
        rest = "All precisions but the baseline are only simulated, so it has the costs of the baseline alone."
        return nodes.paragraph(table, nodes.text(rest))
    said = []
    for cell in view.cells[: 1 if len(view.cells) > 2 else None]:
        about = {one["metric"]: one for one in cell["costs"]}
        told = [about[name]["best"] for name in cell["main_costs"] if _tells(about[name], about["latency"])]
        told = [f"{across.place(cell)}: {'; '.join(told)}"] if cell["name"] else told
        said += [across.ended(one) for one in told]
        said += [] if cell["name"] else [across.size_and_speed(cell), across.not_compared(cell)]
    disturbed = across.shared(view.cells, "disturbed")
    said += [disturbed] if disturbed else []
    return nodes.paragraph(table, nodes.text(" ".join(filter(None, said))))


def _tells(cost: Record, latency: Record) -> bool:
    """Whether a cost tells more than the latency: not an energy that is made of it, nor a rate of which nothing is
    told."""
    return cost["note"] != "estimated" and not (
        cost["higher_is_better"] and cost["best"].partition(" (")[0] == latency["best"].partition(" (")[0]
    )


def columns_of(cells: Sequence[Record]) -> list[Record]:
    """The costs that a table has: of the track's rates the one of the largest batches."""
    rates = [one["metric"] for one in cells[0]["costs"] if one["higher_is_better"]]
    return [one for one in cells[0]["costs"] if one["metric"] not in rates[:-1]]


def table(view: View) -> Node:
    """All costs of every precision; what was not measured has its reason. Where there are too many rows, of each cell
    the baseline, what is recommended and the runner-up."""
    notes, rows = Notes(), []
    about = columns_of(view.cells)
    few = len(view.cells) > 1 and len(view.cells) * len(view.e.precisions) > MOST_ROWS
    why: dict[str, dict[str, None]] = {}
    for cell in view.cells:
        rows += [nodes.group(cell["name"])] if len(view.cells) > 1 else []
        for entry in cell["entries"]:
            if few and entry["precision"] not in _told(cell):
                continue
            shown = []
            for one in about:
                found = entry["costs"][one["metric"]]
                shown.append(_cost(found, one["unit"], notes))
                # that its timings were disturbed is said beside the number
                if "incomparable" in found and not entry["incomparable"] and "remark" not in found:
                    why.setdefault(one["heading"], {})[found["incomparable"]] = None
            rows.append(nodes.row(entry["precision"], *shown))
    columns = [nodes.column("Precision")]
    columns += [nodes.column(_title(one), "right") for one in about]
    kinds = [f"{one['heading']}: {one['note']}." for one in about if one["note"]]
    lines = [*notes.lines(), *kinds, *(f"{name} not compared: {'; '.join(of)}." for name, of in why.items())]
    lines += [across.ended(said) for cell in view.cells for said in cell["remarks"]]
    item = view.e.verdicts["item"]
    caption = nodes.text(
        f"Costs of every precision: medians; latency and energy of one {item}."
        + (" Of each the baseline, what is recommended and the runner-up; all are in summary.csv." if few else "")
    )
    return nodes.table(view.label("costs"), caption, columns, rows, list(dict.fromkeys(lines)))


def _told(cell: Record) -> list[str | None]:
    """The precisions that are told of where there is no room for all."""
    base = next(entry["precision"] for entry in cell["entries"] if entry["baseline"])
    return [base, cell["recommendation"]["precision"], cell["recommendation"].get("runner_up")]


def _title(cost: Record) -> str:
    if cost["higher_is_better"]:
        return cost["heading"].replace(" at batch size ", "\n(batch ") + ")"
    return f"{TITLES.get(cost['metric'], cost['heading'])} ({cost['unit']})"


def _cost(found: Record, unit: str, notes: Notes) -> list[Node]:
    """A cost's value with its interval, or a mark with the reason why it has none."""
    if "value" not in found:
        return notes.absent(found["absent"])
    said = found["with_unit"].replace(f" {unit}", "", 1)
    shown = nodes.text(" ".join(filter(None, (said, found["interval"]))))
    for name in ("no_interval", "remark"):
        shown += notes.mark(found[name]) if name in found else []
    return shown
