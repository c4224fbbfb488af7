"""Numbers in words: how differences, intervals, levels and p values of a study's primary metric are written.

A metric that is a share of right answers (`range` (0, 1) in its track) is written in percent, and a difference of two
of them in percentage points; any other in its own unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bitbudget import contracts, registry
from bitbudget.judging.comparison_kinds import OTHER_THREADS

MINUS = "\N{MINUS SIGN}"
MOST_DECIMALS = 6
# From here on a number is written with an exponent, as a ruined model's perplexity.
LARGE = 1e7


@dataclass(frozen=True)
class Words:
    """The words of a study's track and primary metric."""

    label: str  # "CIDEr", "VQA accuracy", "perplexity"
    higher_is_better: bool
    share: bool
    width: float | None  # how far apart the metric's least and largest value for one item are, in its unit
    detections: bool  # an item's answer is boxes, not a text
    item: str  # what a model is asked about: "image", "question", "passage"
    clusters: str  # what is drawn together where several items are: "images"
    repeated: str  # how the baseline was repeated for the noise floor

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.higher_is_better else -1

    @property
    def factor(self) -> float:
        """From the metric's unit to the written one."""
        return 100.0 if self.share else 1.0

    @property
    def noun(self) -> str:
        """What a difference is of."""
        return f"points of {self.label}" if self.share else self.label

    @property
    def loss(self) -> str:
        """A loss in this metric: "loss of CIDEr"; what is better the lower it is is not lost itself."""
        return f"loss {'of' if self.higher_is_better else 'by'} {self.label}"

    @property
    def worst(self) -> str:
        """How the worst of several values stands among them."""
        return "lowest" if self.higher_is_better else "highest"

    @property
    def direction(self) -> str:
        """Said beside a signed difference that would be read the wrong way round."""
        return "" if self.higher_is_better else " (lower is better)"

    @property
    def items(self) -> str:
        """What an item is, in the plural."""
        return f"{self.item}s"

    def counted(self, number: int) -> str:
        """A number of items: "160 images", "1 image"."""
        return f"{number} {self.item}" + "s" * (number != 1)

    def changed(self, answers: Mapping[str, int], n: int) -> str:
        """How many answers changed."""
        count = f"{answers['changed']} of {n}"
        return f"boxes or scores changed in {count} images" if self.detections else f"{count} answers changed"


def words_of(spec: Mapping[str, Any]) -> Words:
    """The words of a study; of `spec` its `track`, `primary` and, where it is there, `noise_floor` are read."""
    track = registry.module_of("track", spec["track"])
    return words_of_metric(track, spec["primary"], spec.get("noise_floor"))


def words_of_metric(track: ModuleType, name: str, noise_floor: Any = None) -> Words:
    """The words of a track and one of its metrics."""
    about = track.METRICS[name]
    ends = about.get("range")
    batches = "batch size, number of threads" if noise_floor == OTHER_THREADS else "batch size"
    other = "number of threads and order of images"
    if track.RUNTIME != "litert":
        other = f"{batches} and order of items"
    return Words(
        label=_within_a_sentence(about["label"]),
        higher_is_better=about["higher_is_better"],
        share=ends is not None and tuple(ends) == (0, 1),
        width=None if ends is None else ends[1] - ends[0],
        detections=contracts.of(track, "ANSWER") == "detections",
        item=track.ITEM,
        clusters=track.RESAMPLED,
        repeated=f"the baseline repeated on this machine with another {other}",
    )


def rule(accept: Mapping[str, Any], words: Words) -> str:
    """When a precision is accepted, and which of those is recommended, in two sentences."""
    share = accept["quality"]
    left = f"it keeps at least {100 * share:g} % of the baseline's {words.label}"
    if not words.higher_is_better:
        left = f"its {words.label} is at most the baseline's divided by {share:g}"
    asked = accept["prefer"]
    each = [asked] if isinstance(asked, str) else asked
    preferred = listed([f"the one with the least {name}" for name in each])
    return (
        f"A precision is accepted where {left} even at the worst end of its 95 % interval. Of the accepted ones, "
        f"{preferred} {'is' if len(each) == 1 else 'are'} recommended."
    )


def _within_a_sentence(label: str) -> str:
    """A label as it stands within a sentence: "Perplexity" loses its capital, "VQA accuracy" and "AP" do not."""
    return label[0].lower() + label[1:] if label[1:] == label[1:].lower() else label


def decimals_for(error: float) -> int | None:
    """Decimals that a value with this standard error deserves; None for an error that is 0 or not finite.

    Two digits of the error where they begin with 1.0 to 3.5, one above (Particle Data Group, Review of Particle
    Physics, Introduction, section 5.3).
    """
    if not (error > 0 and math.isfinite(error)):
        return None
    exponent = math.floor(math.log10(error))
    digits = 2 if error / 10**exponent < 3.55 else 1
    return min(max(digits - 1 - exponent, 0), MOST_DECIMALS)


