"""Speed against precision: what the track counts per second; one row of panels per model."""

from __future__ import annotations

import re

from matplotlib.figure import Figure

from bitbudget.publishing.figures import costs, rows, style
from bitbudget.publishing.figures.costs import WIDENED, Cost
from bitbudget.publishing.figures.study import Study

MOST = 4  # panels side by side
AXES = {"prefill_rate": "prefill at batch size 1", "decode_rate": "decode at batch size 1"}
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
    said = [*_notes(study, shown), *footnotes.lines(), *study.delegates()]
    said += study.warnings(*(cost.metric for cost in shown))
    style.notes(figure, [*said, study.provenance(), study.note])
    return figure


def _shown(study: Study) -> list[Cost]:
    """The rates that any row has: of a text's phases, then of whole answers; one that says there is none."""
    measured = [name for name in study.rates if any(row.costs[name].value is not None for row in study.rows)]
    ordered = sorted(measured, key=lambda name: name not in AXES)
    return [_cost(study, name) for name in ordered or list(study.rates)[:1]]


def _cost(study: Study, name: str) -> Cost:
    unit, size = study.rates[name], re.sub(r"\D", "", name)
    counted = "new tokens" if name.startswith("token_rate_") else unit.removesuffix("/s")
    return Cost(name, "", AXES.get(name, f"{counted} at batch size {size}"), unit)


def _notes(study: Study, shown: list[Cost]) -> list[str]:
    quantities = [row.costs[cost.metric] for row in study.rows for cost in shown]
    if all(quantity.value is None for quantity in quantities):
        return []
    times = f"; {style.TIMES} is against it" if any(quantity.times for quantity in quantities) else ""
    lines = f"Longer is faster. Dashed: the baseline{times}."
    if any(quantity.low is not None for quantity in quantities):
        lines += " Thin lines: 95 % interval."
    if any(quantity.repeats > 1 and quantity.low is not None for quantity in quantities):
        lines += f" {WIDENED}"
    if any(cost.metric.startswith("token_rate_") for cost in shown):
        lines += " New tokens: of whole answers, prefill included."
    return [lines]
