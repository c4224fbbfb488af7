"""What jobs begin with, and what another Snakemake is told of this one's environments."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
from snakemake.settings.types import CondaCleanupPkgs, DeploymentMethod, DeploymentSettings
from snakemake.utils import format as as_snakemake_formats

from bitbudget.config import deployment


def said(tmp_path: Path, command: str, conda: bool = False, path: str | None = None) -> str:
    """What a rule's command prints, where the running Python is a stand-in that says what it was given."""
    running = tmp_path / "with a blank and {braces}" / "python"
    if not running.exists():
        running.parent.mkdir()
        running.write_text('#!/bin/sh\necho "running: $* $HF_HUB_OFFLINE"\n')
        (running.parent / "java").write_text("#!/bin/sh\necho beside\n")
        (tmp_path / "python").write_text("#!/bin/sh\necho another\n")
        (tmp_path / "java").write_text("#!/bin/sh\necho on the path\n")
        for program in [*running.parent.iterdir(), tmp_path / "python", tmp_path / "java"]:
            program.chmod(0o755)
    environment = {"PATH": path or f"{tmp_path}:/usr/bin:/bin"}
    begin = as_snakemake_formats(deployment.prefix(str(running), "9.27.1", conda, {"CACHE": "a b"}, environment))
    done = subprocess.run(["bash", "-c", begin + command], env=environment, capture_output=True, text=True)
    return f"{done.stdout}{done.stderr}({done.returncode})"


@pytest.mark.parametrize(
    ("command", "conda", "expected"),
    [
        ("python x.py 'a b'", False, "running: x.py a b 1\n(0)"),
        ("python x.py", True, "another\n(0)"),
        ("HF_HUB_OFFLINE=0 python x.py", False, "running: x.py 0\n(0)"),
        ('python x.py 2>&1 | tee log; echo "$HF_HUB_OFFLINE"', False, "running: x.py 1\n1\n(0)"),
        ("java", False, "beside\n(0)"),
        ("java", True, "on the path\n(0)"),
        ('echo "$BITBUDGET_SNAKEMAKE $PYTHONNOUSERSITE $CACHE ${BITBUDGET_RUN:+run}"', True, "9.27.1 1 a b run\n(0)"),
        ("false | cat", False, "(1)"),
        ("false | cat", True, "(1)"),
    ],
)
def test_what_a_command_finds(command: str, conda: bool, expected: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert said(tmp_path, command, conda) == expected


def test_a_path_that_has_the_folder_keeps_its_order(tmp_path: Path) -> None:
    path = f"{tmp_path}:{tmp_path / 'with a blank and {braces}'}:/usr/bin:/bin"
    assert said(tmp_path, "java; python x.py", path=path) == "on the path\nrunning: x.py 1\n(0)"


NOTHING = DeploymentSettings()
CONDA, APPTAINER = DeploymentMethod.CONDA, DeploymentMethod.APPTAINER


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"deployment_method": {CONDA}},
         ["--software-deployment-method", "conda", "--conda-prefix={here}/.snakemake/conda"]),
        ({"deployment_method": {CONDA}, "conda_prefix": "../envs"},
         ["--software-deployment-method", "conda", "--conda-prefix={here}/../envs"]),
        ({"deployment_method": {CONDA, APPTAINER}, "conda_prefix": "/a", "apptainer_prefix": "/b"},
         ["--software-deployment-method", "apptainer", "conda", "--conda-prefix=/a", "--apptainer-prefix=/b"]),
        ({"deployment_method": {DeploymentMethod.ENV_MODULES}}, ["--software-deployment-method", "env-modules"]),
        ({"conda_base_path": "/opt/conda"}, ["--conda-base-path=/opt/conda"]),
        ({"conda_cleanup_pkgs": CondaCleanupPkgs.CACHE}, ["--conda-cleanup-pkgs=cache"]),
        ({"conda_not_block_search_path_envvars": True}, ["--conda-not-block-search-path-envvars"]),
        ({"apptainer_args": "--bind /a:/b"}, ["--apptainer-args=--bind /a:/b"]),
    ],
)  # fmt: skip
def test_what_is_handed_on(given: dict, expected: list[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("APPTAINER_CACHEDIR", raising=False)
    found = deployment.options(dataclasses.replace(NOTHING, **given))
    assert found == [option.format(here=tmp_path) for option in expected]


def test_no_setting_is_left_out() -> None:
    """Another frontend than conda Snakemake itself ignores."""
    handled = {
        "deployment_method", "conda_prefix", "conda_base_path", "conda_cleanup_pkgs", "apptainer_prefix",
        "apptainer_args", "conda_not_block_search_path_envvars",
    }  # fmt: skip
    assert {field.name for field in dataclasses.fields(DeploymentSettings)} == handled | {"conda_frontend"}
    assert DeploymentSettings(conda_frontend="mamba").conda_frontend == "conda"
