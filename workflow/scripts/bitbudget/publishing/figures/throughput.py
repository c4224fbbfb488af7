"""Speed against precision: tokens, or items, a second; one row of panels a model."""

from __future__ import annotations

import re

from matplotlib.figure import Figure

from bitbudget.publishing.figures import costs, rows, style
from bitbudget.publishing.figures.costs import WIDENED, Cost
from bitbudget.publishing.figures.study import Study

MOST = 4  # panels side by side
PITCH = 0.8 * style.ROW  # inches from bar to bar


def draw(study: Study) -> Figure:
    """The figure: reading and writing at batch size 1, and what all of it comes to at each batch size."""
    shown = _shown(study)
    bands = -(-len(shown) // MOST)
    columns = -(-len(shown) // bands)
    facets = [rows.blocks(study, [model], study.conditions) for model in study.models]
    heights = [rows.height(made) * PITCH for made in facets for _ in range(bands)]
    figure = style.new_figure(style.WIDTH, sum(heights) + 0.68 * len(heights) + 0.85)
    figure.get_layout_engine().set(w_pad=0.07, h_pad=0.06)
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    footnotes = style.Footnotes()
    for facet, (model, made) in enumerate(zip(study.models, facets, strict=True)):
        for i, cost in enumerate(shown):
            band, column = divmod(i, columns)
            axes = figure.add_subplot(grid[facet * bands + band, column])
            costs.panel(axes, study, cost, made, footnotes, columns=columns, labels=column == 0)
            if i == 0 and len(facets) > 1:
                axes.set_title(model, loc="left", fontweight="bold", fontsize=8.5)
    style.title(figure, "Throughput by precision")
    said = [*_notes(study, shown), *footnotes.lines(), *study.delegates(), *study.warnings()]
    style.notes(figure, [*said, study.provenance(), study.note])
    return figure


def _shown(study: Study) -> list[Cost]:
    """What there is to show: rates of tokens as far as any row has one, else of items; one that says there is none."""
    measured = [name for name in study.rows[0].costs if any(row.costs[name].value is not None for row in study.rows)]
    by_batch = [name for name in measured if name.startswith("token_rate_")]
    by_batch = by_batch or [name for name in measured if name.startswith("throughput_")]
    names = [name for name in ("prefill_rate", "decode_rate") if name in measured] + by_batch
    return [_cost(study, name) for name in names or ["decode_rate"]]


def _cost(study: Study, name: str) -> Cost:
    size = re.sub(r"\D", "", name)
    unit = f"{study.item}s/s" if name.startswith("throughput_") else "tokens/s"
    if name == "prefill_rate":
        return Cost(name, "", "prefill at batch size 1", unit)
    if name == "decode_rate":
        return Cost(name, "", "decode at batch size 1", unit)
    counted = {"items/s": "answers", "tokens/s": "new tokens"}.get(unit, "throughput")
    return Cost(name, "", f"{counted} at batch size {size}", unit)


def _notes(study: Study, shown: list[Cost]) -> list[str]:
    quantities = [row.costs[cost.metric] for row in study.rows for cost in shown]
    if all(quantity.value is None for quantity in quantities):
        return []
    lines = f"Longer is faster. Dashed: the baseline; {style.TIMES} is against it."
    if any(quantity.low is not None for quantity in quantities):
        lines += " Thin lines: 95 % interval."
    if any(quantity.repeats > 1 and quantity.low is not None for quantity in quantities):
        lines += f" {WIDENED}"
    if any(cost.metric.startswith("token_rate_") for cost in shown):
        lines += " New tokens: of whole answers, prefill included."
    return [lines]
