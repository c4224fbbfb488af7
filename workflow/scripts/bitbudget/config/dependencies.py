"""Which code a job really depends on, so that editing a file reruns what uses it and nothing else.

Snakemake does not see what a script imports: editing a module reruns nothing. Each rule therefore has a parameter
`code`, a digest over its script and every library file that this imports, found by following the import statements;
what is found lazily through the registry is named by the rule, module by module. Snakemake reruns a job whose
parameters have changed. A digest goes by content, so a fresh clone, or files unpacked with new dates, rerun nothing,
and thirty file names do not stand among the inputs of every job.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

SCRIPTS = Path(__file__).parents[2]
PACKAGES = ("bitbudget", "demo_recipes")
# The registry holds names only: registering a format must not rerun the jobs that do not use it. What a script is told
# of a study is seen in its job's parameters.
NO_CODE = ("bitbudget.registry.", "bitbudget.config.spec.")


def code_of(script: str, modules: Iterable[str] = ()) -> str:
    """A digest (16 hexadecimal digits) of the code that `script`, given these registered modules, may run."""
    digest = hashlib.sha256()
    for path in files_of(script, modules):
        digest.update(str(path.relative_to(SCRIPTS)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def content_of(*paths: str) -> str:
    """A digest of these files and of all that these folders hold: templates, fonts and the like, which are no code."""
    digest = hashlib.sha256()
    named = [Path(path) for path in paths]
    for path in sorted(file for one in named for file in (one.rglob("*") if one.is_dir() else [one])):
        if path.is_file():
            digest.update(str(path).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def files_of(script: str, modules: Iterable[str] = ()) -> list[Path]:
    """The script's file and every library file that it, or one of `modules`, imports."""
    found: set[Path] = set()
    waiting = {SCRIPTS / f"{script}.py", *(f for name in modules for f in _module_files(name))}
    while waiting:
        found |= waiting
        waiting = set().union(*map(_imported, waiting)) - found
    return sorted(found)


def forget() -> None:
    """Look at every file again: for tests that edit them. A run looks at each once, and does not edit any."""
    _module_files.cache_clear()
    _imported.cache_clear()


@cache
def _module_files(module: str) -> tuple[Path, ...]:
    """The file of a module of the library, and the `__init__.py` of each package above it."""
    if module.split(".")[0] not in PACKAGES or f"{module}.".startswith(NO_CODE):
        return ()
    path = SCRIPTS.joinpath(*module.split("."))
    own = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    above = [parent / "__init__.py" for parent in path.parents if SCRIPTS in parent.parents]
    return tuple(file for file in (own, *above) if file.is_file())


@cache
def _imported(path: Path) -> frozenset[Path]:
    """Every library file that a file imports, at its top or inside a function."""
    return frozenset(file for name in _names_imported(path.read_text(encoding="utf-8")) for file in _module_files(name))


@cache
def _names_imported(code: str) -> frozenset[str]:
    """What may be a module that this code imports, in absolute terms."""
    found: set[str] = set()
    for node in _statements(ast.parse(code).body):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            # `from bitbudget import files` names a module, `from bitbudget.files import x` does not
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Statements and those within them. Imports are among these: expressions, most of a file, need no look."""
    for node in body:
        yield node
        for within in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, within, ()))
