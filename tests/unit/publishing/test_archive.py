"""A study's archive: what is in it, what is not, what its texts look like, and that it says which code it holds."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from bitbudget.errors import UserError
from bitbudget.inspection.redaction import Redactor
from bitbudget.publishing.archive import code, package, redacted
from bitbudget.publishing.archive.bundle import bundle
from bitbudget.publishing.page import page

ROOT = Path(__file__).parents[3]

CELL = "demo-vlm/float16/zero-shot"
MAIL, PHONE = "ann@example.org", "+1 650 253 0000"
RESOLVED = {
    "study": "tiny", "description": "a study of four items", "demo": True, "track": "vqa",
    "dataset": {
        "name": "demo-questions", "kind": "demo-questions", "options": {}, "licence": "CC0-1.0", "pictures": "CC0-1.0",
        "subset": 2,
    },
    "models": {"demo-vlm": {"local": "demo/models/demo-vlm", "licence": "Apache-2.0"}},
    "precisions": ["float16"], "conditions": ["zero-shot"], "inspection": {"redact": True, "phone_region": "US"},
    "report": {"title": None, "authors": [{"name": "Ann", "email": MAIL}], "with": [], "words": None, "template": None},
}  # fmt: skip
ITEMS = [
    {
        "id": "6502530000",
        "images": [{"id": "1", "source": "1.jpg"}],
        "question": "Whose card is it?",
        "references": [MAIL],
    },
    {"id": "2", "images": [{"id": "2", "source": "2.jpg"}], "question": "What colour?", "references": ["red"]},
]
HARDWARE = {"cpu": "Abacus 9", "cores": 2, "memory_mib": 4096, "gpus": []}


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list) and path.suffix == ".jsonl":
        content = "".join(json.dumps(row) + "\n" for row in content)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def finished(work: Path, redacts: bool = False, **keys: object) -> Path:
    """The folder of a finished study, with all that must not be in its archive beside what must."""
    resolved = RESOLVED | keys
    folder = work / "results" / resolved["study"]
    texts = {
        "subset.json": {}, "items.jsonl": ITEMS, "summary.csv": "model\n", "flagged.csv": "item\n",
        "comparison.json": {}, "study.resolved.yaml": yaml.safe_dump(resolved), "images.json": {},
        "verdicts.json": {"cells": [{
            "model": "m", "condition": "c", "outcome": {"sentence": "nothing is lost"}, "disturbed": "timings\nwere",
            "profiles": [{"prefer": "size", "precision": "p", "sentence": "take\nthis"}],
        }], "machine": {"title": "a T4", "remarks": [], "left_out": [{"sentence": "q is left out: it\ncannot run."}]}},
        "inspection.json": {"redaction": {"on": redacts, "why": "Because texts are read off pictures."}},
        "examples.json": {
            "qualitative": ["2"],
            "items": [{"id": item["id"], "image": f"images/{item['images'][0]['id']}.jpg"} for item in ITEMS],
        },
        "paper.pdf": "paper", "paper.md": "paper", "paper_pictures/1-2.jpg": "2",
        "appendix.pdf": "appendix", "slides.pdf": "slides", "index.html": "page",
        "spot_check.html": f"an answer: {MAIL}",
        "spot_check.json": {
            "items": ["6502530000"], "cards": {"a1": {"item": "6502530000", "answer": f"it is {MAIL}"}},
        },
        "shots/2-shot/shots.json": {"ids": ["6502530000"], "answers": [MAIL]}, "shots/2-shot/images/9.jpg": "9",
        "figures/quality.svg": "<svg/>", "figures/quality.png": "png", "images/1.jpg": "1", "images/2.jpg": "2",
        "tiny.zip": "an older archive", ".tiny.zip.x": "half of one", "meteor_paraphrases.gz": "words",
        "old-model/float16/audit.json": {}, "demo-vlm/old/zero-shot/scores.json": {},
        "demo-vlm/float16/audit.json": {}, "demo-vlm/float16/checkpoint/weights.safetensors": "weights",
        "demo-vlm/float16/checkpoint/checkpoint.json": {}, f"{CELL}/logits.safetensors": "logits",
        f"{CELL}/predictions.jsonl": [
            {"id": "6502530000", "text": f"call {PHONE} or write to {MAIL}"}, {"id": "2", "text": "red"},
        ],
        f"{CELL}/noise_floor/predictions.jsonl": [{"id": "2", "text": MAIL}],
        f"{CELL}/item_scores.jsonl": [{"id": "6502530000", "answer": MAIL, "vqa_accuracy": 1e-05}],
        f"{CELL}/scores.json": {},
        f"{CELL}/measurements.json": {"provenance": {"hardware": HARDWARE, "commit": "c" * 40 + "+"}},
    }  # fmt: skip
    for number, (name, content) in enumerate(texts.items()):
        write(folder / name, content)
        os.utime(folder / name, (1000 + number, 1000 + number))
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder without git."""
    folder = tmp_path / "work"
    for name in ("Snakefile", "README.md", "config/config.yaml", "rules/a.smk", "workflow/scripts/a.py"):
        write(folder / name, name)
    write(folder / "demo/models/demo-vlm/model.safetensors", "demo weights")
    write(folder / "resources/models/x/model.safetensors", "somebody's weights")
    write(folder / "workflow/__pycache__/a.pyc", "compiled")
    write(folder / "notes.txt", "beside the code")
    write(folder / ".env", "secret")
    return folder


