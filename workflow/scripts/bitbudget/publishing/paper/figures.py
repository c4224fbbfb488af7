"""The charts of the paper, which its template draws from the records at the width of a column: quality and costs."""

from __future__ import annotations

from typing import Any

from bitbudget.judging import recommendation, summary, verdicts
from bitbudget.judging.comparison_kinds import NOISE_FLOOR
from bitbudget.judging.pareto import pareto_front
from bitbudget.measuring.phase_names import PHASES
from bitbudget.publishing.paper import nodes
from bitbudget.publishing.paper.nodes import Unit
from bitbudget.publishing.paper.view import Record, View
from bitbudget.publishing.typesetting import charts
from bitbudget.publishing.typesetting.charts import Point, Span
from bitbudget.telling import wording
from bitbudget.telling.breakdown import in_order as kinds_in_order

MOST_PANELS = 6  # of models and conditions beside each other over both columns
IN_A_COLUMN = 2  # panels of a chart that stays in one column
MOST_ROWS = 24
BAR = "#5585B5"
# The study's figures that show what a chart of the paper does, of all models and conditions.
FILES = {
    "difference": ("quality_delta",),
    "ablation": ("ablation",),
    "phases": ("latency",),
    "memory-energy": ("memory", "energy"),
}
# Of the parts of a latency, as in the study's figures; a test holds them together.
PHASE_COLOURS = ("#D5DCE4", "#9DB7D3", "#5585B5", "#1F4E79", "#5585B5", "#1F4E79")
TITLES = {"weights in memory": "weights", "peak memory of the process": "peak", "energy": "energy"}
LOSS, GAIN = "orange", "green"  # what the colours of verdicts are called


def of_quality(view: View) -> list[Unit]:
    """What each precision, or each module group, changes."""
    found = [_differences(view), _ablation(view), _by_type(view)]
    return [unit for unit in found if unit]


def of_costs(view: View) -> list[Unit]:
    """Quality against the preferred cost, the parts of the latency, and memory and energy."""
    found = [_trade_off(view), _phases(view), _bars(view)]
    return [unit for unit in found if unit]


def _unit(
    view: View, name: str, kind: str, said: str, caption: str, rank: int, wide: bool = False, **more: Any
) -> Unit:
    """A chart; `files` are those of the study that stand for it in paper.md, under `short`."""
    label = view.label(f"figure-{name}")
    shown = more.pop("files", FILES.get(name, ()))
    study = f" Study {view.e.name}." if view.several else ""
    block = {
        "t": "chart",
        "kind": kind,
        "wide": wide,
        "label": label,
        "alt": caption,
        "caption": nodes.text(caption + study),
        "files": [view.figure(file) for file in shown],
        "short": caption.split(". ")[0].replace(_of(view), "").rstrip(".") + "." + study,
        **more,
    }
    return Unit([nodes.brief(f"[#{label}] shows {said}."), block], rank)


def _better(view: View) -> str:
    return "higher is better" if view.words.higher_is_better else "lower is better"


def _of(view: View) -> str:
    """The main model and condition in brackets, where there are several."""
    name = view.cell_name(view.model, view.condition)
    return f" ({name})" if name else ""


def _differences(view: View) -> Unit | None:
    """A panel for each model and condition: the difference of every precision and of the baseline repeated."""
    cells = view.cells[:MOST_PANELS]
    rows = {cell: _rows(view, *cell) for cell in cells}
    spans = [span for found in rows.values() for span in found]
    ablated = {row["precision"] for row in view.e.ablation}
    if not view.others or all(span.value is None for span in spans) or ablated >= set(view.others):
        return None
    limits = {cell: limit for cell in cells if (limit := _limit(view, *cell)) is not None}
    scale = charts.scale_of([*charts.ends_of(spans), 0.0, *limits.values()])
    unit = " (points)" if view.words.share else ""
    panels = []
    for cell in cells:
        lines = [(0.0, "solid"), *([(limits[cell], "dashed")] if cell in limits else [])]
        ticks = 5 if len(cells) == 1 else 3
        chart = charts.forest(rows[cell], "", lines=lines, most=MOST_ROWS, ticks=ticks, scale=scale)
        panels.append({"title": view.cell_name(*cell), "chart": chart})
    kinds = {(view.e.verdict_of(model, name, condition) or {}).get("kind") for model, condition in cells
             for name in view.others}  # fmt: skip
    key = [f"{colour}: {word}" for colour, kind, word in ((LOSS, verdicts.LOSS, "loss"), (GAIN, verdicts.GAIN, "gain"))
           if kind in kinds]  # fmt: skip
    filled = f" Filled: clear after Holm's correction ({', '.join(key)})." if key else ""
    repeated = any(span.baseline for span in spans)
    left = len(view.cells) - len(cells)
    caption = (
        f"Difference in {view.words.label} from {view.e.baseline} with its 95 % interval.{filled}"
        + (" Diamond: the baseline repeated." if repeated else "")
        + (f" Dashed: {100 * view.e.study['accept']['quality']:g} % of the baseline's quality." if limits else "")
        + (f" {nodes.count(left, 'more model and condition', 'more models and conditions')}: see summary.csv."
           if left else "")
    )  # fmt: skip
    said = f"the differences from {view.e.baseline}"
    axis = f"difference in {view.words.label}{unit}, {_better(view)}"
    return _unit(view, "difference", "forest", said, caption, 1, len(cells) > IN_A_COLUMN, panels=panels, axis=axis)


