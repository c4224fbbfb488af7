"""How all figures look: colours that the colour-blind can tell apart, type, units, footnotes, the same bytes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from bitbudget import files
from bitbudget.publishing.figures import embedded

INK = "#222222"
MUTED = "#6B6B6B"
GUIDE = "#E4E4E4"
BASELINE = "#4D4D4D"
# Okabe & Ito (2008) without black (the baseline's) and yellow (too light on white), then Paul Tol's muted colours.
PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#332288",
    "#999933",
    "#882255",
    "#44AA99",
    "#DDCC77",
    "#AA4499",
)
# Phases from light to dark, told apart by lightness alone: of a generated text, then those that only a detector has.
PHASE_COLOURS = ("#D5DCE4", "#9DB7D3", "#5585B5", "#1F4E79", "#5585B5", "#1F4E79")
WIDTH = 7.2  # inches: the text width of a paper
TIMES = "\N{MULTIPLICATION SIGN}"
ROW = 0.27  # inches of a row of a bar or dot chart
NOTE_SIZE, NOTE_SPACING = 6.8, 1.35  # of the small print: points, and lines

# Behind a name or number that a line may cross.
PLATE = {"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}

RC = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.7,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "bitbudget",
    "savefig.dpi": 200,
    "figure.dpi": 100,
}


@contextmanager
def applied() -> Iterator[None]:
    """The style, for the block."""
    with matplotlib.rc_context(RC):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, without pyplot's global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def colours_of(precisions: Sequence[str], baseline: str) -> dict[str, str]:
    """A colour for each precision, the same in every figure of the study; the baseline's is dark grey."""
    others = [name for name in precisions if name != baseline]
    return {baseline: BASELINE} | {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(others)}


def shortened(reason: str | None) -> str:
    """A reason without the name of the one format that it speaks of, so that those of several formats are one."""
    return re.sub(r"^.+? (is|are) simulated", "simulated", reason or "no reason recorded")


def wrapped(text: str, letters: int) -> str:
    """The text in lines of at most so many letters, broken between words."""
    return "\n".join(textwrap.wrap(text, letters, break_long_words=False, break_on_hyphens=False))


BEYOND = "An arrow lies beyond the axis; its number stands beside it."


class Footnotes:
    """Numbered reasons of absent values, in the order in which they are met; the same reason keeps its number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, reason: str | None) -> str:
        """The number to set beside an absent value, in superscript digits."""
        digits = str(self._numbers.setdefault(shortened(reason), len(self._numbers) + 1))
        return digits.translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))

    def reasons(self) -> list[str]:
        """The reasons met so far."""
        return list(self._numbers)

    def lines(self) -> list[str]:
        """One line a reason."""
        return [f"{self.mark(reason)} {reason}" for reason in self._numbers]


def title(figure: Figure, text: str) -> None:
    """The figure's heading, at its left."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=10, fontweight="bold")


def note_lines(width: float, lines: Iterable[str]) -> list[str]:
    """Small print in lines that fit a figure of this width in inches; a name with a hyphen stays whole."""
    letters = int(width * 19)
    return [
        piece
        for line in lines
        for piece in textwrap.wrap(line, letters, subsequent_indent="   ", break_on_hyphens=False)
    ]


def notes(figure: Figure, lines: Iterable[str]) -> None:
    """Small print below the figure, wrapped to its width; each line begins a new one."""
    wrapped = note_lines(figure.get_figwidth(), lines)
    if wrapped:
        # A label of the whole figure, because the layout makes room for it, however many lines it has.
        figure.supxlabel(
            "\n".join(wrapped), x=0.01, ha="left", fontsize=NOTE_SIZE, color=MUTED, linespacing=NOTE_SPACING
        )


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `name`.svg and `name`.png; the same figure gives the same bytes."""
    metadata: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "png": {}}
    pictures = figure.findobj(AxesImage)
    written = []
    for suffix, about in metadata.items():
        path = folder / f"{name}.{suffix}"
        for picture in pictures:  # an svg is given the pixels as they are
            picture.set_interpolation("none" if suffix == "svg" else "auto")
        with files.written_whole(path) as temporary:
            figure.savefig(temporary, format=suffix, metadata=about)
            if pictures and suffix == "svg":
                temporary.write_text(embedded.once(temporary.read_text(encoding="utf-8")), encoding="utf-8")
        written.append(path)
    return written
