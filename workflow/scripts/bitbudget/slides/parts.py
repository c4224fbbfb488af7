"""Slides of parts: the primary metric by kinds of items, and what each module group loses by itself."""

from __future__ import annotations

from typing import Any

from bitbudget import verdicts
from bitbudget.slides import charts
from bitbudget.slides.cells import Panel
from bitbudget.slides.charts import Span
from bitbudget.slides.texts import capital, shortened, some

Slide = dict[str, Any]

TYPES = 7  # rows of a table


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
    rows, apart = [], []
    for name in sorted(types, key=lambda name: -types[name]["n"]):
        values = {one: found[name]["value"] for one, found in parts.items() if "value" in found.get(name, {})}
        worst = min(values, key=lambda one: sign * values[one])
        apart.append(max(values.values()) - min(values.values()))
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
    spread = max(metric["value"] for metric in types.values()) - min(metric["value"] for metric in types.values())
    unit = " points" if panel.words.share else ""
    title = (
        f"{capital(panel.words.label)} differs by {form.size(spread)}{unit} between kinds of {words}, by at most "
        f"{form.size(max(apart))} between precisions within a kind"
    )
    return {
        "kind": "table",
        "title": title,
        "heading": panel.heading,
        "columns": [words, "n", f"{shortened(panel.evidence.baseline, 16)} (baseline)", _worst(panel)],
        "align": ["left", "right", "right", "right"],
        "rows": rows[:TYPES],
        "left": max(len(rows) - TYPES, 0),
        "where": "scores.json",
        "notes": ["n: items of a kind."],
    }


def _worst(panel: Panel) -> str:
    return "lowest of all" if panel.words.higher_is_better else "highest of all"


def ablation(panel: Panel) -> Slide | None:
    """What each part of the model loses when it alone is quantized; None where the study has no ablation."""
    mine = (panel.model, panel.condition)
    table = [row for row in panel.evidence.ablation if (row["model"], row["condition"]) == mine]
    parts = [row for row in table if row["row"] == "group" and row["difference"] is not None]
    if not parts:
        return None
    words, factor = panel.words, panel.words.factor
    spans, texts = [], {}
    for row in [*parts, *(one for one in table if one["row"] == "every-group" and one["difference"] is not None)]:
        ends = [row["difference_ci_low"], row["difference_ci_high"]]
        known = None not in ends
        metric = {"value": row["difference"], "ci": ends if known else None, "baseline": 1.0}
        texts[row["group"]] = f"{panel.signed(metric)}"
        colour = charts.KIND_COLOURS.get(row["verdict"], charts.COLOUR)
        low, high = (end * factor for end in ends) if known else (None, None)
        name = "every group at once" if row["row"] == "every-group" else row["group"]
        spans.append(Span(name, row["difference"] * factor, low, high, texts[row["group"]], colour))
    worst = min(parts, key=lambda row: words.sign * row["difference"])
    form = panel.evidence.study["ablation"]["format"]
    form = form if isinstance(form, str) else form["format"]
    unit = " (points)" if words.share else ""
    better = "higher" if words.higher_is_better else "lower"
    title = f"In {form}, {worst['group']} alone matters most: {texts[worst['group']]} {words.noun}"
    if worst["verdict"] != verdicts.LOSS:
        title = f"In {form}, no part alone shows a loss; lowest {worst['group']}: {texts[worst['group']]} {words.noun}"
    return {
        "kind": "forest",
        "title": title,
        "heading": panel.heading,
        "chart": charts.forest(
            spans, f"difference in {words.label}{unit}, {better} is better", lines=[(0.0, "solid")], holds=[0.0]
        ),
        "notes": [*charts.left_out(spans), "One module group quantized at a time; 95 % intervals."],
    }
