"""What was found: quality with its intervals, costs, the figures, the floor, and what inspecting the answers showed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.paper import costs, figures, nodes
from bitbudget.publishing.paper.nodes import Node, Notes, Unit
from bitbudget.publishing.paper.view import View, named
from bitbudget.telling import wording

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
    found.append(Unit([nodes.h("Costs"), costs.paragraph(view), costs.table(view, cells_shown(view), rest(view))]))
    return [*found, *figures.of_costs(view)]


def _quality(view: View) -> list[Node]:
    base = view.metric(view.model, view.e.baseline, view.condition)
    start = view.where(view.model, view.condition)
    values = {"start": start, "label": view.words.label, "name": view.e.baseline, "n": f"{base.get('n', view.n)}"}
    if "value" not in base:
        first = nodes.inline(
            "{start}{the} {label} of {name} is absent: {why}",
            **values,
            the="the" if start else "The",
            why=nodes.sentence(base.get("absent", "")),
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
        return nodes.text(f"There is no blind floor: {floor['absent']}") if "absent" in floor else []
    form = view.format_of(view.e.primary, base)
    ends, value = base.get("ci"), floor["value"]
    level = form.level(value)
    if value > 0 and round(value * view.words.factor, form.decimals) == 0:
        level = f"less than {form.level(10.0**-form.decimals / view.words.factor)}"
    text = nodes.text(f"The blind floor is what {view.track.FLOOR} scores: {level}")
    if not ends:
        return [*text, *nodes.text(".")]
    clear = ends[0] > value if view.words.higher_is_better else ends[1] < value
    return [*text, *nodes.text("; the baseline clears it." if clear else "; the baseline does not clear it.")]


def _verdicts(view: View) -> list[list[Node]]:
    """The verdicts of the main model and condition, the clear ones first, then what other cells say."""
    kinds = view.by_kind(view.model, view.condition)
    found: list[list[Node]] = []
    for kind, names in kinds.items():
        if kind in CLEAR:
            for name in names:
                found.append(nodes.text(f"{name}{_said(view, name, kind)}."))
    not_clear = {name for kind in UNSEEN for name in kinds.get(kind, [])}
    unseen = [name for name in view.others if name in not_clear]
    found += _unseen(view, unseen) if unseen else []
    noise = [
        one
        for one in view.e.verdicts["noise_floors"]
        if (one["model"], one["condition"]) == (view.model, view.condition)
    ]
    found += [nodes.text(f"The noise floor, {one['sentence'].rstrip('.')}.") for one in noise]
    return [*found, nodes.text(view.elsewhere())] if view.elsewhere() else found


def _said(view: View, name: str, kind: str) -> str:
    """A clear difference in words, without its p value, which stands in the table; other verdicts in full."""
    metric = view.difference(view.model, name, view.condition)
    if kind not in ("loss", "gain") or metric is None:
        return f": {view.e.verdict_of(view.model, name, view.condition)['sentence']}"
    form = wording.format_of(view.words, metric)
    size, ends = form.size(metric["value"]), form.sizes(metric["ci"])
    if view.words.higher_is_better:
        return f" {'loses' if kind == 'loss' else 'gains'} {size} {view.words.noun} {ends}"
    return f" {'raises' if kind == 'loss' else 'lowers'} {view.words.label} by {size} {ends}{view.words.direction}"


def _unseen(view: View, names: Sequence[str]) -> list[list[Node]]:
    """What is said of the precisions without a clear difference: those that score the same, and the others."""
    same, differ, unknown = [], [], []
    for name in names:
        metric = view.difference(view.model, name, view.condition)
        if metric is None:
            continue
        if metric["value"] == 0:
            same.append(name)
            continue
        seen, form = metric.get("smallest_detectable"), view.format_of(view.e.primary, metric, metric)
        more = f"; a difference of {form.size(seen)} would have been seen" if seen is not None else ""
        unknown += [] if seen is not None else [name]
        differ.append(f"{name} ({view.signed(metric)}{more})")
    found = []
    if differ:
        about = f"{view.words.noun}{view.words.direction}"
        found.append(nodes.text(f"No clear difference was found for {wording.listed(differ)}, in {about}."))
    if same:
        score = "scores" if len(same) == 1 else "score"
        changed = [view.e.comparison_of(view.model, name, view.condition)["answers"]["changed"] for name in same]
        counts = wording.listed([f"{count}" for count in dict.fromkeys(changed)])
        what = "images with other boxes" if view.words.detections else "other answers of the same worth"
        more = f", with {counts} {what}" if any(changed) else ", answer for answer"
        found.append(nodes.text(f"{named(same)} {score} the same as the baseline{more}."))
    if unknown or same:
        about = "" if set(unknown + same) >= set(names) else f" for {named([*same, *unknown])}"
        few = f"too few {view.words.clusters} differ"
        found.append(nodes.text(f"What difference could have been seen{about} could not be told, because {few}."))
    return found


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
        "{label} of every precision{of} on the same {n}{differences}.{bold}{rest}",
        bold=" Bold: recommended." if compared and not view.simulated_only else "",
        label=view.words.label[:1].upper() + view.words.label[1:],
        of=f" ({first})" if first else "",
        n=view.counted(view.n),
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
    best = bool(chosen) and chosen["precision"] == precision and bool(view.others) and not view.simulated_only
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
        nodes.text("yes" if verdict["accepted"] else "no")
        + costs.mark(notes, view.why_accepted(model, precision, condition)),
        strong=best,
    )
