"""PDF from a Typst template and data: what a text holds is shown and never run.

The template reads `data.json` beside it by Typst's `json()`: texts in it stay texts, whatever markup they look like.
Template, data and pictures are copied into a temporary folder that is the compilation's root, so that a template reads
nothing else; fonts are those of `workflow/report/fonts` only, and the clock stands still, so that the same data gives
the same bytes on every machine.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.publishing.typesetting import glyphs

TEMPLATES = Path(__file__).parents[4] / "report" / "typst"
# What a template of the user's own may have beside it: other templates and pictures.
BESIDE = (".typ", ".png", ".jpg", ".jpeg", ".svg", ".gif", ".webp")
DATA = "data.json"
Asset = Path | bytes  # a file, or what it would hold
TIMESTAMP = 0  # seconds since 1970: the same for every PDF, so that its bytes depend on its content only
# For seeing how full a page is: dots an inch, what is darker than this is print, and the lower margin of a page.
SKETCH, PRINTED, MARGIN = 20.0, 215, 0.07
# Where no line may end: between a number and its unit or the number before it in an interval, and around "n =", "p <".
_UNIT = r"(?:%|[mkµ]?J|k?Wh?|m?s|µs|[kMG]i?B|k?g|Hz|V|mm|cm)(?![\w/])"
UNBROKEN = re.compile(
    rf"(?<=[\d\]]) (?={_UNIT})|(?<=\d,) (?=[+\u2212-]?[\d.]+[\])])"
    r"|(?<=\b[np]) (?=[=<>] )|(?<=\b[np] [=<>]) (?=[\d.])"
)
# Entries of the data that are names or sources and no texts.
NO_TEXT = ("path", "picture", "url", "bibliography", "label", "to", "keys")


def compile_pdf(template: Path, data: Mapping[str, Any], out: Path, assets: Mapping[str, Asset] | None = None) -> int:
    """Compile a Typst template with data.json and the assets beside it, and return the number of pages.

    `assets` are files by the names that the data gives them ("figures/quality.svg"); those names are relative and stay
    inside the root. Raises `UserError` in one sentence where the template or an asset is at fault.
    """
    content, pages = compiled(template, data, assets or {})
    with files.written_whole(out) as temporary:
        temporary.write_bytes(content)
    return pages


def compiled(template: Path, data: Mapping[str, Any], assets: Mapping[str, Asset]) -> tuple[bytes, int]:
    """The PDF's bytes and its number of pages; see `compile_pdf`."""
    content = _run(template, data, assets, format="pdf")
    return content, pages_of(content)


@dataclass(frozen=True)
class Page:
    """How a page of two columns is printed, as shares of its height without the lower margin."""

    ends: tuple[float, float]  # of each half, where the last print ends
    gaps: tuple[float, float]  # of each half, the largest blank part with print above it, or at its foot

    @property
    def filled(self) -> float:
        """Down to the last print, on average."""
        return sum(self.ends) / 2

    @property
    def gap(self) -> float:
        """The larger of the two."""
        return max(self.gaps)


def sketched(template: Path, data: Mapping[str, Any], assets: Mapping[str, Asset]) -> list[Page]:
    """How full each page is."""
    from PIL import Image

    drawn = _run(template, data, assets, format="png", ppi=SKETCH)
    pages = []
    for content in drawn if isinstance(drawn, list) else [drawn]:
        with Image.open(io.BytesIO(content)) as picture:
            page = picture.convert("L").point(lambda light: 255 if light < PRINTED else 0)
        width, height = page.size
        bottom = int(height * (1 - MARGIN))
        halves = [_rows(page.crop((left, 0, left + width // 2, bottom))) for left in (0, width // 2)]
        ends = [(max(rows, default=-1) + 1) / bottom for rows in halves]
        gaps = [max((b - a - 1 for a, b in pairwise([*rows, bottom])), default=bottom) / bottom for rows in halves]
        pages.append(Page((ends[0], ends[1]), (gaps[0], gaps[1])))
    return pages


def _rows(picture: Any) -> list[int]:
    """The rows of a picture in which something is printed."""
    return [y for y in range(picture.height) if picture.crop((0, y, picture.width, y + 1)).getbbox()]


def unbroken(data: Any) -> Any:
    """JSON-like data in whose texts no line ends between a number and its unit, or within a short interval."""
    if isinstance(data, str):
        return UNBROKEN.sub("\N{NO-BREAK SPACE}", data)
    if isinstance(data, Mapping):
        return {key: value if key in NO_TEXT else unbroken(value) for key, value in data.items()}
    return [unbroken(value) for value in data] if isinstance(data, list) else data


def told(template: Path, data: Mapping[str, Any], assets: Mapping[str, Asset], label: str) -> dict[str, Any]:
    """What a template tells of itself in a metadata of this label; empty where it tells nothing."""
    import typst

    found = _with_root(template, data, assets, typst.query, f"<{label}>", field="value")
    values = json.loads(found)
    return values[0] if values else {}


def _run(template: Path, data: Mapping[str, Any], assets: Mapping[str, Asset], **how: Any) -> Any:
    import typst

    return _with_root(template, data, assets, typst.compile, timestamp=TIMESTAMP, **how)


def _with_root(
    template: Path, data: Mapping[str, Any], assets: Mapping[str, Asset], do: Any, *more: Any, **how: Any
) -> Any:
    """Lay everything out in a temporary root and let Typst do something with the template there."""
    import typst

    with tempfile.TemporaryDirectory(prefix="bitbudget-typst-") as name:
        root = Path(name).resolve()
        main = _lay_out(root, template, assets)
        (root / DATA).write_text(
            json.dumps(unbroken(glyphs.shown_within(data)), ensure_ascii=False, allow_nan=False), encoding="utf-8"
        )
        try:
            return do(
                str(main),
                *more,
                root=str(root),
                font_paths=[str(glyphs.FONTS)],
                ignore_system_fonts=True,
                package_path=str(root / "packages"),
                package_cache_path=str(root / "packages"),
                **how,
            )
        except typst.TypstError as fault:
            raise UserError(_sentence(template, fault, root)) from None


def pages_of(content: bytes) -> int:
    """How many pages a PDF has that Typst has written: it leaves the page tree uncompressed."""
    return len(re.findall(rb"/Type\s*/Page\b", content))


def _lay_out(root: Path, template: Path, assets: Mapping[str, Asset]) -> Path:
    """Everything that the compilation may read, in its root; returns the template there."""
    if not template.is_file():
        raise UserError(f"the template {template} does not exist; name an existing Typst file.")
    beside = [path for path in sorted(template.parent.iterdir()) if path.suffix.lower() in BESIDE]
    for path in (*sorted(TEMPLATES.glob("*.typ")), *beside):
        shutil.copyfile(path, root / path.name)
    for name, path in assets.items():
        place = root / name
        if root not in place.resolve().parents:
            raise ValueError(f"the asset {name} would leave the folder of the template")
        if isinstance(path, bytes):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path)
            continue
        if not path.is_file():
            raise UserError(f"{path} does not exist, but the report shows it; make the study's results again.")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return root / template.name


def _sentence(template: Path, fault: Exception, root: Path) -> str:
    message = getattr(fault, "message", None) or str(fault)
    hints = [str(hint) for hint in getattr(fault, "hints", None) or []]
    said = "; ".join([message, *hints]).replace(f"{root}/", "")
    one_line = " ".join(said.split()).rstrip(".")
    return f"the template {template} cannot be set as a PDF: {one_line}; mend the template and run again."
