"""Which code a job really depends on, so that editing a file reruns what uses it and nothing else.

Snakemake does not see what a script imports: editing a module reruns nothing. Each rule therefore has a parameter
`code`, a digest over its script and every library file that this imports, found by following the import statements;
what is found lazily through the registry is named by the rule, module by module. Snakemake reruns a job whose
parameters have changed. A digest goes by content, so a fresh clone, or files unpacked with new dates, rerun nothing,
and thirty file names do not stand among the inputs of every job.

What a track, data set, family or format says of itself for readers (`contracts.WORDS`) is left out of the digest of a
job that shows none of it: a sentence in a data set's module is no reason to fetch it again.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from bitbudget import contracts

SCRIPTS = Path(__file__).parents[2]
PACKAGES = ("bitbudget", "demo_recipes")
# Registry and contracts hold names only: registering a format must not rerun the jobs that do not use it. What a script
# is told of a study is seen in its job's parameters, and so is what the machine decides of it.
NO_CODE = (
    "bitbudget.registry.", "bitbudget.contracts.", "bitbudget.config.spec.", "bitbudget.models.formats.pace.",
    "bitbudget.system.machine.",
)  # fmt: skip
# folders of modules that have words
SPEAKING = ("tracks", "datasets", "models/families", "models/formats", "runtimes/llama_cpp", "runtimes/onnxruntime")


def code_of(script: str, modules: Iterable[str] = (), shown: Iterable[str] = ()) -> str:
    """A digest (16 hexadecimal digits) of the code that `script`, given these registered modules, may run.

    Words are none of it, but for those of the registered modules that are `shown`.
    """
    digest = hashlib.sha256()
    spoken = _with_imports(file for name in shown for file in _module_files(name))
    found = [(path, _code_and_words(path)[0]) for path in files_of(script, modules)]
    found += [(path, words) for path in spoken if (words := _code_and_words(path)[1])]
    for path, content in found:
        digest.update(str(path.relative_to(SCRIPTS)).encode() + b"\0" + content + b"\0")
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
    return _with_imports([SCRIPTS / f"{script}.py", *(f for name in modules for f in _module_files(name))])


def _with_imports(files: Iterable[Path]) -> list[Path]:
    """These files, and every library file that one of them imports."""
    found: set[Path] = set()
    waiting = set(files)
    while waiting:
        found |= waiting
        waiting = set().union(*map(_imported, waiting)) - found
    return sorted(found)


def forget() -> None:
    """Look at every file again: for tests that edit them. A run looks at each once, and does not edit any."""
    _module_files.cache_clear()
    _imported.cache_clear()
    _code_and_words.cache_clear()


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
def _code_and_words(path: Path) -> tuple[bytes, bytes]:
    """A file's code, and the words in it: what a registered module, or a class in it, gives the name of words."""
    if path.parent not in [SCRIPTS / "bitbudget" / folder for folder in SPEAKING]:
        return path.read_bytes(), b""
    text = path.read_text(encoding="utf-8")
    lines, words = text.splitlines(keepends=True), []
    outer = ast.parse(text).body
    for node in (*outer, *(inner for one in outer if isinstance(one, ast.ClassDef) for inner in one.body)):
        if _names_of(node) & contracts.WORDS:
            words += lines[node.lineno - 1 : node.end_lineno]
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "".join(lines).encode(), "".join(words).encode()


def _names_of(node: ast.AST) -> set[str]:
    """What a statement gives a value to."""
    if isinstance(node, ast.FunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


# A line that may begin an import, to the end of the brackets that it opens. Parsing these alone takes a tenth of the
# time of parsing whole files, which was a third of what Snakemake needs to start.
_IMPORT = re.compile(r"^[ \t]*((?:import|from)[ \t][^\n(]*(?:\([^)]*\))?)", re.MULTILINE)


@cache
def _names_imported(code: str) -> frozenset[str]:
    """What may be a module that this code imports, in absolute terms; every import must begin a line."""
    found: set[str] = set()
    for text in _IMPORT.findall(code):
        try:
            statements = ast.parse(text).body
        except SyntaxError:  # a line of prose
            continue
        for node in statements:
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
                # `from bitbudget import files` names a module, `from bitbudget.files import x` does not
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)
