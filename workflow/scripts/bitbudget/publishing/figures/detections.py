"""What a user would see: images with their objects, and beside them what each precision finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox
from PIL import Image

from bitbudget.metrics.matching import CONFIDENT, IOU, Box, Found
from bitbudget.publishing.figures import style
from bitbudget.publishing.figures.gallery import Gallery, Picture

SIDE = 320  # the longest side at which a picture is embedded, in pixels
# Inches: the widest and the narrowest picture, what is between pictures, and left of them; the figure's title with its
# key, a model's name, the names above the columns, and the line below a picture.
WIDEST, NARROWEST, GAP, LEFT = 2.2, 1.45, 0.06, 0.2
TITLE, MODEL, COLUMNS, CAPTION = 0.5, 0.26, 0.32, 0.2
LOWEST, TALLEST = 0.4, 1.34  # heights of a picture's cell, as shares of its width
LETTERS = 20  # of a category's name
SIZE, PAD = 5.2, 0.2  # of a label: points, and what its plate has around it, in letters' heights
# How the outlines of boxes are drawn: objects, right detections and wrong ones.
DASHED, SOLID, DOTTED = (0, (3.5, 1.8)), "-", (0, (0.9, 1.3))


def draw(gallery: Gallery) -> Figure:
    """The figure: a block of rows for each model, a row for each image, a column for each precision."""
    across = 1 + len(gallery.precisions)
    width = min(WIDEST, max(NARROWEST, (style.WIDTH - LEFT) / across - GAP))
    heights = [width * min(max(one.height / one.width, LOWEST), TALLEST) for one in gallery.pictures]
    header = COLUMNS + (MODEL if len(gallery.models) > 1 else 0.0)
    block = header + sum(heights) + CAPTION * len(heights)
    total = max(LEFT + across * (width + GAP), style.WIDTH)
    # How many labels find no room is known when all are drawn, and the height of the notes before: room for both.
    note = len(style.note_lines(total, _notes(gallery, left_out=True))) * style.NOTE_SIZE * style.NOTE_SPACING / 72
    tall = TITLE + block * len(gallery.models) + note + 0.1
    # Labels are measured as the png will have them: at few dots an inch, hinting makes letters narrower.
    figure = Figure(figsize=(total, tall), dpi=rcParams["savefig.dpi"])
    style.FigureCanvasAgg(figure)
    figure.text(0.01, 1 - 0.06 / tall, "What is found, by precision", va="top", fontsize=10, fontweight="bold")
    figure.legend(
        handles=_key(), loc="upper left", bbox_to_anchor=(0.004, 1 - 0.26 / tall), ncols=3, frameon=False, fontsize=7.5,
        borderpad=0, borderaxespad=0.3, handlelength=2.6, columnspacing=1.6,
    )  # fmt: skip
    colours = _colours(gallery)
    thumbnails = [_thumbnail(one) for one in gallery.pictures]
    left_out = 0
    y = TITLE
    for model in gallery.models:
        if len(gallery.models) > 1:
            figure.text(0.01, 1 - (y + 0.06) / tall, model, va="top", fontsize=8.5, fontweight="bold")
        y += header
        for row, (picture, pixels, height) in enumerate(zip(gallery.pictures, thumbnails, heights, strict=True)):
            for column in range(across):
                x = LEFT + column * (width + GAP)
                axes = figure.add_axes((x / total, 1 - (y + height) / tall, width / total, height / tall))
                precision = gallery.precisions[column - 1] if column else None
                left_out += _cell(axes, picture, pixels, model, precision, colours)
                if row == 0:
                    axes.set_title(_heading(gallery, precision), fontsize=7.5, pad=4)
            figure.text(
                0.3 * LEFT / total, 1 - (y + height / 2) / tall, f"image {picture.item}", rotation=90, va="center",
                fontsize=6.5, color=style.MUTED,
            )  # fmt: skip
            y += height + CAPTION
    style.notes(figure, _notes(gallery, left_out=left_out > 0))
    return figure


def _key() -> list[Line2D]:
    lines = [
        (DASHED, "object; in a model's column, missed"),
        (SOLID, f"right: same category, IoU at least {IOU:g}"),
        (DOTTED, f"{style.TIMES} wrong"),
    ]
    return [Line2D([], [], color=style.INK, linewidth=1.3, linestyle=dash, label=text) for dash, text in lines]


def _heading(gallery: Gallery, precision: str | None) -> str:
    if precision is None:
        return "truth"
    return f"{precision}\n(baseline)" if precision == gallery.baseline else precision


def _notes(gallery: Gallery, *, left_out: bool) -> list[str]:
    number = len(gallery.pictures)
    which = "image" if number == 1 else f"{number} images"
    crowds = any(found.in_crowd for picture in gallery.pictures for found in picture.found.values())
    return [
        f"Shown: the study's first {which} with an object, chosen by nothing else; and detections with a score of at "
        f"least {CONFIDENT:g}.",
        "Thin: in a region that the data set marks as a crowd, where a detection is neither right nor wrong."
        if crowds
        else "",
        "Colours tell categories apart. " + ("Labels that would hide others are left out." if left_out else ""),
        gallery.note,
    ]


def _colours(gallery: Gallery) -> dict[str, str]:
    """A colour for each category that is drawn anywhere, in the data set's order."""
    boxes = [box for picture in gallery.pictures for box in picture.objects]
    for picture in gallery.pictures:
        for found in picture.found.values():
            boxes += [*found.right, *found.wrong, *found.in_crowd]
    drawn = {box.name for box in boxes}
    ordered = [name for name in dict.fromkeys(gallery.names) if name in drawn]
    return {name: style.PALETTE[i % len(style.PALETTE)] for i, name in enumerate(ordered)}