def git(folder: Path, *arguments: str) -> str:
    named = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *named, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def checkout(work: Path) -> str:
    """Make the working folder a git checkout, and return its commit."""
    write(work / ".gitignore", "/results/*\n/resources/\n__pycache__/\n/notes.txt\n.env\n")
    git(work, "init", "--quiet")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "--message", "all")
    return git(work, "rev-parse", "HEAD")


def packed(work: Path, *folders: Path) -> dict[str, bytes]:
    """The archive's files, by their names below its top folder."""
    out = folders[0] / f"{folders[0].name}.zip"
    bundle(work, folders, out)
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None and len(archive.namelist()) == len(set(archive.namelist()))
        return {name.removeprefix(f"{folders[0].name}/"): archive.read(name) for name in archive.namelist()}


def test_what_is_handed_in_is_there_and_what_is_large_or_others_is_not(work):
    found = packed(work, finished(work))
    results = {name.removeprefix("bitbudget/results/tiny/") for name in found if "/results/" in name}
    assert results == {
        "subset.json", "items.jsonl", "summary.csv", "flagged.csv", "comparison.json", "study.resolved.yaml",
        "verdicts.json", "inspection.json", "examples.json", "paper.pdf", "appendix.pdf", "slides.pdf", "index.html",
        "paper.md", "paper_pictures/1-2.jpg",
        "spot_check.html", "spot_check.json", "figures/quality.svg", "figures/quality.png", "images.json",
        "demo-vlm/float16/audit.json",
        "shots/2-shot/shots.json",
        "images/2.jpg",  # which the paper shows
        "pictures.csv",
        *(f"{CELL}/{name}" for name in ("predictions.jsonl", "item_scores.jsonl", "scores.json", "measurements.json")),
        f"{CELL}/noise_floor/predictions.jsonl",
    }  # fmt: skip
    assert found["bitbudget/demo/models/demo-vlm/model.safetensors"] == b"demo weights"
    assert not [name for name in found if "resources" in name or "pycache" in name or ".env" in name]
    page = found["README.md"].decode()
    for said in ("checkpoint/", "images/", "logits.safetensors", "meteor_paraphrases.gz", "does not name any more"):
        assert said in page.split("## What is not in here")[1]
    assert "- m, c: nothing is lost\n" in page and "- m, c: timings were\n" in page
    assert "- m, c: recommended: take this" in page
    assert "- q is left out: it cannot run." in page
    assert "Abacus 9, 2 cores, 4 GiB of memory, no GPU" in page and "a demo study" in page
    assert "    make run STUDY=tiny\n" in page
    assert "make again STUDY=tiny TARGET=results/tiny/" in page
    assert f"results made at: commit `{'c' * 40}`, with local changes" in page


def test_the_codes_address_stands_in_the_readme(work):
    address = "https://example.org/bitbudget"
    found = packed(work, finished(work, report=RESOLVED["report"] | {"code_address": address}))
    assert f"- code: {address}, of a commit that nobody noted" in found["README.md"].decode()


def results_page(pictures: list[str]) -> str:
    """A results page of both items, as far as pictures go."""
    items = [{"id": one["id"], "image": number, "withheld": None} for number, one in enumerate(ITEMS)]
    return page.assemble(ROOT / "workflow/report", {"examples": {"items": items, "images": pictures}})


