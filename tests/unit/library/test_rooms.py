"""The library's rooms: nothing lies loose, and imports between rooms point one way."""

import ast

import pytest
from library_imports import LIBRARY, imports, modules

from bitbudget.config.dependencies import SCRIPTS

LOOSE = {"__init__", "cli", "contracts", "errors", "files", "records", "registry"}
# A room imports from those before it; the registry, which holds names only, may be asked from everywhere.
ROOMS = [
    "system", "untrusted", "stats", "fetching", "items", "datasets", "models", "runtimes", "measuring", "metrics",
    "tracks", "inspection", "spot_check", "judging", "telling", "provenance", "publishing", "config",
]  # fmt: skip
AGAINST_THE_ORDER = {
    ("runtimes.litert.spec", "config.validate"),
}


def arrows() -> set[tuple[str, str]]:
    """Every import between two rooms: who imports, and what."""
    library = modules()
    pairs = {(name, other) for name, code in library.items() for other in imports(code, set(library))}
    return {(name, other) for name, other in pairs if room(name) != room(other) and not {name, other} & LOOSE}


def room(name: str) -> str:
    return name.split(".")[0]


def test_no_module_lies_outside_a_room() -> None:
    assert {path.stem for path in LIBRARY.glob("*.py")} == LOOSE
    assert {path.parent.name for path in LIBRARY.glob("*/*.py")} == set(ROOMS)


def test_imports_between_rooms_point_one_way() -> None:
    against = {(name, other) for name, other in arrows() if ROOMS.index(room(name)) < ROOMS.index(room(other))}
    assert against == AGAINST_THE_ORDER


def test_the_library_knows_nothing_of_scripts_and_recipes() -> None:
    outside = {path.stem for path in SCRIPTS.glob("*.py")} | {"demo_recipes"}
    for name, code in modules().items():
        nodes = list(ast.walk(ast.parse(code)))
        named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        named |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not {one.split(".")[0] for one in named} & outside, name


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_says_what_it_is_for(name: str) -> None:
    for folder in {path.parent for path in (LIBRARY / name).rglob("*.py")}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))), folder
