"""Scenes of coloured shapes: images whose true content is known because the project drew them.

A scene is one to three shapes that do not touch, on a plain background, and where asked for a sign with a word. It is
described by five captions, and by one box a shape. A scene is wholly determined by its seed; drawing it at another size
gives the same picture at that size.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from bitbudget.datasets.demo import signs

SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond", "ring", "heart")

COLOURS = {
    "red": (214, 40, 40),
    "green": (34, 150, 60),
    "blue": (35, 80, 210),
    "yellow": (240, 210, 30),
    "orange": (240, 130, 25),
    "purple": (125, 50, 160),
    "pink": (245, 130, 180),
    "brown": (120, 75, 40),
    "black": (20, 20, 20),
    "gray": (120, 120, 120),
    "white": (252, 252, 252),
}
ACHROMATIC = ("black", "gray", "white")

BACKGROUNDS = {
    "white": (246, 246, 246),
    "gray": (186, 186, 186),
    "beige": (226, 208, 170),
    "cyan": (165, 222, 228),
}
# A colour that could be taken for the background is never drawn on it.
CLASHES = {("white", "white"), ("gray", "gray"), ("yellow", "beige")}

# Radius of a shape's bounding circle as a share of the shorter side of the picture.
RADIUS = {"small": (0.085, 0.105), "large": (0.175, 0.215)}


@dataclass(frozen=True)
class Shape:
    """One shape: what it is, and where, in units of the picture's width (x) and height (y)."""

    size: str
    colour: str
    shape: str
    x: float
    y: float
    radius: float  # share of the shorter side
    tilt: float  # radians

    @property
    def phrase(self) -> str:
        """The shape in words, without an article: `large red circle`."""
        return f"{self.size} {self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """A picture's true content. `aspect` is width / height; `shapes` go from left to right."""

    seed: int
    aspect: float
    background: str
    shapes: tuple[Shape, ...]
    relation: str | None  # of two shapes: how the first stands to the second
    sign: signs.Sign | None = None


def make_scene(seed: int, *, achromatic: bool = False, background: str | None = None, with_sign: bool = False) -> Scene:
    """Draw up the scene of this seed: the same seed gives the same scene on every machine.

    `achromatic` keeps to black, grey and white (for greyscale files); `background` fixes the background's name;
    `with_sign` puts a sign above or below one or two shapes.
    """
    rng = random.Random(f"scene-{seed}")
    aspect = rng.choice((1.0, 1.0, 4 / 3, 3 / 4, 5 / 4, 4 / 5))
    if background is None:
        background = rng.choice(("white", "gray") if achromatic else tuple(BACKGROUNDS))
    colours = [c for c in (ACHROMATIC if achromatic else COLOURS) if (c, background) not in CLASHES]
    wanted = rng.choice((1, 2) if with_sign else (1, 2, 2, 3, 3))
    while True:
        sign = signs.place(rng, *_extent(aspect)) if with_sign else None
        shapes = _place(rng, wanted, aspect, colours, sign)
        relation = _relation(shapes, aspect)
        if shapes and (wanted != 2 or relation):
            break
    if relation == "above":
        shapes = sorted(shapes, key=lambda s: s.y)
    return Scene(seed, aspect, background, tuple(shapes), relation, sign)


def _extent(aspect: float) -> tuple[float, float]:
    """Width and height in units of the shorter side."""
    return (aspect, 1.0) if aspect >= 1 else (1.0, 1 / aspect)


def _place(rng: random.Random, wanted: int, aspect: float, colours: list[str], sign: signs.Sign | None) -> list[Shape]:
    """Place shapes from left to right so that none touches another, or the sign; an empty list where that failed."""
    width, height = _extent(aspect)
    top, bottom = 0.0, height
    if sign is not None:
        strip = signs.HEIGHT + 0.04
        top, bottom = (strip, height) if sign.y < height / 2 else (0.0, height - strip)
    placed: list[tuple[float, float, Shape]] = []
    for _ in range(wanted):
        size = rng.choice(tuple(RADIUS))
        radius = rng.uniform(*RADIUS[size])
        colour, shape, tilt = rng.choice(colours), rng.choice(SHAPES), rng.uniform(-0.15, 0.15)
        for _ in range(30):
            x = rng.uniform(radius + 0.02, width - radius - 0.02)
            y = rng.uniform(top + radius + 0.02, bottom - radius - 0.02)
            apart = all(math.hypot(x - px, y - py) > radius + p.radius + 0.03 for px, py, p in placed)
            if apart:
                placed.append((x, y, Shape(size, colour, shape, x / width, y / height, radius, tilt)))
                break
        else:
            return []
    placed.sort(key=lambda p: p[0])
    # Three shapes are told in order, so their order must be plain to see.
    if wanted == 3 and any(b[0] - a[0] < 0.12 for a, b in pairwise(placed)):
        return []
    return [p[2] for p in placed]


def _relation(shapes: list[Shape], aspect: float) -> str | None:
    """How the first of two shapes stands to the second, or None where left-of and above could both be said."""
    if len(shapes) != 2:
        return None
    dx, dy = abs(shapes[0].x - shapes[1].x) * aspect, abs(shapes[0].y - shapes[1].y)
    if dx > 1.4 * dy:
        return "to the left of"
    return "above" if dy > 1.4 * dx else None


OPPOSITE = {"to the left of": "to the right of", "above": "below"}
OPPOSITE |= {other: one for one, other in OPPOSITE.items()}


