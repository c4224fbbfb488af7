"""A track, a format, a family and a data set that are one file and one line each go all the way, and leave again."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pypdf
import pytest

import additions
from checkouts import ONE_CORE, copy_checkout, snakemake
from made_once import made_once

TOY = ("--config", "study=toy")


def digests(checkout: Path) -> dict[str, str]:
    """Every file of a checkout, but for what runs leave."""
    made = ("results/", "resources/", "logs/", ".snakemake/")
    files = [path for path in checkout.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    named = {str(path.relative_to(checkout)): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in named.items() if not name.startswith(made)
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the toy study, run in a checkout to which the toys were added."""

    def make(folder: Path) -> None:
        additions.add(copy_checkout(folder))
        done = snakemake(folder, *ONE_CORE, *TOY)
        assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "additions", make) / "results/toy"


def text(path: Path) -> str:
    return " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(path).pages).split())


def test_the_paper_says_what_they_say_of_themselves(results: Path) -> None:
    said = text(results / "paper.pdf")
    for words in (
        "in Naming",  # the title
        "how many words go with the bits",
        "Naming what a picture shows is what this toy is for.",
        "A name may be wrong.",
        "Names are scored by word recall.",
        "pictures of one colour",
        "a toy built like others",
        "Round-to-nearest",
    ):
        assert words in said, words


def test_slides_and_page_are_made(results: Path) -> None:
    assert "a name may be wrong" in text(results / "slides.pdf")
    page = (results / "index.html").read_text(encoding="utf-8")
    assert "toy-5-language" in page and "Word recall" in page


def test_the_archive_holds_them(results: Path) -> None:
    with zipfile.ZipFile(results / "toy.zip") as archive:
        names = set(archive.namelist())
    assert {f"toy/bitbudget/workflow/scripts/bitbudget/{name}" for name in additions.ADDED} <= names


def test_a_data_set_that_does_not_say_that_it_was_published_is_redacted(results: Path) -> None:
    """Its references hold an e-mail address, which stands nowhere."""
    assert json.loads((results / "inspection.json").read_text())["redaction"]["on"]
    for name in ("examples.json", "index.html", "flagged.csv"):
        assert "a@example.com" not in (results / name).read_text(encoding="utf-8"), name
    items = json.loads((results / "examples.json").read_text())["items"]
    assert all(item["image"] is None and "[e-mail]" in item["references"][0][0] for item in items)


def test_they_leave_without_a_trace(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path)
    before = digests(checkout)
    additions.add(checkout)
    assert {name for name, digest in digests(checkout).items() if before.get(name) != digest} == {
        "workflow/scripts/bitbudget/registry.py",
        "config/studies/toy.yaml",
        *(f"config/{name}" for name in additions.ENTRIES),
        *(f"workflow/scripts/bitbudget/{name}" for name in additions.ADDED),
    }
    assert snakemake(checkout, "-n", *TOY).returncode == 0
    additions.remove(checkout)
    assert digests(checkout) == before
    done = snakemake(checkout, "-n", *TOY)
    assert done.returncode != 0 and "there is no study 'toy'" in done.stderr + done.stdout


def test_what_is_incomplete_is_refused_before_anything_runs(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path)
    additions.add(checkout)
    track = checkout / additions.LIBRARY / "tracks/naming.py"
    track.write_text(track.read_text().replace("RISK =", "RISC ="))
    done = snakemake(checkout, "-n", *TOY)
    said = done.stderr + done.stdout
    assert done.returncode != 0 and "tracks/naming.py lacks RISK; " in said and "Traceback" not in said
