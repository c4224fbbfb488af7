"""The report's charts with the sizes of a slide: letters for the back of a hall."""

from bitbudget.publishing.typesetting.charts import (
    BASELINE,
    COLOUR,
    HALL,
    KIND_COLOURS,
    MOST_ROWS,
    PALETTE,
    Chart,
    Plot,
    Point,
    Scale,
    Span,
    bars,
    colours_of,
    forest,
    left_out,
    scale_of,
    scatter,
)
from bitbudget.publishing.typesetting.charts import shared as _shared

__all__ = [
    "BASELINE", "COLOUR", "HALL", "KIND_COLOURS", "MOST_ROWS", "PALETTE", "Chart", "Plot", "Point", "Scale", "Span",
    "_shared", "bars", "colours_of", "forest", "left_out", "scale_of", "scatter",
]  # fmt: skip

PLOT = (HALL.width, HALL.height)
LETTER, LINE = HALL.letter, HALL.line
