"""Code and rules are as the linters and formatters would have them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "snakefmt": ["snakefmt", "--check", "Snakefile", "rules"],
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_repository_is_clean_under(name: str) -> None:
    program, *arguments = CHECKS[name]
    done = subprocess.run([BIN / program, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nmend it with: make format"


def test_snakemake_lint_has_no_remark() -> None:
    done = subprocess.run([BIN / "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "your workflow is in a good condition" in done.stderr


def test_every_rule_names_its_script_log_env_and_code() -> None:
    """What lint does not look at: every job's log, env and code are named, and the log is really written."""
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for rule in path.read_text().split("\nrule ")[1:]:
            name = rule.split(":")[0]
            if name == "reproduce":  # it runs Snakemake itself, of whose environment it is
                continue
            assert "    log:\n" in rule, name
            if name != "draw_rulegraph":  # it asks Snakemake itself
                assert "    conda:\n" in rule, name
            assert "code=" in rule, name
            assert f"workflow/scripts/{name}.py" in rule, name
            assert " 2>&1 | tee {log}" in rule, name


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports each by its name alone: of two it collects one, and only where both are asked for."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    kept = {"conftest.py", "__init__.py"}
    assert not {name for name, count in names.items() if count > 1} - kept
