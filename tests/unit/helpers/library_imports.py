"""The library's modules, and what each of them imports of it."""

import ast

from bitbudget.config.dependencies import SCRIPTS

LIBRARY = SCRIPTS / "bitbudget"


def modules() -> dict[str, str]:
    """Each module of the library, without `bitbudget.`, and its code."""
    found = {}
    for path in LIBRARY.rglob("*.py"):
        name = ".".join(path.relative_to(LIBRARY).with_suffix("").parts).removesuffix(".__init__")
        found[name] = path.read_text(encoding="utf-8")
    return found


def imports(code: str, known: set[str]) -> set[str]:
    """The modules of the library that this code imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name.removeprefix("bitbudget.") in known else node.module for name in named}
    return {name.removeprefix("bitbudget.") for name in found if name.startswith("bitbudget.")}
