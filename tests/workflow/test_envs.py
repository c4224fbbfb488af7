"""The conda environments: pinned as the lock pins, complete for the rules that name them, and not more than that."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bitbudget import registry
from bitbudget.config.dependencies import files_of

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-gptq.lock")
ENVS = sorted(path.stem for path in (ROOT / "envs").glob("*.yaml"))
# What only a track's `score` imports, which these rules never call: they read the track's METRICS.
ONLY_WHEN_SCORING = {"figures", "report", "inspection", "publication"}
SCORING = {"jsonschema", "referencing", "pycocoevalcap", "safetensors", "hotcoco"}
READ_AS_A_FILE = {"plotly"}  # its plotly.min.js stands in the results page
DETECTOR_RULES = (
    "export_detector",
    "quantize_detector",
    "audit_detector",
    "detect",
    "measure_detector",
    "count_detector_flops",
)
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


def lock(*names: str) -> dict[str, str]:
    """The pins of these lock files, by canonical name; of both where none is named."""
    lines = [line for name in names or LOCKS for line in (ROOT / name).read_text().splitlines()]
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pins}


def rules() -> dict[str, str]:
    """Every rule that runs a script, and its environment; but for those that call Snakemake itself."""
    found = {}
    for path in (ROOT / "rules").glob("*.smk"):
        for text in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            if not text.startswith(("reproduce:", "draw_rulegraph:")):
                found[text.split(":")[0]] = re.search(r'conda:\s+"\.\./envs/(\w+)\.yaml"', text)[1]
    return found


def rules_of(env: str) -> list[str]:
    return [rule for rule, named in rules().items() if named == env]


@cache
def distributions() -> dict[str, set[str]]:
    """Which installed distributions a module to import comes from."""
    found = defaultdict(set)
    for module, names in importlib.metadata.packages_distributions().items():
        found[module] = {canonicalize_name(name) for name in names}
    return found


@cache
def needs_of(distribution: str) -> frozenset[str]:
    """A distribution with all that it requires, and what that requires, without extras."""
    found, waiting = set(), [distribution]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            wanted = importlib.metadata.requires(name) or ()
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform
        for requirement in map(Requirement, wanted):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    return frozenset(found)


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
                if top not in sys.stdlib_module_names and top != "bitbudget":
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


@pytest.mark.parametrize("env", ENVS)
def test_channels_python_and_pip_are_named_exactly(env: str) -> None:
    assert content(env)["channels"] == ["conda-forge", "nodefaults"]
    from_conda = [entry for entry in content(env)["dependencies"] if isinstance(entry, str)]
    assert {entry.split("=")[0] for entry in from_conda} >= {"python", "pip"}
    assert all(re.fullmatch(r"[a-z0-9-]+=\d+(\.\d+)+", entry) for entry in from_conda)
    assert list((ROOT / "envs").glob("*.pin.txt")) == []


@pytest.mark.parametrize("env", ENVS)
def test_pins_are_those_of_the_lock(env: str) -> None:
    locked = lock()
    assert {name: locked.get(name) for name in pip_pins(env)} == pip_pins(env)


def test_every_pin_is_exact_sorted_and_plain() -> None:
    for env in ENVS:
        pip = next(entry["pip"] for entry in content(env)["dependencies"] if isinstance(entry, dict))
        assert pip == sorted(pip)
        assert all(re.fullmatch(r"[a-z0-9._-]+==\d[\w.]*", entry) for entry in pip)


def test_the_lock_is_what_is_installed_here() -> None:
    """The tests, and what importlib.metadata says in them, are of the locked versions."""
    # gptqmodel is compiled at its installation, for which a machine may lack the compiler
    locks = LOCKS if importlib.util.find_spec("gptqmodel") else LOCKS[:1]
    for name, version in lock(*locks).items():
        assert importlib.metadata.version(name).split("+")[0] == version, name


def test_every_rule_names_an_env_and_every_env_is_named() -> None:
    assert set(rules().values()) == set(ENVS)


@pytest.mark.parametrize("env", ENVS)
def test_the_comment_names_the_rules(env: str) -> None:
    comment = (ROOT / f"envs/{env}.yaml").read_text().split("channels:")[0]
    assert all(rule in comment for rule in rules_of(env))


@pytest.mark.parametrize("env", ENVS)
def test_the_env_is_complete(env: str) -> None:
    there = set().union(*(needs_of(name) for name in pip_pins(env)))
    missing = {
        module: where for module, where in imported(env).items() if not (distributions().get(module, set()) & there)
    }
    assert set(missing) <= (SCORING if env in ONLY_WHEN_SCORING else set()), missing


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
    required = set().union(*(needs_of(name) for name in used & set(pip_pins(env))))
    assert set(pip_pins(env)) - used - required - READ_AS_A_FILE == set()


@pytest.mark.conda
@pytest.mark.parametrize("env", ENVS)
def test_conda_can_create_the_env(env: str, tmp_path: Path) -> None:
    if shutil.which("conda") is None:
        pytest.skip("there is no conda on the PATH")
    create = ["conda", "env", "create", "--quiet", "--yes", "--prefix", str(tmp_path / env)]
    done = subprocess.run([*create, "--file", str(ROOT / f"envs/{env}.yaml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