def _rows(view: View, model: str, condition: str) -> list[Span]:
    found = []
    for one in view.e.comparison["comparisons"]:
        if (one["kind"], one["model"], one["condition"]) == (NOISE_FLOOR, model, condition):
            metric = one["metrics"].get(view.e.primary, {})
            if "value" in metric:
                found.append(_span(view, f"{view.e.baseline} repeated", metric, charts.BASELINE, baseline=True))
    for name in view.others:
        metric = view.difference(model, name, condition)
        kind = (view.e.verdict_of(model, name, condition) or {}).get("kind")
        colour = charts.KIND_COLOURS.get(kind, charts.COLOUR)
        found.append(_span(view, name, metric or {}, colour, filled=kind in charts.KIND_COLOURS))
    return found


def _span(view: View, name: str, metric: Record, colour: str, *, baseline: bool = False, filled: bool = True) -> Span:
    factor = view.words.factor
    low, high = (end * factor for end in metric["ci"]) if metric.get("ci") else (None, None)
    value = metric["value"] * factor if "value" in metric else None
    return Span(name, value, low, high, "", colour, baseline, filled)


def _limit(view: View, model: str, condition: str) -> float | None:
    """The difference at which a precision is no longer accepted, in the written unit."""
    base = view.metric(model, view.e.baseline, condition).get("value")
    share = view.e.study["accept"]["quality"]
    if base is None:
        return None
    return view.words.factor * base * (share - 1 if view.words.higher_is_better else 1 / share - 1)


def _ablation(view: View) -> Unit | None:
    """What each module group loses by itself, and all of them together."""
    here = [row for row in view.e.ablation if (row["model"], row["condition"]) == (view.model, view.condition)]
    known = [row for row in here if row["difference"] is not None and row["row"] in ("group", "every-group")]
    if not known:
        return None
    spans = []
    for row in sorted(known, key=lambda row: row["row"] == "every-group"):
        ends = (row["difference_ci_low"], row["difference_ci_high"])
        metric = {"value": row["difference"], "ci": None if None in ends else ends}
        name = "every group at once" if row["row"] == "every-group" else row["group"]
        colour = charts.KIND_COLOURS.get(row["verdict"], charts.COLOUR)
        spans.append(_span(view, name, metric, colour, filled=row["verdict"] in charts.KIND_COLOURS))
    chart = charts.forest(spans, "", lines=[(0.0, "solid")], holds=[0.0], most=MOST_ROWS)
    unit = " (points)" if view.words.share else ""
    left = len(spans) - len(chart["rows"])
    caption = (
        f"Ablation{_of(view)}: what each module group loses when it alone is in the low format, with 95 % intervals. "
        "Filled: clear after Holm's correction." + (f" {left} more: see ablation.csv." if left else "")
    )
    axis = f"difference in {view.words.label}{unit}, {_better(view)}"
    panels = [{"title": "", "chart": chart}]
    return _unit(view, "ablation", "forest", "the module groups one at a time", caption, 1, panels=panels, axis=axis)


def _by_type(view: View) -> Unit | None:
    """The primary metric by the first kind of items that the scores tell apart, as a table of one column."""
    scores = {name: view.e.scores[view.model, name, view.condition] for name in view.e.precisions}
    breakdown = scores[view.e.baseline].get("breakdown") or {}
    kind = next((name for name, types in breakdown.items() if len(types) > 1), None)
    if kind is None:
        return None
    form, rows = view.format_of(view.e.primary, view.metric(view.model, view.e.baseline, view.condition)), []
    for name in kinds_in_order(breakdown[kind]):
        metric = breakdown[kind][name]
        found = [one.get("breakdown", {}).get(kind, {}).get(name, {}) for one in scores.values()]
        values = [one["value"] for one in found if "value" in one]
        if "value" not in metric:
            continue
        ends = [form.level(min(values)), form.level(max(values))]
        across = [ends[0] if ends[0] == ends[1] else " to ".join(ends)] if view.others else []
        own = form.level(metric["value"]) if view.others else view.level(metric)
        rows.append(nodes.row(name, f"{metric['n']}", own, *across))
    if len(rows) < 2:
        return None
    caption = nodes.text(
        f"{view.words.label[:1].upper()}{view.words.label[1:]} by {kind.replace('_', ' ')}{_of(view)}"
        + (
            f": of the baseline, and the range over all {len(view.e.precisions)} precisions."
            if view.others
            else ", with 95 % intervals."
        )
    )
    columns = [nodes.column(kind.replace("_", " ").capitalize(), wide=True)]
    columns += [
        nodes.column(title, "right") for title in ("n", view.e.baseline, *["All precisions"] * bool(view.others))
    ]
    label = view.label("types")
    said = nodes.brief(f"[#{label}] tells kinds of items apart.")
    return Unit([said, nodes.table(label, caption, columns, rows, wide=False)], 4)


