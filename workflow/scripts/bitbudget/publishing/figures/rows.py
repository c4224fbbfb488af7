"""What the charts of rows share: precisions from top to bottom, in blocks of one model and condition each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bitbudget.publishing.figures import style
from bitbudget.publishing.figures.study import Quantity, Row, Study

HEADER = 0.9  # rows that the heading of a block takes
GAP = 0.35  # rows between blocks


@dataclass(frozen=True)
class Slot:
    """A row of the study and where it stands (y grows downwards)."""

    y: float
    row: Row


@dataclass(frozen=True)
class Block:
    """The rows of one model and condition, with the heading that tells them from other blocks (None: only one)."""

    heading: str | None
    top: float
    slots: Sequence[Slot]

    @property
    def baseline(self) -> Row | None:
        return next((slot.row for slot in self.slots if slot.row.baseline), None)


def blocks(study: Study, models: Sequence[str], conditions: Sequence[str]) -> list[Block]:
    """Stack the rows of these models and conditions."""
    made: list[Block] = []
    y = 0.0
    for model in models:
        for condition in conditions:
            names = [name for name, many in ((model, len(models) > 1), (condition, len(conditions) > 1)) if many]
            top = y
            y += HEADER if names else 0
            slots = [Slot(y + i, row) for i, row in enumerate(study.of(model, condition))]
            y += len(slots) + GAP
            made.append(Block(" · ".join(names) or None, top, slots))
    return made


def height(made: Sequence[Block]) -> float:
    """Rows that the blocks take."""
    return sum(len(block.slots) + (HEADER if block.heading else 0) for block in made) + GAP * (len(made) - 1)


def prepare(axes: Axes, made: Sequence[Block], *, labels: bool = True) -> None:
    """Row guides, the precisions' names, and the headings of the blocks."""
    slots = [slot for block in made for slot in block.slots]
    axes.set_ylim(max(slot.y for slot in slots) + 0.62, -0.62)
    axes.set_yticks([slot.y for slot in slots])
    axes.tick_params(axis="y", length=0, labelleft=labels)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(few_ticks())
    axes.grid(axis="x", color=style.GUIDE, linewidth=0.6)
    if labels:
        axes.set_yticklabels([f"{s.row.precision} (baseline)" if s.row.baseline else s.row.precision for s in slots])
        for block in made:
            if block.heading:
                axes.annotate(
                    block.heading,
                    (0, block.top),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    fontweight="bold",
                    fontsize=8,
                    bbox=style.PLATE,
                )


def few_ticks(most: int = 5) -> MaxNLocator:
    """Few ticks at round numbers."""
    return MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10])


def reference_lines(axes: Axes, made: Sequence[Block], value_of: Callable[[Row], float | None]) -> None:
    """A dashed line at the baseline's value, over the rows that are compared with it."""
    for block in made:
        value = value_of(block.baseline) if block.baseline else None
        if value is not None:
            ends = [block.slots[0].y - 0.5, block.slots[-1].y + 0.5]
            axes.plot([value, value], ends, color=style.BASELINE, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1.5)


def not_measured(
    axes: Axes, y: float, quantity: Quantity, footnotes: style.Footnotes, words: str = "not measured"
) -> None:
    """An explicit mark in place of a value that is absent, with the number of its reason."""
    axes.annotate(
        f"{words} {footnotes.mark(quantity.reason)}",
        (0, y),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=7,
        style="italic",
        color=style.MUTED,
        bbox=style.PLATE,
    )