def _thumbnail(picture: Picture) -> np.ndarray:
    """The picture's pixels (height, width, 3), its longest side at most `SIDE`."""
    with Image.open(picture.file) as opened:
        small = opened.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(small)


def _cell(
    axes: Axes, picture: Picture, pixels: np.ndarray, model: str, precision: str | None, colours: dict[str, str]
) -> int:
    """One picture with its boxes; returns how many labels found no room.

    The picture stands in the middle of its cell, in proportion; the axes are in pixels of the original image.
    """
    width, height = picture.width, picture.height
    axes.imshow(pixels, extent=(0, width, height, 0), aspect="auto")
    cell = axes.get_window_extent()
    scale = min(cell.width / width, cell.height / height)
    right, down = (cell.width / scale - width) / 2, (cell.height / scale - height) / 2
    axes.set(xlim=(-right, width + right), ylim=(height + down, -down), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    labels = _Labels(axes)
    if precision is None:
        for box in _largest_first(picture.objects):
            _outline(axes, box, colours, DASHED)
        objects = _largest_first(picture.objects)
        labels.write([(box, _shortened(box.name) + " (crowd)" * box.crowd) for box in objects], colours)
        caption = _counted(sum(not box.crowd for box in picture.objects))
    else:
        found = picture.found[model, precision]
        for boxes, dash in (
            (found.missed, DASHED),
            (found.in_crowd, SOLID),
            (found.right, SOLID),
            (found.wrong, DOTTED),
        ):
            for box in _largest_first(boxes):
                _outline(axes, box, colours, dash)
        labels.write([(box, f"{style.TIMES} {_said(box)}") for box in found.wrong], colours, plain=True)
        labels.write([(box, _said(box)) for box in [*found.right, *found.in_crowd]], colours)
        caption = _result(found)
    axes.set_xlabel(caption, fontsize=6.8, labelpad=2, color=style.MUTED)
    return labels.left_out


def _largest_first(boxes: Sequence[Box]) -> list[Box]:
    return sorted(boxes, key=lambda box: -box.bbox[2] * box.bbox[3])


def _counted(objects: int) -> str:
    return f"{objects} object{'s' * (objects != 1)}"


def _result(found: Found) -> str:
    objects = len(found.right) + len(found.missed)
    return f"{len(found.right)} of {objects} found, {len(found.wrong)} wrong"


def _said(box: Box) -> str:
    return f"{_shortened(box.name)} {box.score:.2f}"


def _shortened(name: str) -> str:
    """A name with its beginning and its end, which tells it from its like."""
    kept = LETTERS // 2
    return name if len(name) <= LETTERS else f"{name[:kept].strip()}…{name[1 - kept :].strip()}"


def _outline(axes: Axes, box: Box, colours: dict[str, str], dash: object) -> None:
    """A box's outline, on a light one that parts it from the picture."""
    x, y, width, height = box.bbox
    thick = 0.7 if box.crowd else 1.3
    about = {"facecolor": "none", "clip_on": False, "zorder": 2}
    axes.add_patch(Rectangle((x, y), width, height, edgecolor="white", linewidth=thick + 0.9, **about))
    axes.add_patch(
        Rectangle((x, y), width, height, edgecolor=colours[box.name], linewidth=thick, linestyle=dash, **about)
    )


class _Labels:
    """The labels of a cell's boxes, none on another; one that has no place is left out."""

    def __init__(self, axes: Axes):
        self.axes, self.inside = axes, axes.get_window_extent()
        self.taken: list[Bbox] = []
        self.left_out = 0

    def write(self, texts: Sequence[tuple[Box, str]], colours: dict[str, str], *, plain: bool = False) -> None:
        """Write each box's text beside or in it, on a plate of its category's colour; on a white one where `plain`."""
        for box, text in texts:
            colour = colours[box.name]
            ink = style.INK if plain or _is_light(colour) else "white"
            plate = {"boxstyle": f"square,pad={PAD}", "facecolor": "white" if plain else colour, "edgecolor": colour}
            label = self.axes.text(
                0, 0, text, fontsize=SIZE, color=ink, va="bottom", zorder=3, bbox=plate | {"linewidth": 0.6}
            )
            pad = PAD * SIZE * self.axes.figure.dpi / 72
            place = self._place(label.get_window_extent().padded(pad), box)
            if place is None:
                label.remove()
                self.left_out += 1
                continue
            self.taken.append(place)
            label.set_position(self.axes.transData.inverted().transform(place.p0 + pad))

    def _place(self, size: Bbox, box: Box) -> Bbox | None:
        """Where a label of this size (display units) can stand: above its box, below it, or in it; None if nowhere."""
        x, y, width, height = box.bbox
        left, bottom = self.axes.transData.transform((x, y + height))
        right, top = self.axes.transData.transform((x + width, y))
        most = self.inside.x1 - size.width
        for start in (left, right - size.width):
            for base in (top, bottom - size.height, top - size.height, bottom):
                corner = (max(self.inside.x0, min(start, most)), base)
                place = Bbox.from_bounds(*corner, size.width, size.height)
                within = self.inside.y0 <= place.y0 and place.y1 <= self.inside.y1
                if within and not any(place.overlaps(other) for other in self.taken):
                    return place
        return None


def _is_light(colour: str) -> bool:
    """Whether black reads better on a colour than white, by its relative luminance (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722))) > 0.179