def captions(scene: Scene) -> list[str]:
    """Five true captions of a scene, in the manner of COCO's: one sentence each, no two alike."""
    phrases, back = [s.phrase for s in scene.shapes], scene.background
    if len(phrases) == 1:
        only, a = scene.shapes[0], phrases[0]
        article = "An" if only.colour[0] in "aeiou" else "A"
        return [
            f"A {a} on a {back} background.",
            f"There is a {a} on a {back} background.",
            f"The picture shows a {a}.",
            f"{article} {only.colour} {only.shape} that is {only.size}, on {back}.",
            f"One {a} and nothing else.",
        ]
    if len(phrases) == 2:
        (a, b), rel = phrases, scene.relation
        return [
            f"A {a} {rel} a {b}.",
            f"A {a} {rel} a {b} on a {back} background.",
            f"There is a {a} {rel} a {b}.",
            f"A {b} {OPPOSITE[rel]} a {a}.",
            f"The picture shows a {a} and a {b}.",
        ]
    a, b, c = phrases
    return [
        f"A {a}, a {b} and a {c}.",
        f"A {a}, a {b} and a {c} on a {back} background.",
        f"There is a {a}, a {b} and a {c}.",
        f"From left to right, a {a}, a {b} and a {c}.",
        f"The picture shows a {a}, a {b} and a {c}.",
    ]


def size_of(scene: Scene, longest: int) -> tuple[int, int]:
    """Width and height in pixels of the scene drawn with this longest side."""
    if scene.aspect >= 1:
        return longest, round(longest / scene.aspect)
    return round(longest * scene.aspect), longest


def draw(scene: Scene, longest: int, *, mode: str = "RGB") -> Image.Image:
    """Draw a scene with the given longest side (pixels). `mode` is RGB, or RGBA with a transparent background."""
    width, height = size_of(scene, longest)
    if mode == "RGBA":
        picture = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    else:
        picture = Image.fromarray(_background(scene, width, height), "RGB")
    pen = ImageDraw.Draw(picture)
    for shape in scene.shapes:
        _draw_shape(pen, shape, width, height)
    if scene.sign is not None:
        signs.draw(picture, scene.sign)
    return picture


def _background(scene: Scene, width: int, height: int) -> np.ndarray:
    """The background (height, width, 3) uint8: its colour, a slow change of light, and a little noise."""
    noise = np.random.default_rng(scene.seed)
    light = noise.uniform(-9, 9, size=2)
    across = np.linspace(-1, 1, width)[None, :, None] * light[0]
    down = np.linspace(-1, 1, height)[:, None, None] * light[1]
    grain = noise.integers(-5, 6, size=(height, width, 1), dtype=np.int8)
    field = np.asarray(BACKGROUNDS[scene.background], dtype=np.float32) + across + down + grain
    return np.clip(field, 0, 255).astype(np.uint8)


def _draw_shape(pen: ImageDraw.ImageDraw, shape: Shape, width: int, height: int) -> None:
    cx, cy, r = shape.x * width, shape.y * height, shape.radius * min(width, height)
    colour = COLOURS[shape.colour]
    if shape.shape == "circle":
        pen.ellipse((cx - r, cy - r, cx + r, cy + r), fill=colour)
    elif shape.shape == "ring":
        pen.ellipse((cx - r, cy - r, cx + r, cy + r), outline=colour, width=max(1, round(0.36 * r)))
    else:
        pen.polygon([(cx + r * x, cy + r * y) for x, y in _outline(shape.shape, shape.tilt)], fill=colour)


def _outline(shape: str, tilt: float) -> list[tuple[float, float]]:
    """Corners of a shape inside the unit circle, turned by `tilt`; y points down as in pictures."""
    if shape == "square":
        corners = [(a, b) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        corners = [(0.74 * a, 0.74 * b) for a, b in corners]
    elif shape == "diamond":
        corners = [(0, -1), (0.68, 0), (0, 1), (-0.68, 0)]
    elif shape == "triangle":
        corners = [_polar(1, -90 + 120 * k) for k in range(3)]
    elif shape == "star":
        corners = [_polar(1 if k % 2 == 0 else 0.42, -90 + 36 * k) for k in range(10)]
    elif shape == "cross":
        t = 0.3
        corners = [(-t, -1), (t, -1), (t, -t), (1, -t), (1, t), (t, t), (t, 1), (-t, 1), (-t, t), (-1, t), (-1, -t)]
        corners.append((-t, -t))
        corners = [(0.92 * a, 0.92 * b) for a, b in corners]
    elif shape == "heart":
        # https://mathworld.wolfram.com/HeartCurve.html (the sixth curve), scaled into the unit circle
        steps = [2 * math.pi * k / 48 for k in range(48)]
        corners = [
            (
                16 * math.sin(t) ** 3 / 17,
                -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t) + 2.5) / 17,
            )
            for t in steps
        ]
    else:
        raise ValueError(f"no outline for a {shape!r}")
    cos, sin = math.cos(tilt), math.sin(tilt)
    return [(x * cos - y * sin, x * sin + y * cos) for x, y in corners]


def _polar(radius: float, degrees: float) -> tuple[float, float]:
    return radius * math.cos(math.radians(degrees)), radius * math.sin(math.radians(degrees))


def box_of(shape: Shape, width: int, height: int) -> tuple[float, float, float, float]:
    """The shape's bounding box (x, y, width, height) in pixels of a picture of this size, as COCO writes boxes."""
    cx, cy, r = shape.x * width, shape.y * height, shape.radius * min(width, height)
    if shape.shape in ("circle", "ring"):
        return cx - r, cy - r, 2 * r, 2 * r
    xs, ys = zip(*_outline(shape.shape, shape.tilt), strict=True)
    return cx + r * min(xs), cy + r * min(ys), r * (max(xs) - min(xs)), r * (max(ys) - min(ys))
