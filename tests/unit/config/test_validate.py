"""Reading YAML and checking it against a schema: each fault is one sentence with the place and the remedy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from config_folder import ROOT, ConfigFolder, is_one_sentence

from bitbudget.config.validate import check, read_yaml, schema, with_defaults
from bitbudget.errors import UserError, suggest
from bitbudget.registry import DATASETS, FORMATS, format_of, module_of
from bitbudget.system.machine import Machine

SCHEMAS = sorted(path.name.removesuffix(".schema.json") for path in (ROOT / "workflow/schemas").glob("*.schema.json"))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigFolder:
    monkeypatch.chdir(tmp_path)
    return ConfigFolder(tmp_path)


def refusal(content: Any, rules: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        check(content, rules, "file.yaml")
    assert is_one_sentence(str(caught.value)), caught.value
    return str(caught.value)


def read_refusal(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    assert is_one_sentence(str(caught.value)), caught.value
    return str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"^nowhere/x\.yaml does not exist; write it, or name another file\.$"):
        read_yaml(Path("nowhere/x.yaml"))


def test_a_key_given_twice_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    wanted = f"{path}, line 3, is not valid YAML: the key `seed` stands here a second time; remove one of the two."
    assert read_refusal(path, "seed: 1\ntrack: a\nseed: 2\n") == wanted
    assert "line 3, is not valid YAML: the key `a` stands" in read_refusal(path, "images:\n  a: 1\n  a: 2\n")


@pytest.mark.parametrize("key", ["2024-05-06", "3", "1.5", "~", "yes", "? [1, 2]\n", "? {a: 1}\n"])
def test_a_key_that_is_no_text_is_named_with_its_line(key: str, tmp_path: Path) -> None:
    said = read_refusal(tmp_path / "x.yaml", f"study: a\n{key}: 1\n")
    assert "line 2, is not valid YAML: the key " in said and "is no text; put it in quotes" in said
    assert key in said or key.startswith("?")


def test_mappings_can_be_merged_as_yaml_has_it(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: &own {x: 1, y: 2}\nb:\n  <<: *own\n  y: 3\n")
    assert read_yaml(path)["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize("text", ["a: b: c\n", "a: [1, 2\n", "a: 'b\n", "\ta: 1\n"])
def test_broken_yaml_is_named_with_its_line(text: str, tmp_path: Path) -> None:
    assert read_refusal(tmp_path / "x.yaml", text).startswith(f"{tmp_path}/x.yaml, line ")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(UserError, match=r"x\.yaml is not UTF-8 text \(byte .*save the file as UTF-8\.$"):
        read_yaml(path)


def test_a_control_character_is_a_sentence(tmp_path: Path) -> None:
    assert "is not text in UTF-8" in read_refusal(tmp_path / "x.yaml", "a: \x07\n")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"study": 5}, "`study` is 5, and must be the name of a study or a list of such names."),
        ({"study": []}, "`study` is empty; name at least one, or leave the key out where it has a default."),
        ({"study": [1]}, "entry 1 of `study` is 1, and must be text."),
        ({"study": ["a", "a"]}, "`study` names 'a' more than once; name it once."),
        ({"study": {"a": 1}}, "`study` is a mapping, and must be the name of a study or a list of such names."),
        ({}, "the key `study` is missing; add it."),
        ({"stduy": "a", "study": "a"}, "there is no key `stduy`; did you mean `study`?"),
        ({"threads": 4, "study": "a"}, "there is no key `threads`; known are study, code."),
        ([], "it is a list, and must be a mapping."),
        ({"study": "a", "code": {"adress": None}}, "there is no key `adress` in `code`; did you mean `address`?"),
        (
            {"study": "a", "code": {"address": "my disk"}},
            "`code.address` is 'my disk', which does not fit: Where readers find it, an http:// or https:// address, "
            "the same as `repository-code` in CITATION.cff; null for nowhere but in the archive.",
        ),
    ],
)
def test_faults_of_the_top_level_config(content: Any, sentence: str) -> None:
    assert refusal(content, schema("config")) == f"file.yaml: {sentence}"


LEAST = {"study": "a", "track": "captioning", "dataset": {"name": "d"}, "models": ["m"]}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"bacth_size": 4}, "there is no key `bacth_size`; did you mean `batch_size`?"),
        ({"images": {"maxside": 4}}, "there is no key `maxside` in `images`; did you mean `max_side`?"),
        ({"batch_size": 0}, "`batch_size` is 0, and must be at least 1 (Items in one batch"),
        ({"batch_size": "8"}, "`batch_size` is '8', and must be a whole number (Items in one batch"),
        ({"batch_size": True}, "`batch_size` is true, and must be a whole number"),
        ({"generation": {"do_sample": True}}, "`generation.do_sample` is true, and must be false (Sampling is refused"),
        ({"generation": {"num_beams": 0}}, "`generation.num_beams` is 0, and must be at least 1 (Beams of"),
        ({"measure": {"min_seconds": 0}}, "`measure.min_seconds` is 0, and must be more than 0 (Shortest time"),
        ({"images": {"downloads": 99}}, "`images.downloads` is 99, and must be at most 32 (Images fetched"),
        ({"device": "gpu"}, "`device` is 'gpu', and must be one of auto, cpu, cuda ("),
        (
            {"accept": {"prefer": "speed"}},
            "`accept.prefer` is 'speed', and must be one of memory, size, latency, energy.",
        ),
        (
            {"accept": {"prefer": ["size", "speed"]}},
            "entry 2 of `accept.prefer` is 'speed', and must be one of memory, size, latency, energy.",
        ),
        ({"accept": {"prefer": ["size", "size"]}}, "`accept.prefer` names 'size' more than once; name it once."),
        ({"accept": {"prefer": []}}, "`accept.prefer` is empty; name at least one"),
        (
            {"accept": {"prefer": 3}},
            "`accept.prefer` is 3, and must be one of memory, size, latency and energy or a list of them.",
        ),
        ({"noise_floor": "thread"}, "`noise_floor` is 'thread', and must be one of true, false, threads ("),
        ({"carbon": {"country": "Austria"}}, "`carbon.country` is 'Austria', which does not fit: ISO 3166-1"),
        ({"study": "Mine"}, "`study` is 'Mine', which does not fit: The study's name: small letters"),
        ({"study": "a/b"}, "`study` is 'a/b', which does not fit: The study's name: small letters"),
        ({"prompt": ""}, "`prompt` is '', which does not fit: What the model is asked"),
        ({"models": []}, "`models` is empty; name at least one"),
        ({"models": "demo-vlm"}, "`models` is 'demo-vlm', and must be a list (Names of config/models.yaml)."),
        ({"precisions": ["a", "b", "a"]}, "`precisions` names 'a' more than once; name it once."),
        (
            {"dataset": {"name": "d", "subset": "half"}},
            "`dataset.subset` is 'half', and must be a whole number, `all` or `{ids: file}`.",
        ),
        ({"dataset": {"name": "d", "subset": -5}}, "`dataset.subset` is -5, and must be at least 1."),
        (
            {"dataset": {"name": "d", "subset": 2.5}},
            "`dataset.subset` is 2.5, and must be a whole number, `all` or `{ids: file}`.",
        ),
        ({"dataset": {"name": "d", "subset": {"id": "x"}}}, "there is no key `id` in `dataset.subset`; did you mean"),
        ({"dataset": {"name": "d", "subset": {}}}, "the key `ids` is missing in `dataset.subset`; add it."),
        ({"dataset": {}}, "the key `name` is missing in `dataset`; add it."),
        ({"dataset": "coco"}, "`dataset` is 'coco', and must be a mapping (What the models are evaluated on)."),
        ({"seed": None}, "`seed` is null, and must be a whole number (Fixes the subset"),
    ],
)
def test_faults_of_a_study(keys: dict[str, Any], sentence: str) -> None:
    assert refusal(LEAST | keys, schema("study")).startswith(f"file.yaml: {sentence}")


@pytest.mark.parametrize(
    ("table", "content", "sentence"),
    [
        ("precisions", {"x": {}}, "`x` is empty; name at least one"),
        ("precisions", {"x": {"language": {"formt": "a"}}}, "the key `format` is missing in `x.language`; add it."),
        (
            "precisions",
            {"x": {"language": 8}},
            "`x.language` is 8, and must be the name of a format or `{format: name, option: value}`.",
        ),
        ("precisions", {"X y": {"all": "a"}}, "the name 'X y' does not fit: A name has small letters"),
        (
            "models",
            {"m": {"family": "llava", "licence": "MIT"}},
            "exactly one of `hub`, `local`, `url` and `package` must stand in `m`;",
        ),
        (
            "models",
            {"m": {"family": "llava", "licence": "MIT", "hub": "a/b", "local": "c"}},
            "exactly one of `hub`, `local`, `url` and `package` must stand in `m`; add one, or remove the other.",
        ),
        ("models", {"m": {"family": "llava", "hub": "a/b"}}, "the key `licence` is missing in `m`; add it."),
        (
            "models",
            {"m": {"family": "llava", "licence": "MIT", "hub": "a/b", "revision": "main"}},
            "`m.revision` is 'main', which does not fit: Commit of the repository, 40 hexadecimal digits",
        ),
        ("datasets", {"D": {"kind": "nocaps"}}, "the name 'D' does not fit: A name has small letters"),
        ("datasets", {"d": {"knd": "nocaps", "kind": "nocaps"}}, "there is no key `knd` in `d`; did you mean `kind`?"),
    ],
)
def test_faults_of_the_tables(table: str, content: Any, sentence: str) -> None:
    assert refusal(content, schema(table)).startswith(f"file.yaml: {sentence}")


def test_an_option_of_what_has_none_says_so() -> None:
    rules = {"properties": {}, "additionalProperties": False}
    assert refusal({"x": 1}, rules) == "file.yaml: there is no key `x`, nor any other; remove it."


def test_the_closest_name_is_suggested_or_else_all() -> None:
    assert suggest("smolvlm-265m", ["smolvlm-256m", "demo-vlm"]) == "did you mean smolvlm-256m?"
    assert suggest("zzz", ["b", "a"]) == "known are a, b."
    assert suggest("zzz", []) == "there is none yet: add it."


def _properties(rules: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every key of a schema, with its rule."""
    for key, rule in rules.get("properties", {}).items():
        yield (*path, key), rule
        yield from _properties(rule, (*path, key))
    for form in (*rules.get("oneOf", ()), rules.get("additionalProperties")):
        if isinstance(form, dict):
            yield from _properties(form, (*path, "*"))


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_of_a_schema_has_a_description(name: str) -> None:
    without = [".".join(path) for path, rule in _properties(schema(name)) if not rule.get("description")]
    assert without == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_form_that_a_value_may_take_has_a_title(name: str) -> None:
    def forms(rules: Any) -> Iterator[dict[str, Any]]:
        if isinstance(rules, dict):
            yield from rules.get("oneOf", ())
            for inner in rules.values():
                yield from forms(inner)

    assert all("title" in form or set(form) == {"required"} for form in forms(schema(name)))


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"as-is"}))  # whose option comes from the study
def test_every_option_of_a_format_has_a_description_and_a_default(name: str) -> None:
    assert all(rule.get("description") and "default" in rule for rule in format_of(name).options.values())


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_option_of_a_dataset_has_a_description_and_a_default_or_is_required(name: str) -> None:
    reader = module_of("dataset", name)
    for key, rule in reader.OPTIONS.items():
        assert rule.get("description")
        assert ("default" in rule) != (key in reader.REQUIRED)