@dataclass(frozen=True)
class Format:
    """How the values of one comparison are written: in the written unit, with as many decimals as they deserve."""

    words: Words
    decimals: int

    def signed(self, value: float) -> str:
        """A difference: "+0.2"."""
        return _digits(value * self.words.factor, self.decimals, "+")

    def size(self, value: float) -> str:
        """The size of a difference, without its sign."""
        return _digits(abs(value) * self.words.factor, self.decimals)

    def interval(self, ci: Sequence[float], sign: str = "+") -> str:
        """A signed interval: "[-2.1, +1.3]"; one that does not hold 0 has no end that reads as 0."""
        excludes = not ci[0] <= 0 <= ci[1]
        return f"[{', '.join(self._end(end * self.words.factor, excludes, sign) for end in ci)}]"

    def sizes(self, ci: Sequence[float]) -> str:
        """An interval that does not hold 0, as the sizes of its ends, the smaller first: "[1.9, 4.4]"."""
        return self.interval(sorted(map(abs, ci)), sign="")

    def _end(self, end: float, excludes: bool, sign: str) -> str:
        if excludes and round(end, self.decimals) == 0:
            needed = -math.floor(math.log10(abs(end)))
            text = f"{end:{sign}.{needed}f}" if needed <= MOST_DECIMALS else f"{end:{sign}.0e}"
            return text.replace("-", MINUS)
        return _digits(end, self.decimals, sign)

    def level(self, value: float) -> str:
        """A value of the metric itself: "5.54", "61.2 %"."""
        return _digits(value * self.words.factor, self.decimals) + (" %" if self.words.share else "")

    def apart(self, one: float, other: float) -> tuple[str, str]:
        """Two levels with so many decimals that they do not look alike unless they are."""
        for decimals in range(self.decimals, MOST_DECIMALS + 1):
            wider = Format(self.words, decimals)
            texts = wider.level(one), wider.level(other)
            if texts[0] != texts[1]:
                return texts
        return self.level(one), self.level(other)


def format_of(words: Words, metric: Mapping[str, Any]) -> Format:
    """The format for a metric of comparison.json, from its standard error, else its interval, else the baseline's."""
    errors = [metric.get("standard_error") or 0.0]
    errors += [(metric["ci"][1] - metric["ci"][0]) / (2 * 1.96)] if metric.get("ci") else []
    found = [decimals_for(error * words.factor) for error in errors]
    # Three digits of the baseline's value.
    found.append(decimals_for(abs(metric.get("baseline") or 1.0) * words.factor / 100))
    return Format(words, next(decimals for decimals in (*found, 2) if decimals is not None))


def _digits(value: float, decimals: int, sign: str = "") -> str:
    text = f"{value:{sign}.2e}" if abs(value) >= LARGE else f"{value:{sign}.{decimals}f}"
    return text.replace("-", MINUS)


def p_value(p: float) -> str:
    """A p value as it is printed: "p = .03", "p < .001"; one near .05 with so many digits that its side is seen."""
    if p < 0.001:
        return "p < .001"
    decimals = 3 if p < 0.0095 or 0.045 <= p < 0.055 else 2
    while round(p, decimals) == 0.05 != p and decimals < MOST_DECIMALS:
        decimals += 1
    return f"p = {f'{p:.{decimals}f}'.removeprefix('0')}"


def percent(share: float) -> str:
    """A share in percent with two significant digits: "1.9 %"."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 99.95:  # which three digits write as 100, with a point behind it
        return f"{value:.0f}"
    return f"{value:#.3g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def unit_for(unit: str, largest: float) -> tuple[float, str]:
    """Factor and name of the unit in which values up to `largest` (in `unit`) are easy to read."""
    if unit == "s" and 0 < largest < 1:
        return 1e3, "ms"
    if unit == "J" and 0 < largest < 0.5:
        return 1e3, "mJ"
    if unit == "MB" and largest >= 10_000:
        return 1e-3, "GB"
    return 1.0, unit


def listed(names: Sequence[str]) -> str:
    """Names as a sentence lists them: "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def named(names: Sequence[str], most: int = 6) -> str:
    """Names as a sentence lists them; many are cut short and counted."""
    if len(names) <= most:
        return listed(list(names))
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def capital(text: str) -> str:
    """The text with a capital at its beginning, where it begins with a word and not with a name with digits."""
    first = text.split(" ", 1)[0].rstrip(",;:")
    return text[:1].upper() + text[1:] if first.isalpha() else text
