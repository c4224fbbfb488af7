"""Images as text inside the page: JPEGs as data URIs, as large as the page can bear."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from bitbudget.items.images import fitted, rgb

# Longest sides to try, in pixels. A rater should see what the model saw, and a page of a document needs every pixel to
# be read; what browsers open without a wait is the limit.
SIDES = (1536, 1280, 1024, 768, 640)
BUDGET = 30_000_000  # characters of all images together
QUALITY = 85


def data_uris(paths: Sequence[Path], sides: Sequence[int] = SIDES, budget: int = BUDGET) -> list[str]:
    """Each image as a data URI, all of them within the largest of `sides` at which they stay within `budget`.

    The last of `sides` is taken whatever the images then need.
    """
    found: list[str] = []
    for side in sides:
        found = [_data_uri(path, side) for path in paths]
        if sum(map(len, found)) <= budget:
            break
    return found


def _data_uri(path: Path, max_side: int) -> str:
    with Image.open(path) as picture:
        shown = rgb(picture)
    size = fitted(shown.size, max_side)
    if size != shown.size:
        shown = shown.resize(size, Image.Resampling.LANCZOS)
    shown.info.clear()
    jpeg = io.BytesIO()
    # colour at full resolution: text and drawn edges blur without
    shown.save(jpeg, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