LANGUAGE = {"track": "lambada", "dataset": {"name": "demo-passages", "subset": 4}, "models": ["demo-lm"]}
DETECTION = {"track": "detection", "dataset": {"name": "demo-boxes", "subset": 4}, "models": ["demo-detector"]}


def test_every_default_of_the_schema_arrives_in_the_resolved_study(config: ConfigFolder) -> None:
    plain = Machine("made up", bf16=False)
    study, others = config.resolved(machine=plain), [config.resolved(**LANGUAGE), config.resolved(**DETECTION)]
    walked = 0
    for path, rule in _properties(schema("study")):
        if "default" not in rule or "properties" in rule:
            continue
        value: Any = next(one for one in (study, *others) if path[0] in one)
        for key in path:
            value = value[key]
        if path != ("dataset", "options"):  # the data set's own defaults stand there
            assert value == rule["default"], path
        walked += 1
    assert walked > 20
    # what the track, the data set and the list of precisions decide
    assert study["precisions"] == ["float32", "int8-language", "int8-vision", "int8-language-vision"]
    assert (study["baseline"], study["dataset"]["split"], study["conditions"]) == ("float32", "val", ["zero-shot"])


def test_every_key_of_the_schema_is_in_the_resolved_study(config: ConfigFolder) -> None:
    """In a study of pictures, of passages or of objects: each has what its models have a use for."""
    pictures = config.resolved(ablation={"format": "rtn-3"}, answer={"first_line": True})
    found = set(pictures) | set(config.resolved(**LANGUAGE)) | set(config.resolved(**DETECTION))
    assert set(schema("study")["properties"]) <= found


