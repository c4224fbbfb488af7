"""The order of a whole test run."""

from __future__ import annotations

from pathlib import Path

import pytest

# The folders whose files take longest. They come first, so that no process is left with a long one at the end.
LONGEST = ("end_to_end", "workflow", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; with pytest-xdist this needs --no-loadscope-reorder."""
    items.sort(key=lambda item: _rank(item.path))


def _rank(path: Path) -> int:
    folder = path.relative_to(Path(__file__).parent).parts[0]
    return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)
