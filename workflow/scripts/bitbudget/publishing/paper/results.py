"""What was found: quality with its intervals, and what it costs, of every model and condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.paper import costs, figures, nodes
from bitbudget.publishing.paper.nodes import Node, Notes, Unit
from bitbudget.publishing.paper.view import View
from bitbudget.telling import across, wording

Record = Mapping[str, Any]

MOST_ROWS = 20  # of the main table, before it shows the differences of all cells side by side
SIDE_BY_SIDE = 4  # models and conditions
CLEAR = ("loss", "gain", "within-noise")  # verdicts that are said in full


def units(view: View) -> list[Unit]:
    found = [Unit([nodes.h("Quality"), *_quality(view)]), Unit(tables(view)), *figures.of_quality(view)]
    found.append(Unit([nodes.h("Costs"), costs.paragraph(view), costs.table(view)]))
    return [*found, *figures.of_costs(view)]


def _quality(view: View) -> list[Node]:
    """What the baseline reaches, what became of the precisions of each cell, and what the items would have shown."""
    table = nodes.inline(f"[#{view.label('quality')}] has all precisions.") if view.others else []
    brackets = nodes.text(f"(Brackets: 95 % intervals; n = {view.n}.)")
    floors = nodes.text(across.shared(view.cells, "floor"))
    if not view.others:
        return [nodes.paragraph(nodes.text(across.baselines(view.cells)), brackets, floors)]
    noise = nodes.text(across.shared(view.cells, "noise_floor"))
    if len(view.cells) == 1:
        outcome = view.main["outcome"]["title" if view.main["outcome"]["lost"] else "sentence"]
        said = " ".join([across.ended(outcome), *_clear(view.main), _unclear(view, view.main)])
        start = nodes.text(across.baselines(view.cells))
        detectable = nodes.text(across.ended(view.main["detectable"]))
        return [nodes.paragraph(start, brackets, table, floors), nodes.paragraph(nodes.text(said), detectable, noise)]
    found = [nodes.paragraph(brackets, table, floors)]
    for cell in view.cells:
        said = [across.ended(cell[name]) for name in ("baseline_reaches", "detectable")]
        said.insert(1, across.ended(cell["outcome"]["sentence"]))
        found.append(nodes.paragraph(nodes.strong(f"{cell['name']}."), *map(nodes.text, said)))
    return [*found, nodes.paragraph(noise)]


def _clear(cell: Record) -> list[str]:
    """The clear differences of a cell, each in a sentence; the one is told by the outcome already."""
    if cell["outcome"]["compared"] == 1:
        return []
    told = [f"{entry['precision']}: {entry['sentence']}" for entry in cell["entries"] if entry.get("kind") in CLEAR]
    return [f"{'; '.join(told)}."] if told else []


def _unclear(view: View, cell: Record) -> str:
    told = []
    for entry in cell["entries"]:
        if entry.get("kind") in ("no-clear-difference", "identical") and cell["outcome"]["compared"] > 1:
            difference = view.metric(entry)["difference"]
            shown = f"{difference['text']} {difference['interval']}" if entry["kind"] != "identical" else entry["word"]
            told.append(f"{entry['precision']} ({shown})")
    return f"No clear difference: {wording.listed(told)}." if told else ""


def tables(view: View) -> list[Node]:
    """Quality of every precision of every cell, its difference from the baseline, and the verdict."""
    if len(view.cells) * len(view.e.precisions) <= MOST_ROWS or len(view.cells) == 1:
        return [_full(view)]
    parts = [view.cells[i : i + SIDE_BY_SIDE] for i in range(0, len(view.cells), SIDE_BY_SIDE)]
    labels = [view.label("quality" if i == 0 else f"quality-{chr(97 + i)}") for i in range(len(parts))]
    return [_side_by_side(view, cells, label) for cells, label in zip(parts, labels, strict=True)]


def _full(view: View) -> Node:
    notes, rows = Notes(), []
    for cell in view.cells:
        rows += [nodes.group(cell["name"])] if len(view.cells) > 1 else []
        rows += [_row(view, cell, entry, notes) for entry in cell["entries"]]
    columns = [nodes.column("Precision"), nodes.column(f"{view.heading}\n[95 % CI]", "right")]
    if view.others:
        columns += [
            nodes.column("Difference\n[95 % CI]", "right"),
            nodes.column("p (Holm)", "right"),
            nodes.column(f"{'Images' if view.words.detections else 'Answers'}\nchanged", "right"),
            nodes.column("Verdict", wide=True),
            nodes.column("Accepted"),
        ]
    caption = nodes.inline(
        "{label} of every precision on the same {n}{differences}.{bold}",
        bold=" Bold: recommended." if _chosen(view.cells) else "",
        label=view.heading,
        n=view.main["counted"],
        differences=f", and its difference from {view.e.baseline} in {view.words.noun}{view.words.direction}"
        if view.others
        else " with its 95 % interval",
    )
    return nodes.table(view.label("quality"), caption, columns, rows, [*notes.lines(), *_left_out(view)])


def _left_out(view: View) -> list[str]:
    """What is not in the table because it could not run, each with the reason."""
    return [one["sentence"] for one in view.e.verdicts["machine"]["left_out"]]


def _chosen(cells: Sequence[Record]) -> bool:
    return any(cell["recommendation"]["precision"] for cell in cells) and len(cells[0]["entries"]) > 1


def _level(metric: Record, notes: Notes) -> list[Node]:
    if "value" not in metric:
        return notes.absent(metric.get("absent"))
    return nodes.text(" ".join(filter(None, (metric["text"], metric["interval"]))))


def _row(view: View, cell: Record, entry: Record, notes: Notes) -> Node:
    metric, name = view.metric(entry), entry["precision"]
    value = _level(metric, notes)
    if not view.others:
        return nodes.row(name, value)
    best = cell["recommendation"]["precision"] == name
    if entry["baseline"]:
        return nodes.row(f"{name} (baseline)", value, "", "", "", "", "", strong=best)
    difference = metric.get("difference", {})
    if entry["kind"] == "not-compared":
        return nodes.row(name, value, notes.absent(entry["sentence"]), "", "", entry["word"], "")
    return nodes.row(
        name,
        value,
        f"{difference['text']} {difference['interval']}",
        difference["p"].removeprefix("p = ").removeprefix("p "),
        entry["changed"],
        entry["word"],
        nodes.text("yes" if entry["accepted"] else "no") + notes.mark(entry["accepted_in_short"]),
        strong=best,
    )


def _side_by_side(view: View, cells: Sequence[Record], label: str) -> Node:
    """The differences of several models and conditions, a column each."""
    notes, rows = Notes(), []
    for i, precision in enumerate(view.e.precisions):
        shown = []
        for cell in cells:
            entry = cell["entries"][i]
            metric = view.metric(entry)
            difference = metric.get("difference", {})
            if entry["baseline"]:
                said = _level(metric, notes)
            elif "value" in difference:
                said = nodes.text(f"{difference['text']} {difference['interval']} {entry['mark']}")
                marks = "a" * entry["accepted"] + ", r" * (cell["recommendation"]["precision"] == precision)
                said += [{"t": "sup", "text": marks.removeprefix(", ")}] if marks else []
            else:
                said = notes.absent(entry["sentence"])
            shown.append(said)
        rows.append(nodes.row(precision + " (baseline)" * (precision == view.e.baseline), *shown))
    key = ", ".join(f"{kind['mark']} {kind['word']}" for kind in view.e.verdicts["kinds"])
    caption = nodes.text(
        f"{view.heading} of {view.e.baseline}, and the difference of every other precision from it in "
        f"{view.words.noun}{view.words.direction}, with 95 % intervals, on the same {view.main['counted']}. "
        f"{key}; a: accepted; r: recommended."
    )
    columns = [nodes.column("Precision"), *(nodes.column(cell["name"].replace(", ", "\n"), "right") for cell in cells)]
    return nodes.table(label, caption, columns, rows, [*notes.lines(), *_left_out(view)])
