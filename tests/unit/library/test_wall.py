"""The wall between judging and publishing: what is published was judged and told, and is only chosen and set.

A publisher that imported judging, or had a threshold of its own, would say another thing than the others do.
"""

from __future__ import annotations

import ast
from pathlib import PurePosixPath

import pytest
from library_imports import LIBRARY, imports, modules

THRESHOLDS = (0.05, 0.01, 0.95)  # of a p value, of costs that are alike or tied, of an interval
# Of comparison.json: who reads these, judges, or words what telling should.
JUDGED = {"p_value", "p_holm", "stake", "units_changed"}
LIBRARY_MODULES = modules()
PUBLISHERS = sorted(name for name in LIBRARY_MODULES if name.startswith("publishing."))


def judges(name: str) -> list[str]:
    """What a publisher does that judging or telling should do; empty where it keeps to choosing and setting."""
    code = LIBRARY_MODULES[name]
    return [*_imported(code), *_thresholds(code), *_read(code)]


def _imported(code: str) -> list[str]:
    found = imports(code, set(LIBRARY_MODULES))
    return sorted(f"imports {other}" for other in found if other.split(".")[0] == "judging")


def _thresholds(code: str) -> list[str]:
    """Names like ALPHA, and comparisons with a number that is a threshold of judging."""
    found = []
    for node in ast.walk(ast.parse(code)):
        targets = node.targets if isinstance(node, ast.Assign) else []
        named = {target.id for target in targets if isinstance(target, ast.Name)} & {"ALPHA", "ALIKE", "TIE", "LEVEL"}
        found += [f"has a threshold {one}" for one in sorted(named)]
        if isinstance(node, ast.Compare):
            numbers = [one.value for one in (node.left, *node.comparators) if isinstance(one, ast.Constant)]
            if any(number in THRESHOLDS for number in numbers):
                found.append(f"compares {ast.unparse(node)}")
    return found


def _read(code: str) -> list[str]:
    texts = {node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)}
    return [f"reads {one}" for one in sorted(one for one in texts if isinstance(one, str) and one in JUDGED)]


@pytest.mark.parametrize("name", PUBLISHERS)
def test_a_publisher_does_not_judge(name: str) -> None:
    assert judges(name) == []


def test_the_wall_is_seen_where_it_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {
        "publishing.a": "from bitbudget.judging import costs",
        "publishing.b": "def f():\n    import bitbudget.judging.verdicts",
        "publishing.c": "ALPHA = 0.05",
        "publishing.d": "clear = p < 0.05",
        "publishing.e": "p = metric['p_holm']",
        "publishing.f": "from bitbudget.telling import wording\nwidth = 0.95",
    }
    monkeypatch.setitem(globals(), "LIBRARY_MODULES", LIBRARY_MODULES | broken)
    assert [bool(judges(name)) for name in broken] == [True, True, True, True, True, False]


def test_the_room_is_where_the_wall_is_looked_for() -> None:
    folders = {PurePosixPath(path.relative_to(LIBRARY)).parts[1] for path in LIBRARY.glob("publishing/*/*.py")}
    assert folders >= {"paper", "slides", "page", "appendix", "figures", "archive"}
