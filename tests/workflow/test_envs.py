"""The conda environments: written from the groups and the locks; complete for the rules that name them, and no more."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

import pin_environments
from bitbudget import registry
from bitbudget.config import deployment
from bitbudget.config.dependencies import PACKAGES, files_of
from bitbudget.errors import UserError

ROOT = Path(__file__).parents[2]
GROUPS = pin_environments.read_groups()
ENVS = sorted(path.stem for path in (ROOT / "envs").glob("*.yaml"))
# What only a track's `score` imports, which these rules never call: they read the track's METRICS.
ONLY_WHEN_SCORING = {"figures", "report", "inspection", "publication"}
SCORING = {"jsonschema", "referencing", "pycocoevalcap", "safetensors", "hotcoco"}
# What the families of detectors import for export_detector, which has an environment of its own, with torch.
ONLY_WHEN_EXPORTING = {"torch", "transformers", "safetensors"}
READ_AS_A_FILE = {"plotly", "xllamacpp"}  # plotly.min.js stands in the results page, and ctypes opens llama.cpp
LOADED_BY_TRANSFORMERS = {"compressed-tensors", "optimum"}  # ready checkpoints
LOADED_BY_TORCH = {"onnxscript"}  # its exporter to ONNX
LITERT_RULES = ("quantize_detector", "audit_detector", "detect", "measure_detector", "count_detector_flops")
DETECTOR_RULES = ("export_detector", "convert_detector", *LITERT_RULES)
# In an environment of its own, and not where these tests run.
ELSEWHERE = {"tensorflow": {"tensorflow-cpu"}, "keras": {"keras", "tensorflow-cpu"}}
PUBLISHING = ("write_page", "write_paper", "write_appendix", "write_slides")
# Registered modules that the code of a rule may be given (rules/*.smk, `code=`).
KINDS_OF_RULE = {
    "fetch_dataset": ("dataset",),
    "select_subset": ("dataset",),
    "select_shots": ("dataset",),
    "select_calibration": ("dataset",),
    "select_calibration_images": ("dataset",),
    "fetch_model": ("family",),
    "quantize_model": ("family", "format"),
    "audit_checkpoint": ("family", "format"),
    "predict": ("family", "format"),
    "predict_last_words": ("family", "format"),
    "measure_efficiency": ("family", "format"),
    "count_flops": ("family", "format"),
    **dict.fromkeys(DETECTOR_RULES, ("family", "format")),
    "score": ("track",),
    "score_blind": ("track",),
    "summarize_study": ("track",),
    "plot_figures": ("track",),
    "plot_breakdown": ("track",),
    "plot_detections": ("track",),
    **dict.fromkeys(("compare_precisions", "recommend_precision", "plot_comparison"), ("track",)),
    **dict.fromkeys(("tabulate_ablation", "plot_ablation"), ("track",)),
    **dict.fromkeys(("inspect_outputs", "gather_examples", *PUBLISHING), ("track",)),
}


def content(env: str) -> dict:
    return yaml.safe_load((ROOT / f"envs/{env}.yaml").read_text())


def pip_pins(env: str) -> dict[str, str]:
    """The packages that an environment takes from PyPI, by canonical name, with their versions."""
    pip = next(entry["pip"] for entry in content(env)["dependencies"] if isinstance(entry, dict))
    return {canonicalize_name(name): version for name, version in (entry.split("==") for entry in pip)}


def rules() -> dict[str, str]:
    """Every rule that runs a script, and its environment; but for those that call Snakemake itself."""
    found = {}
    for path in (ROOT / "rules").glob("*.smk"):
        for text in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            if not text.startswith(("reproduce:", "draw_rulegraph:")):
                found[text.split(":")[0]] = re.search(r'conda:\s+"\.\./envs/(\w+)\.yaml"', text)[1]
    return found


def direct(env: str) -> set[str]:
    """The packages that an environment holds because its rules import them."""
    return {canonicalize_name(name) for name in GROUPS["envs"][env]["pypi"]}


def without_gptq(env: str) -> None:
    """Skip where gptqmodel is not installed, as it is compiled at its installation: what it needs is not known then."""
    if "gptqmodel" in direct(env) and not importlib.util.find_spec("gptqmodel"):
        pytest.skip("gptqmodel is not installed here")


def rules_of(env: str) -> list[str]:
    return [rule for rule, named in rules().items() if named == env]


@cache
def distributions() -> dict[str, set[str]]:
    """Which installed distributions a module to import comes from."""
    found = defaultdict(set, {module: set(names) for module, names in ELSEWHERE.items()})
    for module, names in importlib.metadata.packages_distributions().items():
        found[module] = {canonicalize_name(name) for name in names}
    return found


def registered(rule: str) -> list[str]:
    """The registered modules that the code of a rule may be given: detectors have families and formats of their own."""
    found = []
    for kind in KINDS_OF_RULE.get(rule, ()):
        for name, module in registry.KINDS[kind].items():
            one = registry.module_of(kind, name)
            if kind == "family" and rule != "fetch_model":
                fits = ("detection" in one.TRACKS) == (rule in DETECTOR_RULES)
            elif kind == "format":
                fits = (one.FORMATS[name].runtime == "litert") == (rule in DETECTOR_RULES)
            else:
                fits = True
            found += [module] if fits else []
    return found


def imported(env: str, tried: bool = False) -> dict[str, str]:
    """The modules from outside the project and Python that an environment's rules import, and where.

    With `tried`, those as well that are only imported to see whether they are there.
    """
    found: dict[str, str] = {}
    for rule in rules_of(env):
        for path in files_of(rule, registered(rule)):
            for module in _imports(path, tried):
                top = module.split(".")[0]
                if top not in sys.stdlib_module_names and top not in PACKAGES:
                    found.setdefault(top, f"{rule}: {path.name}")
    return found


def _imports(path: Path, with_tried: bool) -> set[str]:
    """What a file imports, with or without what it imports to see whether it is there."""
    tree = ast.parse(path.read_text())
    tried = {
        node
        for attempt in ast.walk(tree)
        if isinstance(attempt, ast.Try) and not with_tried
        for statement in attempt.body
        for node in ast.walk(statement)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in tried:
            found |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else {node.module or ""}
    return found


def test_the_files_are_those_of_the_groups() -> None:
    assert sorted(GROUPS["envs"]) == ENVS


@pytest.mark.parametrize("env", ENVS)
def test_the_file_is_what_make_envs_writes(env: str) -> None:
    """It pins all that its packages need in turn, as their metadata say here, and pins it as the locks do."""
    without_gptq(env)
    text = pin_environments.environment(env, GROUPS, pin_environments.locked())
    assert (ROOT / f"envs/{env}.yaml").read_text() == text, "run: make envs"


@pytest.mark.parametrize("env", ENVS)
def test_the_file_is_as_conda_and_pip_read_it(env: str) -> None:
    """conda reads these keys and no other. It takes every channel for one to ask: conda 26.7 also `nodefaults`."""
    assert set(content(env)) == {"channels", "dependencies"}
    assert content(env)["channels"] == ["conda-forge"]
    from_conda = [entry for entry in content(env)["dependencies"] if isinstance(entry, str)]
    assert {entry.split("=")[0] for entry in from_conda} >= {"python", "pip"}
    assert all(re.fullmatch(r"[a-z0-9-]+=\d+(\.\d+)+", entry) for entry in from_conda)
    # a pin file or a script beside it would be used instead of the list for pip, or after it
    assert [path.suffix for path in (ROOT / "envs").iterdir() if path.stem.split(".")[0] == env] == [".yaml"]
    pip = next(entry["pip"] for entry in content(env)["dependencies"] if isinstance(entry, dict))
    assert pip == sorted(pip)
    assert all(re.fullmatch(r"[a-z0-9-]+==\d[\w.]*", entry) for entry in pip)


@pytest.mark.parametrize("env", ENVS)
def test_a_cpu_build_of_torch_can_take_the_place_of_the_cuda_build(env: str) -> None:
    cuda = {name for name in pip_pins(env) if name.startswith(pin_environments.CUDA_OF_TORCH)} - {"nvidia-ml-py"}
    assert cuda == set()


def test_only_one_environment_holds_torch() -> None:
    assert [env for env in ENVS if "torch" in pip_pins(env)] == ["inference"]


def test_the_lock_is_complete() -> None:
    """Each package that is asked for, with all that it needs."""
    lines = (ROOT / "requirements.in").read_text().splitlines()
    asked = [line.split("==")[0] for line in lines if line and not line.startswith("#")]
    needed = pin_environments.closure(asked, GROUPS["python"])
    assert needed - set(pin_environments.locked(pin_environments.LOCKS[:1])) == set()


def test_the_lock_is_what_is_installed_here() -> None:
    """The tests, and what importlib.metadata says in them, are of the locked versions."""
    # gptqmodel is compiled at its installation, for which a machine may lack the compiler
    locks = pin_environments.LOCKS[: 2 if importlib.util.find_spec("gptqmodel") else 1]
    for name, version in pin_environments.locked(locks).items():
        assert importlib.metadata.version(name).split("+")[0] == version, name


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        ({"a": ["b>=1", "c; extra == 'more'"], "b": []}, {"a", "b"}),
        ({"a": ["B_b[more]"], "b-b": ["c; extra == 'more'", "d; extra == 'other'"], "c": []}, {"a", "b-b", "c"}),
        ({"a": ["a[more]", "b; extra == 'more'"], "b": ["a"]}, {"a", "b"}),
        ({"a": ["b; sys_platform == 'win32'", "c; python_version < '3.12'", "d; python_version >= '3.12'"], "c": []},
         {"a", "c"}),
        ({"a": ["b; platform_system == 'Linux' and platform_machine == 'x86_64'"], "b": []}, {"a", "b"}),
        ({"a": ["torch", "nvidia-ml-py"], "torch": ["nvidia-cudnn-cu13==9", "cuda-toolkit[cufft]", "triton==3", "b"],
          "nvidia-ml-py": [], "b": []}, {"a", "nvidia-ml-py", "torch", "b"}),
    ],
)  # fmt: skip
def test_what_packages_need(needs: dict[str, list[str]], expected: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", needs.__getitem__)
    assert pin_environments.closure(["a"], "3.11.9") == expected


def test_a_package_that_no_lock_pins_and_one_that_is_not_installed_are_named() -> None:
    groups = GROUPS | {"envs": {"one": {"pypi": ["jsonschema"]}, "two": {"pypi": ["no-such-package"]}}}
    with pytest.raises(UserError, match=r"envs/one.yaml needs .*attrs.*, which no lock pins: run `make lock` first."):
        pin_environments.environment("one", groups, {"jsonschema": "1"})
    with pytest.raises(UserError, match="no-such-package is not installed here: run `make envs`"):
        pin_environments.environment("two", groups, {})


def test_every_rule_names_an_env_and_every_env_is_named() -> None:
    assert set(rules().values()) == set(ENVS)


@pytest.mark.parametrize("env", ENVS)
def test_the_comment_names_the_rules(env: str) -> None:
    """In the groups: a comment in the file would build the environment anew for every rule that is added."""
    comment = pin_environments.GROUPS.read_text().split(f"\n[{env}]\n")[0].rpartition("\n\n")[2]
    assert all(re.search(rf"\b{rule}\b", comment) for rule in rules_of(env))
    assert set(re.findall(r"\b\w+_\w+\b", comment)) <= set(rules_of(env))


@pytest.mark.parametrize("env", ENVS)
def test_the_env_is_complete(env: str) -> None:
    there = set(pip_pins(env))
    missing = {
        module: where for module, where in imported(env).items() if not (distributions().get(module, set()) & there)
    }
    allowed = (SCORING if env in ONLY_WHEN_SCORING else set()) | (
        ONLY_WHEN_EXPORTING if env in ("detection", "tensorflow") else set()
    )
    assert set(missing) <= allowed, missing


@pytest.mark.parametrize("script", ["summarize_study", "plot_figures", "plot_breakdown"])
def test_the_report_does_without_what_only_scoring_needs(script: str) -> None:
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in sorted(SCORING))
    code = f"import sys; {blocked}import {script}; from bitbudget.tracks import captioning; captioning.METRICS"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "workflow/scripts", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("env", ENVS)
def test_the_env_holds_no_more_than_its_rules_need(env: str) -> None:
    used = set().union(*(distributions().get(module, set()) for module in imported(env, tried=True)))
    assert direct(env) - used - READ_AS_A_FILE - LOADED_BY_TRANSFORMERS - LOADED_BY_TORCH == set()


@pytest.mark.conda
@pytest.mark.parametrize("env", ENVS)
def test_conda_can_create_the_env(env: str, tmp_path: Path) -> None:
    if shutil.which("conda") is None:
        pytest.skip("there is no conda on the PATH")
    create = ["conda", "env", "create", "--quiet", "--yes", "--prefix", str(tmp_path / env)]
    create += ["--file", str(ROOT / f"envs/{env}.yaml")]
    done = subprocess.run(create, env=os.environ | deployment.FOR_CONDA, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