def test_pictures_are_passed_on_only_where_everybody_may(work):
    """One is under a licence for non-commercial use, of one it is said that it is free."""
    licence = "http://creativecommons.org/licenses/by-nc/2.0/"
    folder = finished(work)
    rows = [ITEMS[0] | {"extra": {}}, ITEMS[1] | {"extra": {"licence": licence, "credit": "http://flickr.example/2"}}]
    write(folder / "items.jsonl", rows)
    write(folder / "index.html", results_page(["data:one", "data:two"]))
    found = packed(work, folder)
    below = "bitbudget/results/tiny/"
    assert not [name for name in found if name.startswith(f"{below}images/") or "spot_check.html" in name]
    assert f"{below}paper_pictures/1-2.jpg" in found  # the paper quotes it
    assert b"data:one" in found[f"{below}index.html"] and b"data:two" not in found[f"{below}index.html"]
    assert b"its licence does not let everybody pass on" in found[f"{below}index.html"]
    assert found[f"{below}pictures.csv"].decode().splitlines() == [
        "picture,source,credit,licence,may_be_passed_on",
        "1,1.jpg,,CC0-1.0,yes",
        f"2,2.jpg,http://flickr.example/2,{licence},no",
    ]
    told = found["README.md"].decode().split("## Pictures")[1]
    assert f"`tiny`: 1 of 2 pictures may be passed on (CC0-1.0: 1; {licence}: 1)" in told
    assert b"data:two" in (folder / "index.html").read_bytes()  # here it may be looked at


def test_pictures_that_nobody_vouches_for_are_kept_back(work):
    folder = finished(work, dataset=RESOLVED["dataset"] | {"pictures": ""})
    write(folder / "index.html", results_page(["data:one", "data:two"]))
    found = packed(work, folder)
    assert not [name for name in found if "/images/" in name or "spot_check.html" in name]
    assert b"data:one" not in found["bitbudget/results/tiny/index.html"]
    assert "0 of 2 pictures may be passed on (not known: 2)" in found["README.md"].decode()


def test_an_unpacked_archive_is_packed_as_it_was(work):
    folder = finished(work)
    first = packed(work, folder)
    write(folder / "pictures.csv", first["bitbudget/results/tiny/pictures.csv"].decode())
    assert packed(work, folder)["bitbudget/results/tiny/pictures.csv"] == first["bitbudget/results/tiny/pictures.csv"]


