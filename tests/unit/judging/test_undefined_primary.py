"""A study without a value in its primary metric, as captions of one item: everything is still written, and says why."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from asked import asked
from config_folder import ROOT
from pypdf import PdfReader

import made_results

REASON = "CIDEr weights words by how few items have them, and of a single item every word weighs nothing."
SCRIPTS = ROOT / "workflow" / "scripts"
SPEC = {"study": "made", "seed": 53, "report": {"title": None, "authors": [], "template": None, "examples": 300}}


@pytest.fixture(scope="module", params=["captioning", "vqa", "lambada", "detection", "few vqa", "few detection"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results without a value in the primary metric, or with values of so few items that nothing is compared."""
    track, few = request.param.removeprefix("few "), request.param.startswith("few")
    named = {"precisions": ["litert-float32", "litert-int8"]} if track == "detection" else {"precisions": 3}
    folder = tmp_path_factory.mktemp("made")
    folder = made_results.build(folder, track=track, undefined=REASON, few=few, **named)
    one = json.loads((folder / "subset.json").read_text())
    (folder / "subset.json").write_text(json.dumps(one | {"ids": ["0"]}))
    for path in folder.glob("*/*/*/predictions.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"n": 1}))
    return folder


def written(folder: Path, script: str, out: Path, *more: str) -> str:
    call = [sys.executable, SCRIPTS / f"{script}.py", "--spec", asked(script, SPEC), "--results", folder, "--out", out]
    done = subprocess.run([str(part) for part in (*call, *more)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = out.read_text() if out.suffix == ".html" else "".join(p.extract_text() for p in PdfReader(out).pages)
    return re.sub(r"\s+", "", text)


def test_the_verdicts_compare_nothing_and_say_why(folder: Path) -> None:
    record = json.loads((folder / "verdicts.json").read_text())
    for cell in record["cells"]:
        judged = [one for one in cell["entries"] if not one["baseline"]]
        assert {one["kind"] for one in judged} == {"not-compared"}
        assert all(REASON.rstrip(".") in one["sentence"] and not one["accepted"] for one in judged)
        assert REASON.rstrip(".") in cell["noise_floor"]
        assert cell["outcome"]["title"].startswith("No precision could be compared with ")


@pytest.mark.parametrize("script", ["write_paper", "write_slides", "write_appendix"])
def test_documents_are_set(folder: Path, script: str, tmp_path: Path) -> None:
    text = written(folder, script, tmp_path / "out.pdf")
    assert "nan" not in re.sub(r"[A-Za-z]{2,}", "", text) and "None" not in text
    if script == "write_paper":
        assert "everywordweighsnothing" in text.replace("-", "") and not re.search(
            "same1(images|passages|questions)", text
        )


def test_the_page_is_written(folder: Path, tmp_path: Path) -> None:
    dot = tmp_path / "rulegraph.dot"
    dot.write_text('digraph {\n 0[label = "all"];\n 1[label = "score"];\n 1 -> 0;\n}\n')
    assert "everywordweighsnothing" in written(folder, "write_page", tmp_path / "index.html", "--rulegraph", str(dot))
