"""Signs: plates with a word to read, drawn into demo scenes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

WORDS = (
    "bank", "bike", "boat", "book", "bread", "bus", "cafe", "exit", "fish", "food", "free", "fruit", "gym", "home",
    "hotel", "ice", "keys", "lift", "love", "menu", "milk", "music", "news", "open", "park", "pizza", "post", "pull",
    "push", "room", "sale", "shoes", "shop", "stop", "taxi", "tea", "toys", "train", "water", "zoo",
)  # fmt: skip

# Lengths in units of the picture's shorter side.
LETTERS, HEIGHT, MARGIN = 0.19, 0.25, 0.06


@dataclass(frozen=True)
class Sign:
    """A plate with a word in capitals; its centre in units of the shorter side, from the upper left corner."""

    word: str
    x: float
    y: float
    dark: bool  # white letters on black; otherwise black on white

    @property
    def width(self) -> float:
        """Of the plate, in units of the shorter side."""
        return _length(self.word) + 2 * MARGIN

    def letter_at(self, x: float, y: float) -> str | None:
        """The letter at this point (units of the shorter side); a blank on the plate's margin, None outside."""
        if abs(x - self.x) > self.width / 2 or abs(y - self.y) > HEIGHT / 2:
            return None
        left = self.x - self.width / 2 + MARGIN
        for end, letter in enumerate(self.word, start=1):
            if left + _length(self.word[: end - 1]) <= x < left + _length(self.word[:end]):
                return letter
        return " "


@cache
def _length(word: str) -> float:
    return ImageFont.load_default(100).getlength(word.upper()) / 100 * LETTERS


def place(rng: random.Random, width: float, height: float) -> Sign:
    """A sign at the top or at the bottom of a picture of this width and height (units of the shorter side)."""
    word = rng.choice(WORDS)
    half = _length(word) / 2 + MARGIN + 0.02
    x = rng.uniform(half, width - half)
    y = HEIGHT / 2 + 0.03
    return Sign(word, x, y if rng.random() < 0.5 else height - y, rng.random() < 0.5)


def draw(picture: Image.Image, sign: Sign) -> None:
    """Draw the sign into the picture."""
    unit = min(picture.size)
    pen = ImageDraw.Draw(picture)
    half_width, half_height = sign.width / 2, HEIGHT / 2
    box = [
        unit * side for side in (sign.x - half_width, sign.y - half_height, sign.x + half_width, sign.y + half_height)
    ]
    ground, ink = ("black", "white") if sign.dark else ("white", "black")
    pen.rectangle(box, fill=ground, outline=ink, width=max(1, round(0.012 * unit)))
    size = round(LETTERS * unit)
    pen.text(
        (unit * sign.x, unit * sign.y),
        sign.word.upper(),
        fill=ink,
        font=ImageFont.load_default(size),
        anchor="mm",
        stroke_width=max(1, round(size / 24)),
        stroke_fill=ink,
    )
