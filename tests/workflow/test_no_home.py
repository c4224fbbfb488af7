"""A HOME that cannot be written: Snakemake and the libraries keep their caches in the working folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from checkout_copy import Checkout

from bitbudget.config.run import cache_variables

NOWHERE = "/dev/null/home"  # no folder, whoever asks


def test_a_run_needs_no_home(run: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MPLCONFIGDIR", "HF_HOME", "HF_TOKEN_PATH", "TRITON_HOME"):
        monkeypatch.delenv(name, raising=False)
    target = "results/tiny/demo-vlm/nf4-language/zero-shot/scores.json"
    shutil.rmtree((run.folder / target).parent)
    script = run.folder / "workflow/scripts/score.py"
    shown = "import os, pathlib; pathlib.Path('caches').write_text(repr(dict(os.environ)))\n"
    script.write_text(script.read_text().replace("import sys;", f"{shown}import sys;", 1))
    for arguments in (["-n"], ["--cores", "1", target]):
        done = run.snakemake(*arguments, HOME=NOWHERE, XDG_CACHE_HOME="")
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    seen = eval((run.folder / "caches").read_text())
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "HF_HOME", "TRITON_HOME"):
        assert seen[name].startswith(str(run.folder / ".snakemake/cache"))
    assert seen["HF_TOKEN_PATH"] == f"{NOWHERE}/.cache/huggingface/token"


def test_a_home_that_can_be_written_is_used(tmp_path: Path) -> None:
    assert cache_variables({"HOME": str(tmp_path)}, Path("cache")) == {}
    assert cache_variables({"HOME": NOWHERE, "XDG_CACHE_HOME": str(tmp_path)}, Path("cache")) == {}


@pytest.mark.parametrize("home", [NOWHERE, "/proc/nonexistent", "missing"])
def test_what_a_user_has_set_stays(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = {"HOME": home, "HF_HOME": "/data/hub", "MPLCONFIGDIR": "/data/plots"}
    assert cache_variables(asked, Path("cache")) == {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "TRITON_HOME": str(tmp_path / "cache"),
        "HF_TOKEN_PATH": "/data/hub/token",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_is_closed_is_found_out(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir(mode=0o500)
    assert "XDG_CACHE_HOME" in cache_variables({"HOME": str(tmp_path)}, Path("cache"))
