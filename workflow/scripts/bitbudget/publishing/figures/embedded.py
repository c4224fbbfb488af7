"""Photographs in an svg file: each once, however often it is shown, and compressed as photographs are."""

from __future__ import annotations

import base64
import hashlib
import io
import re

from PIL import Image

IMAGE = re.compile(r'<image [^>]*?xlink:href="data:image/png;base64,\s*([^"]+)"[^>]*?/>')
PLACE = re.compile(r'(?<= )(?:transform|width|height|x|y)="[^"]*"')
QUALITY = 85


def once(svg: str) -> str:
    """The file with every picture among its definitions, and a reference to it wherever it was embedded.

    Matplotlib embeds a picture as PNG wherever it is shown: the same photograph under the boxes of eight precisions
    would be there eight times, each ten times as large as a JPEG. A picture that is smaller as PNG stays one.
    """
    pictures: dict[str, str] = {}

    def refer(found: re.Match[str]) -> str:
        place = dict(part.split("=", 1) for part in PLACE.findall(found[0]))
        size = " ".join(f"{name}={place.pop(name)}" for name in ("width", "height"))
        name = f"picture-{hashlib.sha256(found[1].encode()).hexdigest()[:12]}"
        if name not in pictures:
            pictures[name] = f'  <image id="{name}" {size} xlink:href="{_smaller(base64.b64decode(found[1]))}"/>\n'
        where = "".join(f" {key}={value}" for key, value in place.items())
        return f'<use xlink:href="#{name}"{where}/>'

    head, tag, rest = IMAGE.sub(refer, svg).partition("<defs>\n")
    return f"{head}{tag}{''.join(pictures.values())}{rest}"


def _smaller(png: bytes) -> str:
    """The picture as a data URI, as JPEG where that is smaller."""
    jpeg = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").save(jpeg, "JPEG", quality=QUALITY, optimize=True)
    kind, content = min(("png", png), ("jpeg", jpeg.getvalue()), key=lambda one: len(one[1]))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
