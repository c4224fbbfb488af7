"""The paper: 4 to 6 pages for every track and size of study, with computed numbers, and with nothing run in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pypdf
import pytest
from asked import asked

import made_results
from bitbudget.errors import UserError
from bitbudget.publishing.paper import document, nodes
from bitbudget.publishing.typesetting import typst
from bitbudget.telling import evidence

ROOT = Path(__file__).parents[3]
TEMPLATE = typst.TEMPLATES / "paper.typ"


def paper_of(*folders, report=None, words=None):
    return document.assemble(report or {}, [evidence.load(folder) for folder in folders], words)


def text_of(content):
    pages = pypdf.PdfReader(BytesIO(content)).pages
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pages))


def plain(content):
    """Everything that is printed, without spaces and hyphens: lines end anywhere."""
    return re.sub(r"[\s\u200b\u00ad-]", "", text_of(content))


def whole(paper):
    """The PDF with all that the paper could say, however long."""
    return typst.compiled(TEMPLATE, paper.data(len(paper.ranks())), paper.assets)[0]


class TestPages:
    @pytest.mark.parametrize(
        "about",
        [
            {"track": "captioning", "precisions": 1},
            {"track": "captioning", "precisions": 12, "models": 2, "conditions": ["zero-shot", "4-shot"]},
            {"track": "vqa", "precisions": 12, "models": 3, "hostile": True},
            {"track": "lambada"},
            {"track": "detection"},
        ],
        ids=("one precision", "twelve", "hostile", "lambada", "detection"),
    )
    def test_every_track_and_size(self, made, about):
        assert 4 <= document.fitted(paper_of(made(**about)), TEMPLATE)[1] <= 6

    def test_two_studies_in_one(self, made):
        paper = paper_of(made(track="detection", study="boxes"), made(track="lambada", study="words"))
        content, pages = document.fitted(paper, TEMPLATE)
        assert 4 <= pages <= 6
        text = text_of(content)
        assert "Object detection: boxes" in text and "Last-word prediction: words" in text
        assert "This report covers 2 experiments" in text

    def test_words_that_are_too_long_are_set_with_a_warning(self, made, tmp_path, caplog):
        (tmp_path / "discussion.md").write_text("A long sentence of the author's own. " * 1500)
        _, pages = document.fitted(paper_of(made(track="vqa"), words=tmp_path), TEMPLATE)
        assert pages > 6
        assert "shorten your own words" in caplog.text


class TestContent:
    def test_numbers_are_those_of_the_records(self, made):
        folder = made(track="vqa")
        text, found = plain(whole(paper_of(folder))), evidence.load(folder)
        for precision in found.precisions:
            score = found.scores["model-1", precision, "zero-shot"]["metrics"]["vqa_accuracy"]["value"]
            assert f"{100 * score:.1f}%" in text
        chosen = found.cell("model-1", "zero-shot")["recommendation"]["precision"]
        assert f"{chosen}isrecommended".replace("-", "") in text
        assert found.subset["subset_hash"][:16] in text

    def test_markup_is_shown_as_it_is(self, made):
        text = plain(whole(paper_of(made(track="captioning", hostile=True))))
        for piece in ("<script>alert(1)</script>", '#panic("x")', "$x$", "=cmd()", "*a*", "_b_", "@fig", "漢字", "😀"):
            assert piece.replace("-", "") in text

    def test_what_was_not_measured_has_its_reason_and_is_no_zero(self, made):
        paper = paper_of(made(track="captioning", missing=["energy_per_item", "peak_memory"]))
        tables = {
            block["label"]: block
            for section in paper.data(99)["sections"]
            for block in section["blocks"]
            if block["t"] == "table"
        }
        costs = tables["costs-1"]
        titles = ["".join(node.get("text", " ") for node in column["title"]) for column in costs["columns"]]
        at = next(i for i, title in enumerate(titles) if title.startswith("Peak"))
        assert {row["cells"][at][0]["text"] for row in costs["rows"]} == {nodes.NOT_MEASURED}
        assert any(made_results.REASON.rstrip(".") in note[0]["text"] for note in costs["notes"])
        assert "Energy could not be measured." in text_of(whole(paper))

    def test_one_precision_is_compared_with_nothing(self, made):
        text = text_of(whole(paper_of(made(track="captioning", precisions=1))))
        assert "With one precision there is nothing to choose between" in text
        assert "Holm" not in text and "recommended" not in text

    def test_only_formats_that_are_used_are_explained_and_cited(self, made):
        text = text_of(whole(paper_of(made(track="captioning", precisions=["float16", "int8-language"]))))
        assert "LLM.int8()" in text and "8-bit Matrix Multiplication" in text
        assert "GPTQ" not in text and "QLoRA" not in text

    def test_a_study_that_is_no_demo_does_not_say_so(self, made):
        assert "demo study" not in text_of(whole(paper_of(made(track="lambada", demo=False)))).lower()
        assert "This is a demo study" in text_of(whole(paper_of(made(track="lambada"))))

    def test_the_code_has_an_address_or_is_in_the_archive(self, made):
        folder, address = made(track="lambada"), "https://example.org/bitbudget"
        for report, said in (
            ({}, "The code, its configuration"),
            ({"code_address": address}, f"The code is at {address}."),
        ):
            (section,) = (one for one in paper_of(folder, report=report).sections if one.title == "Availability")
            ((block,),) = (unit.blocks for unit in section.units)
            text = "".join(one.get("text") or one["c"][0]["text"] for one in block["c"])
            assert text.startswith(said) and ".zip beside this paper." in text

    def test_every_model_and_condition_is_told(self, made):
        folder = made(track="captioning", precisions=12, models=2, conditions=["zero-shot", "4-shot"])
        found = evidence.load(folder)
        # one cell is made to lose nothing, so that no two of them can be told as one
        found.cell("model-2", "4-shot")["outcome"].update(lost=[], largest_text="")
        paper = document.assemble({}, [found], None)
        abstract = "".join(one.get("text", "") for block in paper.abstract for one in block["c"])
        assert (
            "or model-1 under zero-shot" in abstract and "for model-2 under 4-shot, none of 11 precisions" in abstract
        )
        text = text_of(whole(paper))
        conclusion = text[text.index("6 Conclusion") :]
        assert "for model-2 under 4-shot, none of 11 precisions" in conclusion
        results = text[text.index("4.1 Quality") : text.index("4.2 Costs")]
        for cell in found.verdicts["cells"]:
            assert f"{cell['name']}. {cell['baseline_reaches']}" in results

    def test_every_table_of_results_has_every_model_and_condition(self, made):
        folder = made(track="captioning", precisions=12, models=3, conditions=["zero-shot", "4-shot"])
        blocks = [block for section in paper_of(folder).data(0)["sections"] for block in section["blocks"]]
        tables = {block["label"]: json.dumps(block) for block in blocks if block["t"] == "table"}
        names = [cell["name"] for cell in evidence.load(folder).verdicts["cells"]]
        quality = tables["quality-1"] + tables["quality-b-1"]
        assert all(all(part in quality for part in name.split(", ")) and name in tables["costs-1"] for name in names)

    def test_no_verdict_claims_that_nothing_is_lost(self, made):
        for track in ("captioning", "vqa", "lambada", "detection"):
            text = text_of(whole(paper_of(made(track=track)))).lower()
            assert not re.search(
                r"no loss detected|gain within noise|loses nothing", text.replace("it loses nothing", "")
            )
            assert not re.search(r"\b[01]\.0\d?\N{MULTIPLICATION SIGN} the", text)

    def test_nothing_of_judging_is_imported(self):
        for path in Path(document.__file__).parent.glob("*.py"):
            assert "bitbudget.judging" not in path.read_text(), path

    @pytest.mark.parametrize(("track", "words"), [
        ("lambada", ("decode", "assistants", "On LAMBADA", "OPT-175B")),
        ("detection", ("non-maximum suppression", "driver assistance", "EfficientDet-Lite")),
        ("captioning", ("vision tower", "BLIP-2")),
        ("vqa", ("encoding and prefill", "VILA-1.5-3B")),
    ])  # fmt: skip
    def test_the_task_its_models_and_related_work_are_told(self, made, track, words):
        text = text_of(whole(paper_of(made(track=track))))
        assert all(word in text for word in words)
        assert "Nothing is trained here" in text and "Ours, against" in text


class TestOwnWords:
    def test_they_open_their_section_and_cite(self, made, tmp_path):
        (tmp_path / "results.md").write_text("My *own* words [@mine2020] <b>as text</b>.")
        (tmp_path / "abstract.md").write_text("First of all.")
        (tmp_path / "acknowledgements.md").write_text("Thanks to all.")
        (tmp_path / "references.bib").write_text("@book{mine2020, author={Me, My}, title={A Book of Mine}, year=2020}")
        text = text_of(whole(paper_of(made(track="vqa"), words=tmp_path)))
        assert text.index("First of all.") < text.index("Storing a network")
        assert re.search(r"4 Results My own words \[\d+\] <b>as text</b>\. 4\.1 Quality", text)
        assert "A Book of Mine" in text
        assert "Acknowledgements Thanks to all." in text

    def test_an_unknown_key(self, made, tmp_path):
        (tmp_path / "ethics.md").write_text("See [@nobody1999].")
        with pytest.raises(UserError, match="nobody1999"):
            paper_of(made(track="vqa"), words=tmp_path)


def run(folder, out, *more, report=None):
    spec = asked("write_paper", {"report": report or {}})
    command = [
        sys.executable,
        ROOT / "workflow/scripts/write_paper.py",
        "--spec",
        spec,
        "--results",
        folder,
        "--out",
        out,
    ]
    return subprocess.run([str(part) for part in (*command, *more)], capture_output=True, text=True, cwd=ROOT)


class TestScript:
    def test_title_authors_and_the_same_bytes(self, made, tmp_path):
        report = {"title": "Bits & #Pieces", "authors": [{"name": "Zoë Q. Łukasz", "affiliation": "U of <X>"}]}
        folder = made(track="lambada", precisions=1)
        done = run(folder, tmp_path / "a.pdf", report=report)
        assert done.returncode == 0, done.stderr
        content = (tmp_path / "a.pdf").read_bytes()
        assert document.fitted(paper_of(folder, report=report), TEMPLATE)[0] == content
        text = text_of(content)
        assert "Bits & #Pieces" in text and "Zoë Q. Łukasz" in text and "U of <X>" in text

    def test_an_own_template_gets_the_same_data(self, made, tmp_path):
        own = tmp_path / "mine.typ"
        own.write_text('#let d = json("data.json")\n#d.title / #d.sections.map(s => s.title).join(", ")')
        done = run(made(track="vqa"), tmp_path / "out.pdf", report={"template": str(own)})
        assert done.returncode == 0, done.stderr
        assert "Introduction, Background, Methods, Results" in text_of((tmp_path / "out.pdf").read_bytes())

    def test_a_missing_record_is_one_sentence(self, made, tmp_path):
        folder = tmp_path / "results" / "made"
        shutil.copytree(made(track="vqa"), folder)
        (folder / "verdicts.json").unlink()
        done = run(folder, tmp_path / "out.pdf")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "verdicts.json is not there" in done.stderr
