"""The word lists of `workflow/data/words`: data, which whoever knows better words edits without touching code."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[3] / "data" / "words"


def read(name: str) -> dict[str, Any]:
    """The lists of `workflow/data/words/{name}.toml`. A rule that uses them has their digest among its parameters."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
