"""What scripts are told of a study: each names its keys, reads no others, and explains them in its help."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import sys
from collections.abc import Iterator

import pytest

from bitbudget import cli
from bitbudget.config import dependencies, spec
from bitbudget.errors import UserError

TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in spec.SCRIPTS.glob("*.py")}
SCRIPTS = sorted(script for script, text in TEXTS.items() if "cli.spec(" in text)


def test_a_spec_is_taken_in_one_way() -> None:
    assert len(SCRIPTS) > 40
    assert not [script for script, text in TEXTS.items() if '"--spec"' in text]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_key_of_a_script_is_known_and_named_once(script: str) -> None:
    keys = spec.keys_of(script)
    assert set(keys) <= set(spec.KEYS)
    assert len(set(keys)) == len(keys)
    assert not [key for key in keys if any(other.startswith(f"{key}.") for other in keys)], "a key within another"


def test_every_known_key_is_read_by_a_script() -> None:
    assert {key for script in SCRIPTS for key in spec.keys_of(script)} == set(spec.KEYS)


class Reads:
    """The keys that a script reads off `args.spec`, or off a name for it or for a part of it."""

    def __init__(self, script: str):
        self.names: dict[str, str] = {}
        nodes = list(ast.walk(ast.parse(TEXTS[script])))
        self.names |= {one.arg: "" for node in nodes if isinstance(node, ast.arguments) for one in node.args
                       if one.arg == "spec"}  # fmt: skip
        for _ in range(2):  # a name for a part of a name
            for node in nodes:
                if isinstance(node, ast.Assign):
                    self._assigned(node.targets[0], node.value)
        self.found = {place for node in nodes for place in self._read(node)}

    def _assigned(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, its in zip(target.elts, value.elts, strict=True):
                self._assigned(one, its)
        elif isinstance(target, ast.Name) and (place := self._place(value)) is not None:
            self.names[target.id] = place

    def _place(self, node: ast.expr) -> str | None:
        """`measure.items` for `spec["measure"]["items"]`; None for what is no part of a spec."""
        if (
            isinstance(node, ast.Attribute)
            and node.attr == "spec"
            and getattr(node.value, "id", "") in ("args", "arguments")
        ):
            return ""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        key, whole = None, None
        if isinstance(node, ast.Subscript):
            key, whole = node.slice, self._place(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            key, whole = node.args[0], self._place(node.func.value)
        if whole is None or not isinstance(key, ast.Constant):
            return None
        return f"{whole}.{key.value}".removeprefix(".")

    def _read(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, (ast.Subscript, ast.Call)) and (place := self._place(node)):
            yield place
        if (
            isinstance(node, ast.Compare)
            and isinstance(node.left, ast.Constant)
            and self._place(node.comparators[0]) == ""
        ):  # "bos" in spec
            yield node.left.value
        if isinstance(node, ast.DictComp) and isinstance(node.value, ast.Subscript):  # {key: spec[key] for key in …}
            source = node.generators[0].iter
            if self._place(node.value.value) == "" and isinstance(source, ast.Tuple):
                yield from ast.literal_eval(source)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_reads_no_key_that_it_does_not_name(script: str) -> None:
    keys = spec.keys_of(script)

    def named(place: str) -> bool:
        """Whether a key is this place, lies in it, or holds it."""
        return any(f"{key}.".startswith(f"{place}.") or f"{place}.".startswith(f"{key}.") for key in keys)

    assert not [place for place in Reads(script).found if not named(place)]


def test_the_search_sees_every_way_of_reading() -> None:
    assert {"device", "simulated", "measure.batch_sizes", "generation.num_beams", "bos"} <= Reads(
        "measure_efficiency"
    ).found
    assert {"calibration.split", "calibration.file"} <= Reads("select_calibration").found
    assert {"batch_size", "again", "condition"} <= Reads("predict").found


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_names_no_key_that_nothing_reads(script: str) -> None:
    """Every key stands as a word somewhere in the code that the script may run."""
    words = set()
    for path in dependencies.files_of(script):
        code = ast.parse(path.read_text(encoding="utf-8"))
        for node in code.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SPEC":
                continue
            words |= {one.value for one in ast.walk(node) if isinstance(one, ast.Constant)}
            words |= {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}  # `place(**spec["carbon"])`
    assert not [key for key in spec.keys_of(script) if key.split(".")[-1] not in words]


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_help_explains_every_key(
    script: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.setenv("COLUMNS", "300")
    module = importlib.import_module(script)
    assert spec.keys_of(script) == module.SPEC
    with pytest.raises(SystemExit):
        module.main()
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for key in spec.keys_of(script):
        about = spec.KEYS[key]
        assert f"{key}: {about.help}{'; may be left out' if about.optional else ''}" in lines


def given(text: str, *keys: str) -> dict:
    parser = argparse.ArgumentParser()
    cli.spec(parser, keys or ("study", "seed", "top_k", "measure.items"))
    return parser.parse_args(["--spec", text]).spec


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "--spec is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)): {"),
        ("3", '--spec is no JSON object, {"key": value, …}: 3'),
        (
            '{"study": "s", "sed": 3, "measure": {"items": 2}}',
            "--spec has a key `sed`, which this script does not read; did you mean seed?",
        ),
        (
            '{"study": "s", "seed": 3, "measure": {"items": 2, "warmup": 1}}',
            "--spec has a key `measure.warmup`, which this script does not read; did you mean measure.items?",
        ),
        (
            '{"study": "s", "seed": 3, "measure": {}}',
            "--spec lacks the key `measure.items` (number of items that are measured).",
        ),
        (
            '{"study": "s"}',
            "--spec lacks the key `seed` (number that fixes all that is drawn by chance); missing are seed, "
            "measure.items.",
        ),
    ],
)
def test_what_is_wrong_with_a_spec_given_by_hand_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        given(text)
    assert str(caught.value) == sentence


def test_what_is_optional_may_be_left_out_and_a_part_may_be_given_whole() -> None:
    whole = {"study": "s", "seed": 3, "measure": {"items": 2}}
    assert given(json.dumps(whole)) == whole
    assert given(json.dumps(whole | {"top_k": [1]})) == whole | {"top_k": [1]}
    inside = {"measure": {"anything": {"measure": 3}}}
    assert given(json.dumps(inside), "measure") == inside