def _trade_off(view: View) -> Unit | None:
    """Quality against the cost that the study prefers; None where fewer than two precisions have both."""
    rows = [view.e.row(view.model, name, view.condition) for name in view.e.precisions]
    base = view.e.row(view.model, view.e.baseline, view.condition)
    cost = recommendation.preferred(view.e.study["accept"]["prefer"], rows)
    metrics = {name: view.metric(view.model, name, view.condition) for name in view.e.precisions}
    shown = [
        row
        for row in rows
        if not recommendation.unusable(row, base)
        and row[cost.column] is not None
        and "value" in metrics[row["precision"]]
    ]
    if len(shown) < 2:
        return None
    costs = [row[cost.column] for row in shown]
    factor, unit = wording.unit_for(cost.unit, max(costs))
    levels = [metrics[row["precision"]]["value"] for row in shown]
    front = pareto_front(costs, levels, higher_is_better=view.words.higher_is_better)
    colours = charts.colours_of(view.e.precisions, view.e.baseline)
    points = []
    for row, on in zip(shown, front, strict=True):
        name = row["precision"]
        span = _span(view, name, metrics[name], colours[name])
        points.append(Point(name, row[cost.column] * factor, span.value, span.low, span.high, span.colour, on,
                            name == view.e.baseline))  # fmt: skip
    y_axis = f"{view.words.label}{' (%)' if view.words.share else ''}, {_better(view)}"
    chart = charts.scatter(points, f"{cost.name} ({unit}), less is better", y_axis, charts.COLUMN)
    left = len(rows) - len(shown)
    caption = (
        f"{view.words.label[:1].upper()}{view.words.label[1:]} against {cost.name}{_of(view)}, with 95 % intervals. "
        "Filled: no other precision is as good in both and better in one. Diamond: the baseline."
        + (f" {nodes.count(left, 'precision has', 'precisions have')} no comparable cost." if left else "")
    )
    files = [f"quality_vs_{view.e.study['accept']['prefer']}"]
    said = f"{view.words.label} against {cost.name}"
    return _unit(view, "trade-off", "scatter", said, caption, 2, chart=chart, files=files)


def _phases(view: View) -> Unit | None:
    """The median latency of every precision by its parts."""
    phases = [f"latency_{name}" for name in summary.phases_of(view.track)]
    found = {name: view.e.measurements[view.model, name, view.condition]["metrics"] for name in view.e.precisions}
    usable = {
        name: metrics
        for name, metrics in found.items()
        if "value" in metrics.get("latency", {}) and any("value" in metrics.get(phase, {}) for phase in phases)
    }
    if len(usable) < min(2, len(found)):
        return None
    named = [phase for phase in phases if any("value" in metrics.get(phase, {}) for metrics in usable.values())]
    totals = {name: metrics["latency"]["value"] for name, metrics in usable.items()}
    factor, unit = wording.unit_for("s", max(totals.values()))
    rows = [
        (
            name,
            [metrics.get(phase, {}).get("value", 0.0) for phase in named],
            f"{wording.number(totals[name] * factor)} {unit}",
        )
        for name, metrics in list(usable.items())[:MOST_ROWS]
    ]
    colours = dict(zip(PHASES, PHASE_COLOURS, strict=True))
    chart = charts.stacks(rows, [(PHASES[phase], colours[phase]) for phase in named])
    item = "image" if view.words.detections else "item"
    caption = (
        f"Latency of one {item} by phase{_of(view)}: medians of the phases, which are timed apart, and beside the bars "
        "the median of the whole."
    )
    return _unit(view, "phases", "stacks", "where the time goes", caption, 4, chart=chart)


def _bars(view: View) -> Unit | None:
    """Memory and energy of every precision, as far as they were measured."""
    shown: list[tuple[str, list[Span]]] = []
    said = []
    for cost, what in (
        (recommendation.WEIGHTS, "weights in memory"),
        (recommendation.PEAK, "peak memory of the process"),
        (recommendation.ENERGY, "energy"),
    ):
        values = view.measured(cost.column)
        if len(values) < 2:
            continue
        factor, unit = wording.unit_for(cost.unit, max(values.values()))
        spans = [
            Span(
                name, values.get(name), text=wording.number(values[name] * factor) if name in values else "\N{EM DASH}"
            )
            for name in view.e.precisions
        ]
        shown.append((f"{TITLES[what]} ({unit})", spans))
        estimated = what == "energy" and any(row.get("energy_how") == "estimated" for row in view.e.summary)
        item = "image" if view.words.detections else "item"
        said.append(f"{'estimated ' * estimated}energy of one {item}" if what == "energy" else what)
    if not shown:
        return None
    colours = [charts.BASELINE if name == view.e.baseline else BAR for name in view.e.precisions]
    chart = charts.bars(view.e.precisions, colours, shown, MOST_ROWS)
    text = wording.listed(said)
    caption = f"{text[:1].upper()}{text[1:]}{_of(view)}; the baseline is dark."
    return _unit(view, "memory-energy", "bars", text, caption, 5, chart=chart)
