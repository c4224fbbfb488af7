"""From a picture to a detector's input, and from boxes in that input back to the picture.

Pictures are resized as the PIL image processors of `transformers` do it: bilinear, with the filter widened when the
picture becomes smaller, on 8-bit pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Placement:
    """Where the picture lies in the model's input, all in pixels of the input."""

    input_width: int
    input_height: int
    left: int
    top: int
    width: int
    height: int

    def to_original(self, boxes: np.ndarray, width: float, height: float) -> np.ndarray:
        """Boxes in pixels of the original picture, clipped to it.

        `boxes` are x1, y1, x2, y2 as shares of the model's input, [n, 4]; `width` and `height` are the original's, in
        pixels. A box beside the picture comes back without area, at its edge.
        """
        pixels = np.asarray(boxes, dtype=np.float64) * np.tile([self.input_width, self.input_height], 2)
        shares = (pixels - np.tile([self.left, self.top], 2)) / np.tile([self.width, self.height], 2)
        return np.clip(shares, 0.0, 1.0) * np.tile([width, height], 2)


def prepare(image: Image.Image, spec: dict[str, Any]) -> tuple[np.ndarray, Placement]:
    """The model's input, float32 [1, height, width, 3] or [1, 3, height, width], and where the picture lies in it.

    `spec` is the `input` of a detector's specification; `image` is in RGB.
    """
    height, width = spec["size"]
    place = placement(image.size, (width, height), spec["resize"])
    if image.size != (place.width, place.height):
        image = image.resize((place.width, place.height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    if spec["colour"] == "BGR":
        pixels = pixels[..., ::-1]
    mean, std, padding = (np.broadcast_to(np.float32(spec[key]), 3) for key in ("mean", "std", "padding"))
    rest = (padding - mean) / std
    rows, columns = slice(place.top, place.top + place.height), slice(place.left, place.left + place.width)
    whole = image.size == (width, height)
    # Row by row, or channel by channel: numpy is slow where the innermost of its loops has three turns.
    if spec["layout"] == "NHWC":
        found = np.empty((height, width, 3), dtype=np.float32)
        if not whole:
            found[:] = rest
        part = found.reshape(height, width * 3)[rows, 3 * columns.start : 3 * columns.stop]
        flat = np.ascontiguousarray(pixels).reshape(place.height, place.width * 3)
        np.subtract(flat, np.tile(mean, place.width), out=part, dtype=np.float32)
        part /= np.tile(std, place.width)
    else:
        found = np.empty((3, height, width), dtype=np.float32)
        for channel in range(3):
            if not whole:
                found[channel] = rest[channel]
            part = found[channel, rows, columns]
            np.subtract(pixels[..., channel], mean[channel], out=part, dtype=np.float32)
            part /= std[channel]
    return found[None], place


def placement(picture: tuple[int, int], target: tuple[int, int], resize: str) -> Placement:
    """Where a picture of this width and height lies in an input of that width and height.

    `stretch` fills the input; `letterbox` and `corner` keep the picture's proportions, in the middle and at the top
    left.
    """
    if resize == "stretch":
        return Placement(*target, 0, 0, *target)
    scale = min(target[0] / picture[0], target[1] / picture[1])
    width, height = (min(most, max(1, round(side * scale))) for side, most in zip(picture, target, strict=True))
    centred = resize == "letterbox"
    left, top = ((target[0] - width) // 2, (target[1] - height) // 2) if centred else (0, 0)
    return Placement(*target, left, top, width, height)
