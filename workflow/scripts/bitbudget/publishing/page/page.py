"""The page put together: template, styles, its program in pieces, two libraries, and the study's data.

Questions, references, answers and module names are other people's text. They stand in the page as JSON in which no
character can end the element around it, the page's program shows them as text only, and the content security policy
lets the browser run the page's own scripts, by their hashes, and load nothing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitbudget.errors import UserError
from bitbudget.untrusted.page_data import embedded, script_hash

# The program's pieces, joined in this order: each may use what those before it define.
PIECES = (
    "base", "verdict", "table", "theme", "plots", "modules", "differences", "boxes", "examples", "inspection", "graph",
    "about", "start",
)  # fmt: skip
STYLES = ("base", "parts", "examples")
PLOTLY = "package_data/plotly.min.js"
GRAPHVIZ = "vendor/viz-global.js"
# A text that would end a script, or let a later one begin inside it (HTML standard, 4.12.1.3).
UNSAFE = ("</script", "<script", "<!--")


def plotly() -> str:
    """The program of Plotly as its package ships it. Raises `UserError` where the package is not there."""
    found = importlib.util.find_spec("plotly")
    path = Path(found.origin).parent / PLOTLY if found and found.origin else None
    if path is None or not path.exists():
        raise UserError("the package plotly is not installed; install requirements.lock, or run with --use-conda.")
    return path.read_text(encoding="utf-8")


def assemble(folder: Path, data: Mapping[str, Any]) -> str:
    """The page; `folder` is workflow/report, with page.html, page/*.css, page/*.js and vendor/.

    Raises `ValueError` where a script has a text that would end it early, or the template lacks a place.
    """
    pieces = "".join(_read(folder / "page" / f"{name}.js") for name in PIECES)
    scripts = {
        "program": f'"use strict";\n(() => {{\n{pieces}}})();\n',
        "plotly": plotly(),
        "graphviz": _read(folder / GRAPHVIZ),
    }
    for name, text in scripts.items():
        if any(end in text.lower() for end in UNSAFE):
            raise ValueError(f"the script {name} has a text that cannot stand inside a page: one of {UNSAFE}")
    filled = {f"{name} hash": script_hash(text) for name, text in scripts.items()}
    filled["style"] = "".join(_read(folder / "page" / f"{name}.css") for name in STYLES)
    # the data last, because a text in it may look like a place
    filled |= scripts | {"data": embedded(data)}
    page = _read(folder / "page.html")
    for place, text in filled.items():
        mark = f"{{{{{place}}}}}"
        if page.count(mark) != 1:
            raise ValueError(f"the page needs {mark} once")
        page = page.replace(mark, text)
    return page


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