def test_every_file_is_in_the_manifest_with_its_checksum(work):
    found = packed(work, finished(work))
    lines = found.pop(package.MANIFEST).decode().splitlines()
    said = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    assert said == {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


def test_the_same_content_gives_the_same_bytes_and_one_date(work):
    folder = finished(work)
    bundle(work, [folder], folder / "tiny.zip")
    first = (folder / "tiny.zip").read_bytes()
    os.utime(work / "Snakefile", (5, 5))
    bundle(work, [folder], folder / "tiny.zip")
    assert (folder / "tiny.zip").read_bytes() == first
    with zipfile.ZipFile(folder / "tiny.zip") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {package.DATE}
        names = [entry.filename for entry in archive.infolist()]
    # what is made of something comes after it, for programs that unpack without dates
    assert names.index("tiny/bitbudget/Snakefile") < names.index("tiny/bitbudget/results/tiny/items.jsonl")
    assert names[0] == "tiny/README.md"
    assert names.index(f"tiny/bitbudget/results/tiny/{CELL}/measurements.json") > names.index(
        "tiny/bitbudget/results/tiny/figures/quality.svg"
    )


def test_texts_are_redacted_where_the_study_is_and_only_there(work):
    folder = finished(work, redacts=True)
    write(work / "ratings/tiny/ann.json", {"rater": "ann", "cards": {"a1": {"item": "2", "comment": f"see {MAIL}"}}})
    found = packed(work, folder)
    below = "bitbudget/results/tiny"
    texts = b"".join(content for name, content in found.items() if "study.resolved" not in name)
    assert MAIL.encode() not in texts and PHONE.encode() not in texts
    answers = [json.loads(line) for line in found[f"{below}/{CELL}/predictions.jsonl"].splitlines()]
    assert answers == [{"id": "6502530000", "text": "call [phone] or write to [e-mail]"}, {"id": "2", "text": "red"}]
    assert json.loads(found[f"{below}/spot_check.json"]) == {
        "items": ["6502530000"],  # an item's name, although a telephone number would look like it
        "cards": {"a1": {"item": "6502530000", "answer": "it is [e-mail]"}},
    }
    shots = json.loads(found[f"{below}/shots/2-shot/shots.json"])
    assert shots == {"ids": ["6502530000"], "answers": ["[e-mail]"]}
    assert json.loads(found["bitbudget/ratings/tiny/ann.json"])["cards"]["a1"]["comment"] == "see [e-mail]"
    assert b"1e-05" in found[f"{below}/{CELL}/item_scores.jsonl"]
    assert f"{below}/spot_check.html" not in found
    assert MAIL in found[f"{below}/study.resolved.yaml"].decode()  # the author's own
    page = found["README.md"].decode()
    assert "redacted: Because texts are read off pictures." in page and "spot_check.html" in page
    plain = packed(work, finished(work))
    assert MAIL.encode() in plain[f"{below}/{CELL}/predictions.jsonl"] and "redacted" not in plain["README.md"].decode()


def test_an_answer_is_read_with_its_question(tmp_path):
    path = tmp_path / "predictions.jsonl"
    write(path, [{"id": "1", "text": "K7 42"}, {"id": "2", "text": "K7 42"}])
    asked = {"1": "What is the license plate number?", "2": "What is the code of the film?"}
    rows = b"".join(redacted.chunks(path, Redactor(True, "US"), asked)).splitlines()
    assert [json.loads(row)["text"] for row in rows] == ["[plate]", "K7 42"]


def test_files_that_a_study_names_are_redacted_too(work):
    write(work / "mine/intro.md", f"Ask {MAIL}, {PHONE}.\n\nOr not.\n")
    write(work / "mine/photo.raw", b"raw".decode())
    write(work / "mine/paper.typ", f"// by {MAIL}\n#let a = 1\n")
    write(work / "ids.txt", f"# asked by {MAIL}\n6502530000\n2\n")
    write(work / "config/texts.json", {"texts": [f"call {PHONE}"], MAIL: 1, "bob@example.org": 2, "6502530000": MAIL})
    write(work / "data/objects.json", {"info": MAIL})
    report = RESOLVED["report"] | {"words": "mine", "template": "mine/paper.typ"}
    keys = {"report": report, "dataset": RESOLVED["dataset"] | {"subset": {"ids": "ids.txt"}}}
    keys["quantization"] = {"calibration": {"file": "config/texts.json"}}
    keys["inspection"] = RESOLVED["inspection"] | {"instances": "data/objects.json"}
    found = packed(work, finished(work, redacts=True, **keys))
    assert found["bitbudget/mine/intro.md"] == b"Ask [e-mail], [phone].\n\nOr not.\n"
    assert found["bitbudget/mine/paper.typ"] == b"// by [e-mail]\n#let a = 1\n"
    assert found["bitbudget/ids.txt"] == b"# asked by [e-mail]\n6502530000\n2\n", "an item's name is none"
    texts = json.loads(found["bitbudget/config/texts.json"])
    assert texts == {"texts": ["call [phone]"], "[e-mail]": 1, "[e-mail]'": 2, "6502530000": "[e-mail]"}
    assert "bitbudget/mine/photo.raw" not in found and "bitbudget/data/objects.json" not in found
    page = found["README.md"].decode()
    assert "- `mine/photo.raw`, your own" in page.split("## What is not in here")[1]
    assert "- `data/objects.json`" in page and "put back your own files" in page
    write(work / "config/objects.json", {"info": MAIL})
    keys["inspection"]["instances"] = "config/objects.json"
    found = packed(work, finished(work, redacts=True, **keys))
    assert json.loads(found["bitbudget/config/objects.json"]) == {"info": "[e-mail]"}, "also where it is code"
    plain = packed(work, finished(work, **keys))
    assert plain["bitbudget/mine/photo.raw"] == b"raw" and MAIL.encode() in plain["bitbudget/mine/intro.md"]


def test_text_in_another_encoding_is_one_sentence(work):
    (work / "mine").mkdir()
    (work / "mine/intro.md").write_bytes("Füße".encode("latin-1"))
    folder = finished(work, redacts=True, report=RESOLVED["report"] | {"words": "mine"})
    with pytest.raises(UserError, match=r"intro\.md is not UTF-8 text"):
        bundle(work, [folder], folder / "tiny.zip")


def test_a_checkout_names_its_commit_and_its_local_changes(work):
    commit = checkout(work)
    folder = finished(work)
    found = packed(work, folder)
    assert f"commit `{commit}`\n" in found["README.md"].decode()
    assert "bitbudget/notes.txt" not in found and "bitbudget/.gitignore" in found
    (work / "rules/a.smk").write_text("changed")
    (work / "README.md").unlink()
    write(work / "config/studies/tiny.yaml", "study: tiny")
    write(work / "scratch.txt", "nobody's")
    found = packed(work, folder)
    page = found["README.md"].decode()
    assert f"commit `{commit}`, with local changes" in page
    assert "  - `README.md` (deleted)\n  - `config/studies/tiny.yaml`\n  - `rules/a.smk`\n" in page
    assert found["bitbudget/rules/a.smk"] == b"changed" and "bitbudget/README.md" not in found
    assert "bitbudget/config/studies/tiny.yaml" in found and "bitbudget/scratch.txt" not in found


def test_an_unpacked_archive_still_knows_its_commit_and_sees_changes(work, tmp_path):
    commit = checkout(work)
    folder = finished(work)
    first = packed(work, folder)
    with zipfile.ZipFile(folder / "tiny.zip") as archive:
        archive.extractall(tmp_path / "elsewhere")
    again = tmp_path / "elsewhere/tiny/bitbudget"
    write(again / "somebody.txt", "put here later")
    second = packed(again, again / "results/tiny")
    assert set(second) == set(first)
    assert f"commit `{commit}`\n" in second["README.md"].decode()
    (again / "rules/a.smk").write_text("changed here")
    write(again / "config/studies/new.yaml", "study: new")
    found = code.of(again)
    assert (found.commit, found.changed) == (commit, ["config/studies/new.yaml", "rules/a.smk"])


def test_an_archive_unpacked_inside_another_checkout_is_not_taken_for_that(work, tmp_path):
    folder = finished(work)
    bundle(work, [folder], folder / "tiny.zip")
    checkout(tmp_path / "work")
    with zipfile.ZipFile(folder / "tiny.zip") as archive:
        archive.extractall(work / "resources")
    assert code.of(work / "resources/tiny/bitbudget").commit is None
    assert code.of(work).commit is not None


def test_the_authors_own_files_and_other_studies_are_there_too(work):
    write(work / "words/intro.md", "Mine.")
    write(work / "ids.txt", "1\n2\n")
    report = RESOLVED["report"] | {"words": "words"}
    folder = finished(work, report=report, dataset=RESOLVED["dataset"] | {"subset": {"ids": "ids.txt"}})
    other = finished(work, study="other", demo=False)
    for name in ("paper.pdf", "paper.md", "appendix.pdf", "slides.pdf", "index.html"):
        (other / name).unlink()
    found = packed(work, folder, other)
    assert found["bitbudget/words/intro.md"] == b"Mine." and found["bitbudget/ids.txt"] == b"1\n2\n"
    assert "bitbudget/results/other/summary.csv" in found
    page = found["README.md"].decode()
    assert "    make run STUDY='[other,tiny]'\n" in page, "both were put away"
    assert "study `other` (vqa)" in page and "data set demo-questions (licence: CC0-1.0)" in page
    assert "put back your own files" not in page


def test_files_of_ones_own_that_lie_elsewhere_are_named(work, tmp_path):
    write(tmp_path / "mine/intro.md", "Mine.")
    report = RESOLVED["report"] | {"words": str(tmp_path / "mine")}
    models = {"demo-vlm": {"local": "/weights/mine", "licence": ""}}
    page = packed(work, finished(work, report=report, models=models))["README.md"].decode()
    assert "put back your own files" in page
    assert f"- `{tmp_path / 'mine'}`" in page and "- `/weights/mine`" in page


@pytest.mark.parametrize("name", ["paper.pdf", "inspection.json", "demo-vlm/float16/audit.json", f"{CELL}/scores.json"])
def test_what_is_missing_is_named_and_nothing_is_written(work, name):
    folder = finished(work)
    (folder / name).unlink()
    (folder / "tiny.zip").unlink()
    with pytest.raises(UserError, match=f"{name} is missing, so tiny is not finished: run `make run STUDY=tiny` first"):
        bundle(work, [folder], folder / "tiny.zip")
    assert not list(folder.glob("*.zip"))


def test_a_broken_line_is_one_sentence_and_leaves_no_archive(work):
    folder = finished(work, redacts=True)
    (folder / "tiny.zip").unlink()
    (folder / CELL / "predictions.jsonl").write_text('{"id": "6502530000"}\n{"id": "2"')
    with pytest.raises(UserError, match=r"predictions\.jsonl, line 2, is not valid JSON"):
        bundle(work, [folder], folder / "tiny.zip")
    assert not [path.name for path in folder.iterdir() if path.name.endswith(".zip")]
