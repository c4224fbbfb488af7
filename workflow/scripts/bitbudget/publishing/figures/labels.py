"""Names beside the points of a scatter plot, none on top of another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from bitbudget.publishing.figures import style

ANGLES = tuple(math.radians(angle) for angle in (0, 180, 90, 270, 40, 320, 140, 220, 20, 340, 160, 200))
SIZE = 7.5  # points of a letter where nothing else is said; distances are for this size
DISTANCES = (7, 12, 18, 26, 36, 48, 62)  # points from the mark to the text
# What a place costs: a square pixel on a text or point, one on a line; a leader over a point or a text; a point of
# distance.
COVERED, CROSSED, LEADER_HIT, FAR = 3.0, 1.0, 200.0, 3.0


@dataclass(frozen=True)
class _Place:
    dx: float
    dy: float
    box: Bbox
    distance: float

    def leader(self, centre: tuple[float, float]) -> Path | None:
        """The line from the text to its point, in pixels; None where the text stands beside it."""
        if self.distance <= DISTANCES[0]:
            return None
        return Path([centre, (centre[0] + self.dx, centre[1] + self.dy)])


def place(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    colours: Sequence[str],
    lines: Sequence[Bbox],
    size: float = SIZE,
) -> None:
    """Write each text beside its point (data coordinates), with a leader in the point's colour where it stands apart.

    Of many places around the point the cheapest is taken: near, inside the axes, on no other text or point, and if
    possible on none of the `lines` (display coordinates). The layout must be final: places are judged in pixels.
    """
    pixels, inside = axes.figure.dpi / 72 * size / SIZE, axes.get_window_extent()
    centres = [tuple(axes.transData.transform(point)) for point in points]
    taken = [Bbox.from_bounds(x - 5 * pixels, y - 5 * pixels, 10 * pixels, 10 * pixels) for x, y in centres]
    leaders: list[Path] = []
    # The most crowded first: they have the fewest places to go.
    for i in sorted(range(len(points)), key=lambda i: _nearest(centres, i)):
        others = [centre for j, centre in enumerate(centres) if j != i]
        best = _cheapest(
            _places(axes, centres[i], texts[i], pixels, size), centres[i], others, inside, taken, lines, leaders, pixels
        )
        taken.append(best.box)
        if best.leader(centres[i]):
            leaders.append(best.leader(centres[i]))
        leader = {"arrowstyle": "-", "color": colours[i], "linewidth": 0.8 * size / SIZE, "shrinkA": 0, "shrinkB": 4}
        axes.annotate(
            texts[i],
            points[i],
            xytext=(best.dx * 72 / axes.figure.dpi, best.dy * 72 / axes.figure.dpi),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=size,
            zorder=5,
            bbox=style.PLATE,
            arrowprops=leader if best.leader(centres[i]) else None,
        )


def _places(axes: Axes, centre: tuple[float, float], text: str, pixels: float, size: float) -> list[_Place]:
    """Places around a point, from near to far; dx and dy lead from the point to the middle of the text, in pixels."""
    probe = axes.annotate(text, (0, 0), xycoords="axes fraction", fontsize=size)
    extent = probe.get_window_extent()
    probe.remove()
    width, height = extent.width + 3 * pixels, extent.height + 2 * pixels
    places = []
    for distance in DISTANCES:
        for angle in ANGLES:
            dx = math.cos(angle) * (distance * pixels + extent.width / 2)
            dy = math.sin(angle) * (distance * pixels + extent.height / 2)
            box = Bbox.from_bounds(centre[0] + dx - width / 2, centre[1] + dy - height / 2, width, height)
            places.append(_Place(dx, dy, box, distance))
    return places


def _cheapest(
    places: Sequence[_Place],
    centre: tuple[float, float],
    others: Sequence[tuple[float, float]],
    inside: Bbox,
    taken: Sequence[Bbox],
    lines: Sequence[Bbox],
    leaders: Sequence[Path],
    pixels: float,
) -> _Place:
    """The place that costs least, and of several the nearest.

    What a leader hits takes longest to find and only adds to the cost, so it is not looked for where the rest is dearer
    already.
    """
    boxes = np.array([place.box.extents for place in places])
    outside = _areas(boxes) - _overlaps(boxes, [inside])
    costs = COVERED * (_overlaps(boxes, taken) + outside) + CROSSED * _overlaps(boxes, lines)
    costs += FAR * np.array([place.distance for place in places])
    texts = taken[len(others) + 1 :]  # after the boxes of the points themselves
    best, least = 0, math.inf
    for k in np.argsort(costs, kind="stable"):
        if costs[k] > least:
            break
        cost = costs[k] + LEADER_HIT * _hits(places[k], centre, others, texts, leaders, pixels)
        if (cost, k) < (least, best):
            best, least = k, cost
    return places[best]


def _hits(
    place: _Place,
    centre: tuple[float, float],
    others: Sequence[tuple[float, float]],
    texts: Sequence[Bbox],
    leaders: Sequence[Path],
    pixels: float,
) -> int:
    """How many points, texts and leaders this place's leader lies on, and how many leaders this place's text."""
    # A leader that crosses a text strikes it through, whichever of the two came first.
    hit = sum(leader.intersects_bbox(place.box) for leader in leaders)
    if own := place.leader(centre):
        end = (centre[0] + place.dx, centre[1] + place.dy)
        hit += sum(_distance(other, centre, end) < 5 * pixels for other in others)
        hit += sum(own.intersects_bbox(box) for box in texts) + sum(own.intersects_path(one) for one in leaders)
    return hit


def _nearest(centres: Sequence[tuple[float, float]], i: int) -> float:
    return min((math.dist(centres[i], other) for j, other in enumerate(centres) if j != i), default=math.inf)


def _distance(point: tuple[float, float], start: tuple[float, float], end: tuple[float, float]) -> float:
    """From a point to the line between two others."""
    (px, py), (ax, ay), (bx, by) = point, start, end
    length = math.dist(start, end) ** 2
    along = 0.0 if length == 0 else max(0.0, min(1.0, ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / length))
    return math.dist(point, (ax + along * (bx - ax), ay + along * (by - ay)))


def _overlaps(boxes: np.ndarray, others: Sequence[Bbox]) -> np.ndarray:
    """For each box (a row: left, bottom, right, top) the area that it shares with the others, summed over these."""
    if not others:
        return np.zeros(len(boxes))
    one, other = boxes[:, None], np.array([box.extents for box in others])[None]
    low, high = np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])
    return np.clip(high - low, 0, None).prod(axis=-1).sum(axis=-1)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=-1)
