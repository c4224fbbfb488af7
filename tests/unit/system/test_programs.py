"""Programs that are started: under any locale, and in a folder whose name is not ASCII, they do the same."""

import json
import os
import re
import subprocess
import sys

import pytest
from config_folder import ROOT

from bitbudget.system import java, programs

SCRIPTS = ROOT / "workflow" / "scripts"
LOCALES = {
    "ASCII alone": {"LC_ALL": "C", "LANG": "", "PYTHONUTF8": "0"},
    "C": {"LC_ALL": "C", "LANG": ""},
    "Latin-1": {"LC_ALL": "de_DE.ISO-8859-1", "LANG": "de_DE.ISO-8859-1"},
}
WORK = """
import json, sys
from pathlib import Path
from bitbudget import cli, files
from bitbudget.metrics import captions
from bitbudget.system import java, programs


def main():
    here = Path.cwd()
    captions.package_folder = lambda: here / "packages" / "pycocoevalcap"
    found = {"argument": sys.argv[1], "here": here.name}
    found["tokens"] = captions.tokenize({"a": ["Gr\\u00f6\\u00dfe!"]})
    (here / "none.gz").write_bytes(bytes.fromhex("1f8b08000000000000ff03000000000000000000"))
    two = "gr\\u00f6\\u00dfe zwei"
    found["METEOR"] = captions._meteor([[two]], [two], here / "none.gz")[0]
    captions.filter_paraphrases({"a": ["a dog runs"]}, here / "filtered.gz")
    found["filtered"] = (here / "filtered.gz").stat().st_size
    found["child"] = programs.ask([sys.executable, "-c", "import os; print(os.getcwd())"]).stdout.strip()
    files.write_json(Path("found.json"), found)


cli.run(main)
"""


def environment(**more):
    kept = {
        name: value for name, value in os.environ.items() if name not in ("LC_ALL", "LANG", "PYTHONUTF8", "LC_CTYPE")
    }
    return {**kept, "PYTHONPATH": str(SCRIPTS), **more}


@pytest.mark.parametrize("locale", LOCALES)
def test_java_and_scripts_work_in_any_folder_under_any_locale(tmp_path, locale):
    folder = tmp_path / "\xfc \u65e5\u672c"
    (folder / "packages").mkdir(parents=True)
    import pycocoevalcap

    (folder / "packages" / "pycocoevalcap").symlink_to(next(iter(pycocoevalcap.__path__)))
    (folder / "work.py").write_text(WORK, encoding="utf-8")
    command = [sys.executable, "work.py", "\xfc\u65e5"]
    done = subprocess.run(command, cwd=folder, env=environment(**LOCALES[locale]), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    assert found["argument"] == "\xfc\u65e5" and found["here"] == folder.name and found["child"] == str(folder)
    assert found["tokens"] == {"a": ["gr\xf6\xdfe"]} and found["METEOR"] == 1.0
    assert found["filtered"] > 300, "the table of paraphrases was not found"


def test_what_is_started_says_numbers_as_we_read_them():
    assert programs.environment()["LC_ALL"] == programs.LOCALE
    asked = programs.ask([sys.executable, "-c", "import sys; sys.stdout.buffer.write(b'\\xc3\\xbc\\xff')"])
    assert asked.stdout == "\xfc\udcff"


def test_programs_are_started_where_their_locale_is_set():
    """In `programs`, in `captions` inside `java_on_path`, and a whole rerun of Snakemake."""
    starting = re.compile(r"subprocess\.(run|Popen|check_output|call)\(|os\.system\(")
    found = {path.name for path in SCRIPTS.rglob("*.py") if starting.search(path.read_text(encoding="utf-8"))}
    assert found == {"programs.py", "captions.py", "rerun.py"}


def test_the_environment_is_as_it_was_after_java(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.delenv("LANG", raising=False)
    with java.java_on_path():
        assert os.environ["LC_ALL"] == programs.LOCALE
    assert os.environ["LC_ALL"] == "C" and "LANG" not in os.environ


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Error: Unable to access jarfile meteor-1.5.jar", "Java cannot open"),
        ("Caused by: java.lang.ClassNotFoundException: edu.stanford.nlp.process.PTBTokenizer", "Java cannot open"),
        ("java.lang.OutOfMemoryError: Java heap space", "too little memory"),
        ("it said nothing", "2 GB of memory and Java 8"),
    ],
)
def test_the_reason_that_java_gives_is_understood(tmp_path, said, words):
    jar = tmp_path / "meteor-1.5.jar"
    assert "is not there" in java.why_it_failed(said, jar)
    jar.write_bytes(b"PK")
    assert words in java.why_it_failed(said, jar) and said in java.why_it_failed(said, jar)


def test_a_python_that_keeps_to_ascii_is_told_before_anything_runs():
    command = [sys.executable, "-m", "snakemake", "-n", "--config", "study=demo-captioning"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(**LOCALES["ASCII alone"]), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "run the same command again with PYTHONUTF8=1" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
