"""The kinds of verdict on a precision: how each is called, marked and coloured, and what it means.

A difference is clear where its 95 % interval lies on one side of 0 and p, corrected after Holm, is below .05.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of verdict, as every reader meets it."""

    name: str  # in records
    word: str
    mark: str  # tells it without colour
    tone: str  # good, bad or unsure
    colour: str
    meaning: str


LOSS = "loss"
GAIN = "gain"
WITHIN_NOISE = "within-noise"
NO_CLEAR_DIFFERENCE = "no-clear-difference"
IDENTICAL = "identical"
NOT_COMPARED = "not-compared"

_CLEAR = "The 95 % interval of the difference lies on the {} side of 0, and p is below .05 after Holm's correction."
_NEUTRAL = "#0072B2"

KINDS = {
    kind.name: kind
    for kind in (
        Kind(LOSS, "clear loss", "\N{BLACK DOWN-POINTING TRIANGLE}", "bad", "#D55E00", _CLEAR.format("worse")),
        Kind(GAIN, "clear gain", "\N{BLACK UP-POINTING TRIANGLE}", "good", "#009E73", _CLEAR.format("better")),
        Kind(
            WITHIN_NOISE,
            "within noise",
            "\N{ALMOST EQUAL TO}",
            "unsure",
            _NEUTRAL,
            "The difference is clear, but the baseline repeated differs from itself as clearly and as much.",
        ),
        Kind(
            NO_CLEAR_DIFFERENCE,
            "no clear difference",
            "\N{WHITE CIRCLE}",
            "good",
            _NEUTRAL,
            "The interval holds 0, or p is not below .05 after Holm's correction. A smaller loss than the smallest "
            "detectable one, which would have been found with a probability of 80 %, may still be there.",
        ),
        Kind(IDENTICAL, "identical", "=", "good", _NEUTRAL, "No item's answer or value differs from the baseline's."),
        Kind(NOT_COMPARED, "not compared", "?", "unsure", _NEUTRAL, "There is no difference, or no interval of it."),
    )
}
