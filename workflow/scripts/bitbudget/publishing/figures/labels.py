"""Names beside the points of a scatter plot, none on top of another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
        best = min(
            _places(axes, centres[i], texts[i], pixels, size),
            key=lambda place: _cost(inside, place, centres[i], others, taken, lines, leaders, pixels),
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


def _cost(
    inside: Bbox,
    place: _Place,
    centre: tuple[float, float],
    others: Sequence[tuple[float, float]],
    taken: Sequence[Bbox],
    lines: Sequence[Bbox],
    leaders: Sequence[Path],
    pixels: float,
) -> float:
    outside = _area(place.box) - _overlap(place.box, inside)
    covered = sum(_overlap(place.box, box) for box in taken)
    crossed = sum(_overlap(place.box, box) for box in lines)
    end = (centre[0] + place.dx, centre[1] + place.dy)
    own = place.leader(centre)
    hit = sum(_distance(other, centre, end) < 5 * pixels for other in others) if own else 0
    # A leader that crosses a text strikes it through, whichever of the two came first.
    hit += sum(leader.intersects_bbox(place.box) for leader in leaders)
    if own:
        texts = taken[len(others) + 1 :]  # after the boxes of the points themselves
        hit += sum(own.intersects_bbox(box) for box in texts) + sum(own.intersects_path(one) for one in leaders)
    return COVERED * (covered + outside) + CROSSED * crossed + LEADER_HIT * hit + FAR * place.distance


def _nearest(centres: Sequence[tuple[float, float]], i: int) -> float:
    return min((math.dist(centres[i], other) for j, other in enumerate(centres) if j != i), default=math.inf)


def _distance(point: tuple[float, float], start: tuple[float, float], end: tuple[float, float]) -> float:
    """From a point to the line between two others."""
    (px, py), (ax, ay), (bx, by) = point, start, end
    length = math.dist(start, end) ** 2
    along = 0.0 if length == 0 else max(0.0, min(1.0, ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / length))
    return math.dist(point, (ax + along * (bx - ax), ay + along * (by - ay)))


def _overlap(one: Bbox, other: Bbox) -> float:
    shared = Bbox.intersection(one, other)
    return _area(shared) if shared is not None else 0.0


def _area(box: Bbox) -> float:
    return max(0.0, box.width) * max(0.0, box.height)
