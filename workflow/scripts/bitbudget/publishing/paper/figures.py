"""The charts of the paper, drawn at the width of a column or of the page: quality, size, speed, and phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.measuring.phase_names import PHASES, phases_of
from bitbudget.publishing import axis_cut
from bitbudget.publishing.figures import small, style
from bitbudget.publishing.figures.small import Panel, Point, Span
from bitbudget.publishing.paper import nodes
from bitbudget.publishing.paper.nodes import Unit
from bitbudget.publishing.paper.view import View
from bitbudget.telling import breakdown, wording

Record = Mapping[str, Any]

COLUMN, PAGE, LETTER = 237.0, 493.0, 6.8  # points: the width of a column, of both, and the size of letters
HEIGHT = 150.0  # of a scatter chart
MOST_PANELS, MOST_SCATTERS = 6, 3  # of models and conditions side by side
IN_A_COLUMN = 2  # panels of a chart that stays in one column
MOST_ROWS, MOST_BARS = 24, 36
FILLED = ("loss", "gain")
# The study's own figures, which stand for these in paper.md.
FILES = {
    "difference": ("quality_delta",), "ablation": ("ablation",), "phases": ("latency",),
    "overview": ("quality", "size", "memory", "throughput", "energy"),
}  # fmt: skip
TITLES = {"size_on_disk": "size", "weights_in_memory": "weights", "peak_memory": "peak memory", "latency": "latency",
          "energy_per_item": "energy"}  # fmt: skip


def of_quality(view: View) -> list[Unit]:
    """What each precision, or each module group, changes."""
    found = [_differences(view), _ablation(view), _by_type(view)]
    return [unit for unit in found if unit]


def of_costs(view: View) -> list[Unit]:
    """Quality, size and speed of every model and format, quality against the preferred cost, and parts of the
    latency."""
    found = [_overview(view), _trade_off(view), _phases(view)]
    return [unit for unit in found if unit]


def _unit(view: View, name: str, svg: bytes, said: str, caption: str, rank: int, wide: bool = False) -> Unit:
    label, path = view.label(f"figure-{name}"), f"charts/{view.number}-{name}.svg"
    view.charts[path] = svg
    study = f" Study {view.e.name}." if view.several else ""
    files = FILES.get(name) or (f"quality_vs_{view.main['recommendation']['prefer']}",)
    about = {"short": caption.split(". ")[0].rstrip(".") + "." + study, "files": [view.figure(one) for one in files]}
    block = {"t": "figure", "wide": wide, "label": label, "path": path, "alt": caption}
    block |= {"caption": nodes.text(caption + study), **about}
    return Unit([nodes.brief(f"[#{label}] shows {said}."), block], rank)


def _width(wide: bool) -> float:
    return PAGE if wide else COLUMN


def _axis(view: View) -> str:
    unit = view.e.verdicts["metrics"][0]["difference_unit"]
    return f"difference in {view.words.label}{f' ({unit})' if unit else ''}, {view.better}"


def _span(entry: Record, name: str, difference: Record) -> Span:
    """A difference as a row: filled where it is clear."""
    low, high = difference.get("ci") or (None, None)
    filled = entry["kind"] in FILLED
    return Span(name, difference.get("value"), low, high, difference.get("text", ""), entry["colour"], filled=filled)


def _key(view: View, cells: Sequence[Record]) -> str:
    """What filled marks mean, as far as there are any."""
    there = {entry.get("kind") for cell in cells for entry in cell["entries"]} & set(FILLED)
    names = {"#D55E00": "orange", "#009E73": "green"}
    told = [f"{names.get(one['colour'], one['colour'])}: {one['word']}" for one in view.e.verdicts["kinds"]
            if one["kind"] in there]  # fmt: skip
    return f" Filled {', '.join(told)}." if told else ""


def _differences(view: View) -> Unit | None:
    """A panel for each model and condition: the difference of every precision and of the baseline repeated."""
    cells = view.cells[:MOST_PANELS]
    if not view.others or {row["precision"] for row in view.e.ablation} >= set(view.others):
        return None
    panels = []
    for cell in cells:
        spans = [_span(entry, entry["precision"], view.metric(entry).get("difference", {}))
                 for entry in cell["entries"] if not entry["baseline"]]  # fmt: skip
        own = cell["repeated"]
        if own and "value" in own:
            name, (low, high) = f"{view.e.baseline} repeated", own["ci"] or (None, None)
            repeated = Span(name, own["value"], low, high, own["text"], style.BASELINE, baseline=True, filled=False)
            spans.insert(0, repeated)
        panels.append(Panel(cell["name"], spans[:MOST_ROWS]))
    if all(span.value is None for panel in panels for span in panel.spans):
        return None
    limits = [cell["limit"] for cell in cells if cell["limit"] is not None]
    lines = [[(0.0, "solid"), *([(cell["limit"], "dashed")] if cell["limit"] is not None else [])] for cell in cells]
    wide, left = len(cells) > IN_A_COLUMN, len(view.cells) - len(cells)
    svg = small.forest(panels, _axis(view), width=_width(wide), letter=LETTER, lines=lines, holds=[0.0, *limits])
    caption = (
        f"Difference in {view.words.label} from {view.e.baseline} with its 95 % interval.{_key(view, cells)}"
        + (" Diamond: the baseline repeated." if any(cell["repeated"] for cell in cells) else "")
        + (f" Dashed: {100 * view.e.verdicts['accept']['quality']:g} % of the baseline's quality." if limits else "")
        + _cut([span for panel in panels for span in panel.spans], holds=[0.0, *limits])
        + (f" {left} more: see summary.csv." if left else "")
    )
    return _unit(view, "difference", svg, f"the differences from {view.e.baseline}", caption, 1, wide)


def _cut(spans: Sequence[Span], holds: Sequence[float]) -> str:
    """What is to be known where an axis of differences does not hold all; nothing where it does."""
    ends = [span.ends for span in spans if span.value is not None]
    return f" {style.BEYOND}" if axis_cut.ends(ends, holds=holds) else ""


def _quality_cut(spans: Sequence[Span]) -> str:
    own = next((span.value for span in spans if span.baseline and span.value is not None), None)
    ends = [span.ends for span in spans if span.value is not None]
    return f" {style.BEYOND}" if axis_cut.of_quality(ends, own) else ""


def _ablation(view: View) -> Unit | None:
    """What each module group loses by itself, and all of them together."""
    here = [row for row in view.e.ablation if (row["model"], row["condition"]) == (view.model, view.condition)]
    known = [row for row in here if row["difference"] is not None and row["row"] in ("group", "every-group")]
    if not known:
        return None
    spans = []
    for row in sorted(known, key=lambda row: row["row"] == "every-group"):
        entry = view.entry(row["precision"])
        name = "every group at once" if row["row"] == "every-group" else row["group"]
        spans.append(_span(entry, name, view.metric(entry)["difference"]))
    panels = [Panel("", spans[:MOST_ROWS])]
    svg = small.forest(panels, _axis(view), width=COLUMN, letter=LETTER, lines=[[(0.0, "solid")]])
    left = len(spans) - MOST_ROWS
    caption = (
        f"Ablation{view.of_main}: what each module group loses when it alone is in the low format, with 95 % intervals."
        + _key(view, [view.main])
        + (f" {left} more: see ablation.csv." if left > 0 else "")
    )
    return _unit(view, "ablation", svg, "the module groups one at a time", caption, 1)


def _by_type(view: View) -> Unit | None:
    """The primary metric by the first kind of items that the scores tell apart, as a table of one column."""
    told = breakdown.of(view.e, view.main)
    if told is None or len(told["rows"]) < 2:
        return None
    rows = []
    for one in told["rows"]:
        worst = (
            [f"{one['worst']} ({wording.named(one['of'], 2)})" if one["of"] else one["worst"]] if view.others else []
        )
        rows.append(nodes.row(one["name"], f"{one['n']}", one["baseline"], *worst))
    caption = nodes.text(
        f"{view.heading} by {told['kind']}{view.of_main}: of the baseline"
        + (f", and the lowest of all {len(view.e.precisions)} precisions." if view.others else ".")
    )
    columns = [nodes.column(wording.capital(told["kind"])), nodes.column("n", "right")]
    columns += [nodes.column(view.e.baseline, "right"), *([nodes.column("Lowest", wide=True)] if view.others else [])]
    label = view.label("types")
    said = nodes.brief(f"[#{label}] breaks it down by {told['kind']}.")
    return Unit([said, nodes.table(label, caption, columns, rows, wide=False)], 4)


def _overview(view: View) -> Unit | None:
    """Quality, size, memory, speed and energy by model and number format."""
    cells, names = view.cells[: max(1, MOST_BARS // len(view.e.precisions))], []
    about = {one["metric"]: one for one in view.main["costs"]}
    shown = [name for name in view.main["main_costs"]
             if any("value" in entry["costs"][name] for cell in cells for entry in cell["entries"])]  # fmt: skip
    columns: dict[str, list[Span]] = {name: [] for name in ("quality", *shown)}
    colours = style.colours_of(view.e.precisions, view.e.baseline)
    for cell in cells:
        if len(view.cells) > 1:
            names.append(cell["name"])
            for spans in columns.values():
                spans.append(Span(cell["name"], None))
        for entry in cell["entries"]:
            name, metric = entry["precision"], view.metric(entry)
            names.append(name)
            low, high = metric.get("ci") or (None, None)
            own = name == view.e.baseline
            columns["quality"].append(Span(name, metric.get("value"), low, high, metric.get("text", small.ABSENT),
                                           colours[name], own, not own))  # fmt: skip
            for cost in shown:
                found = entry["costs"][cost]
                value = found["value"] * about[cost]["factor"] if "value" in found else None
                text = wording.number(value) if value is not None else small.ABSENT
                columns[cost].append(Span(name, value, text=text, colour=colours[name]))
    if not shown:
        return None
    wide = len(columns) > 3
    panels = [Panel(_title(view, about.get(name)), spans) for name, spans in columns.items()]
    svg = small.bars(names, panels, width=_width(wide), letter=LETTER)
    notes = [f"{about[name]['name']}: {about[name]['note']}" for name in shown if about[name]["note"]]
    said = f" {nodes.capital('; '.join(notes))}." if notes else ""
    disturbed = " Timings were disturbed and are not to be compared." if any(c["disturbed"] for c in cells) else ""
    caption = (
        f"{view.heading} with its 95 % interval, size and speed by {'model and ' * (len(view.e.models) > 1)}number "
        f"format.{said}{disturbed}"
        + _quality_cut(columns["quality"])
        + (f" {len(view.cells) - len(cells)} more: see summary.csv." if len(view.cells) > len(cells) else "")
    )
    return _unit(view, "overview", svg, "quality, size and speed side by side", caption, 2, wide)


def _title(view: View, cost: Record | None) -> str:
    if cost is None:
        unit = view.e.verdicts["metrics"][0]["unit"]
        return view.words.label if not unit or unit in view.words.label else f"{view.words.label} ({unit})"
    if cost["higher_is_better"]:
        return cost["unit"]
    return f"{TITLES.get(cost['metric'], cost['name'])} ({cost['unit']})"


def _trade_off(view: View) -> Unit | None:
    """Quality against the cost that the study prefers, for the models and conditions that have both."""
    metric = view.main["recommendation"]["cost"]
    about = next(one for one in view.main["costs"] if one["metric"] == metric)
    colours, panels = style.colours_of(view.e.precisions, view.e.baseline), []
    for cell in view.cells[:MOST_SCATTERS]:
        points = []
        for entry in cell["entries"]:
            cost, level, name = entry["costs"][metric], view.metric(entry), entry["precision"]
            if "value" not in cost or "value" not in level or "incomparable" in cost:
                continue
            low, high = level["ci"] or (None, None)
            on = name in cell["fronts"][metric]
            points.append(Point(name, level["value"], low, high, level["text"], colours[name], entry["baseline"], on,
                                cost["value"] * about["factor"]))  # fmt: skip
        if len(points) > 1:
            panels.append(Panel(cell["name"], points))
    if not panels:
        return None
    unit = view.e.verdicts["metrics"][0]["unit"]
    y_axis = f"{view.words.label}{f' ({unit})' if unit else ''}, {view.better}"
    wide, left = len(panels) > 1, len(view.cells) > MOST_SCATTERS
    svg = small.scatter(panels, f"{about['name']} ({about['unit']}), less is better", y_axis, width=_width(wide),
                        height=HEIGHT, letter=LETTER)  # fmt: skip
    caption = (
        f"{view.heading} against {about['name']}{'' if wide else view.of_main}, with 95 % intervals. "
        "Filled: no other precision is as good in both and better in one. Diamond: the baseline."
        + "".join(dict.fromkeys(_quality_cut(panel.spans) for panel in panels))
        + (f" Of {len(view.cells)} models and conditions {MOST_SCATTERS} are shown; see summary.csv." if left else "")
    )
    return _unit(view, "trade-off", svg, f"{view.words.label} against {about['name']}", caption, 3, wide)


def _phases(view: View) -> Unit | None:
    """The median latency of every precision by its parts."""
    phases = [f"latency_{name}" for name in phases_of(view.track)]
    found = {name: view.e.measurements[view.model, name, view.condition]["metrics"] for name in view.e.precisions}
    usable = {
        name: metrics
        for name, metrics in found.items()
        if "value" in metrics.get("latency", {}) and any("value" in metrics.get(phase, {}) for phase in phases)
    }
    if len(usable) < min(2, len(found)):
        return None
    there = [phase for phase in phases if any("value" in metrics.get(phase, {}) for metrics in usable.values())]
    texts = {name: view.entry(name)["costs"]["latency"]["with_unit"] for name in usable}
    rows = [
        (name, [found.get(phase, {}).get("value", 0.0) for phase in there], texts[name])
        for name, found in list(usable.items())[:MOST_ROWS]
    ]  # fmt: skip
    colours = dict(zip(PHASES, style.PHASE_COLOURS, strict=True))
    svg = small.stacks(rows, [(PHASES[phase], colours[phase]) for phase in there], width=COLUMN, letter=LETTER)
    caption = (
        f"Latency of one {view.e.verdicts['item']} by phase{view.of_main}: medians of the phases, which are timed "
        "apart, and beside the bars the median of the whole."
        + (" Timings were disturbed and are not to be compared." if view.main["disturbed"] else "")
    )
    return _unit(view, "phases", svg, "where the time goes", caption, 3)