def test_defaults_are_copies_and_what_is_given_stays() -> None:
    rules = {"properties": {"a": {"default": []}, "b": {"default": {}, "properties": {"c": {"default": 1}}}}}
    first = with_defaults({}, rules)
    first["a"].append(1)
    assert with_defaults({"b": {"c": 2}}, rules) == {"a": [], "b": {"c": 2}}


def test_resolving_a_study_imports_nothing_heavy() -> None:
    code = """
from bitbudget.config import plan, run, spec
from bitbudget.config.dependencies import code_of
from bitbudget.config.study import load_studies
studies = load_studies({"study": ["demo-captioning"]})
for study in studies.values():
    for model, precision, condition in plan.cells(study):
        job = {"model": model, "precision": precision, "condition": condition}
        spec.of("quantize_model", study, job), spec.of("predict", study, job)
        code_of("predict", plan.modules(study, model, precision))
run.summary_lines(studies)
import json, sys
json.dumps(studies)
heavy = {"torch", "numpy", "pandas", "transformers", "bitsandbytes", "torchao", "PIL", "matplotlib", "requests"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    env = {"PYTHONPATH": str(ROOT / "workflow/scripts"), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_schemas_are_valid_json_schemas() -> None:
    from jsonschema import Draft202012Validator

    for name in SCHEMAS:
        Draft202012Validator.check_schema(schema(name))
