"""Slides of parts: the primary metric by kinds of items, and what each module group loses by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.judging import verdicts
from bitbudget.publishing.slides import charts
from bitbudget.publishing.slides.cells import Panel
from bitbudget.publishing.slides.charts import Span
from bitbudget.publishing.slides.texts import shortened, some
from bitbudget.publishing.typesetting.texts import kinds_in_order

Slide = dict[str, Any]
Record = Mapping[str, Any]

TYPES = 9  # rows of a table


def by_type(panel: Panel) -> Slide | None:
    """The primary metric by the first kind of items that the scores tell apart; None where they tell none."""
    key = (panel.model, panel.evidence.baseline, panel.condition)
    kinds = panel.evidence.scores[key].get("breakdown") or {}
    kind = next((name for name, types in kinds.items() if len(types) > 1), None)
    if kind is None:
        return None
    names = panel.evidence.precisions
    parts = {
        name: panel.evidence.scores[panel.model, name, panel.condition].get("breakdown", {}).get(kind, {})
        for name in names
    }
    types = {name: metric for name, metric in kinds[kind].items() if "value" in metric}
    if len(types) < 2:
        return None
    form = panel.form(panel.quality(panel.evidence.baseline))  # the same decimals in all cells
    sign = panel.words.sign
    rows, drops = [], []
    for name in kinds_in_order(types):
        values = {one: found[name]["value"] for one, found in parts.items() if "value" in found.get(name, {})}
        worst = min(values, key=lambda one: sign * values[one])
        drops.append((sign * (types[name]["value"] - values[worst]), name, worst, values[worst]))
        same = [one for one in values if values[one] == values[worst]]
        who = "all the same" if len(same) == len(values) else some(same, 1)
        rows.append(
            [
                shortened(name, 22),
                str(types[name]["n"]),
                form.level(types[name]["value"]),
                f"{form.level(values[worst])} ({shortened(who, 30)})",
            ]
        )
    words = kind.replace("_", " ")
    drop, name, worst, value = max(drops)
    title = f"In no kind of {words} does a precision fall behind {panel.evidence.baseline}"
    if drop > 0:
        kept = form.level(types[name]["value"])
        tokens = "token" if name == "1" else "tokens"
        where = f"words of {name} {tokens}" if kind == "target_tokens" else f"“{name}” ({words})"
        title = f"The largest drop is in {where}: {worst} reaches {form.level(value)} instead of {kept}"
    return {
        "kind": "table",
        "title": title,
        "heading": panel.heading,
        "columns": [words, "items", f"{shortened(panel.evidence.baseline, 16)} (baseline)", _worst(panel)],
        "align": ["left", "right", "right", "right"],
        "rows": rows[:TYPES],
        "left": max(len(rows) - TYPES, 0),
        "where": "scores.json",
        "notes": [],
    }


def _worst(panel: Panel) -> str:
    return "lowest of all" if panel.words.higher_is_better else "highest of all"


def ablation(panel: Panel) -> Slide | None:
    """What each part of the model loses when it alone is quantized; None where the study has no ablation."""
    table = _rows(panel)
    parts = _groups(table)
    if not parts:
        return None
    words, factor = panel.words, panel.words.factor
    spans, texts = [], {}
    for row in [*parts, *(one for one in table if one["row"] == "every-group" and one["difference"] is not None)]:
        ends = [row["difference_ci_low"], row["difference_ci_high"]]
        known = None not in ends
        texts[row["group"]] = _changed(panel, row)
        colour = charts.KIND_COLOURS.get(row["verdict"], charts.COLOUR)
        low, high = (end * factor for end in ends) if known else (None, None)
        name = "every group at once" if row["row"] == "every-group" else row["group"]
        spans.append(Span(name, row["difference"] * factor, low, high, texts[row["group"]], colour))
    worst = min(parts, key=lambda row: words.sign * row["difference"])
    form = ablated_format(panel)
    unit = " (points)" if words.share else ""
    better = "higher" if words.higher_is_better else "lower"
    title = f"In {form}, {worst['group']} alone matters most: {texts[worst['group']]} {words.noun}"
    if worst["verdict"] != verdicts.LOSS:
        title = f"In {form}, no part alone shows a loss; lowest {worst['group']}: {texts[worst['group']]} {words.noun}"
    return {
        "kind": "forest",
        "about": "ablation",
        "title": title,
        "heading": panel.heading,
        "chart": charts.forest(
            spans, f"difference in {words.label}{unit}, {better} is better", lines=[(0.0, "solid")], holds=[0.0]
        ),
        "notes": [*charts.left_out(spans), "One module group quantized at a time; 95 % intervals."],
    }


def _rows(panel: Panel) -> list[Record]:
    mine = (panel.model, panel.condition)
    return [row for row in panel.evidence.ablation if (row["model"], row["condition"]) == mine]


def _groups(table: Sequence[Record]) -> list[Record]:
    return [row for row in table if row["row"] == "group" and row["difference"] is not None]


def _changed(panel: Panel, row: Record) -> str:
    ends = [row["difference_ci_low"], row["difference_ci_high"]]
    return panel.signed({"value": row["difference"], "ci": None if None in ends else ends, "baseline": 1.0})


def ablated_format(panel: Panel) -> str:
    """The format to which one group at a time was brought."""
    form = panel.evidence.study["ablation"]["format"]
    return form if isinstance(form, str) else form["format"]


def findings(panel: Panel) -> list[tuple[str, str, bool]]:
    """Every group with what it changes when it alone is quantized, the worst first, and whether that is a loss."""
    parts = sorted(_groups(_rows(panel)), key=lambda row: panel.words.sign * row["difference"])
    return [(row["group"], _changed(panel, row), row["verdict"] == verdicts.LOSS) for row in parts]
