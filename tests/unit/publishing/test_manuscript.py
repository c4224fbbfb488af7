"""The paper as Markdown: its pictures lie beside it, its numbers hold together, other people's text is text."""

from __future__ import annotations

import re

import pytest
import yaml
from markdown_it import MarkdownIt

from bitbudget.config import plan
from bitbudget.publishing.paper import document, manuscript
from bitbudget.publishing.typesetting import bibliography
from bitbudget.registry import module_of
from bitbudget.telling import evidence

LINK = re.compile(r"!\[[^\n]*?\]\(([^)\n]+)\)")
HOSTILE = ("<script>alert(1)</script>", '#panic("x")', "$x$", "*a*", "_b_", "@fig")


def paper_of(*folders, report=None, words=None):
    return document.assemble(report or {}, [evidence.load(folder) for folder in folders], words)


def written(*folders, **about):
    paper = paper_of(*folders, **about)
    return manuscript.written(paper.data(len(paper.ranks())), paper.works)


def parsed(text):
    """Metadata, and the tokens of the rest."""
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)


def spans(tokens):
    return [one for token in tokens for one in (token.children or ())]


@pytest.mark.parametrize("track", ["captioning", "vqa", "lambada", "detection"])
def test_every_picture_lies_beside_it(made, track, tmp_path):
    folder = made(track=track)
    paper, out = paper_of(folder), tmp_path / "results" / "paper.md"
    (out.parent / manuscript.PICTURES).mkdir(parents=True)
    (out.parent / manuscript.PICTURES / "old.jpg").write_text("of another paper")
    manuscript.write(out, paper.data(len(paper.ranks())), paper.works, paper.assets)
    shown = LINK.findall(out.read_text())
    figures = {*plan.FIGURES, "quality_delta", "ablation", *module_of("track", track).FIGURES}
    quoted = {path for path in shown if path.startswith(manuscript.PICTURES)}
    assert {path for path in shown if path not in quoted} <= {f"figures/{name}.png" for name in figures}
    assert "figures/quality_delta.png" in shown
    assert {f"{manuscript.PICTURES}/{path.name}" for path in (out.parent / manuscript.PICTURES).iterdir()} == quoted


def test_pictures_are_quoted_as_they_are(made, tmp_path):
    folder = made(track="captioning")
    paper = paper_of(folder)
    manuscript.write(tmp_path / "paper.md", paper.data(len(paper.ranks())), paper.works, paper.assets)
    copies = sorted(path.read_bytes() for path in (tmp_path / manuscript.PICTURES).iterdir())
    own = [asset for asset in paper.assets.values() if not isinstance(asset, bytes)]  # charts have their own files
    assert copies and copies == sorted(path.read_bytes() for path in own)


def test_figures_of_another_study_lie_with_it(made):
    text = written(made(track="detection", study="boxes"), made(track="lambada", study="words"))
    paths = {path.rpartition("/")[0] for path in LINK.findall(text)}
    assert paths == {"figures", "../words/figures"}


def test_what_people_wrote_is_shown_and_is_no_markup(made):
    folder = made(track="captioning", hostile=True)
    report = {"title": "A *b* `c` --- d", "authors": [{"name": 'Zoë "Q" <x>', "email": "z_q@example.org"}]}
    head, tokens = parsed(written(folder, report=report))
    assert head["title"] == r"A \*b\* \`c\` \-\-- d" and head["author"] == [r'Zoë "Q" \<x\> (z\_q\@example.org)']
    kinds = {token.type for token in [*tokens, *spans(tokens)]}
    assert not kinds & {"html_block", "html_inline", "code_inline", "code_block", "fence", "link_open"}
    shown = "".join(one.content for one in spans(tokens) if one.type == "text")
    assert all(piece in shown for piece in HOSTILE)


@pytest.mark.parametrize("line", ["1. a", "- a", "+ a", "# a", "> a", "(1) a", "a) b", "=== a", "| a | b |", ": a"])
def test_no_text_begins_as_another_block(line):
    tokens = MarkdownIt("commonmark").enable("table").parse(manuscript.escaped(line))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert "".join(one.content for one in tokens[1].children) == line


@pytest.mark.parametrize("track", ["captioning", "vqa", "lambada", "detection"])
def test_tables_are_whole_and_every_number_is_there(made, track):
    text = written(made(track=track, precisions=12, models=2))
    _, tokens = parsed(text)
    tables = [token for token in tokens if token.type == "table_open"]
    captions = re.findall(r"^\*\*Table (\d+)\.\*\*", text, re.MULTILINE)
    assert len(tables) == len(captions) and captions == [str(n) for n in range(1, len(tables) + 1)]
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    called = set(re.findall(r"(?<!\*\*)\b((?:Table|Figure) \d+)\b(?!\.\*\*)", text))
    assert called and called <= set(re.findall(r"\*\*((?:Table|Figure) \d+)\.\*\*", text))


def test_works_are_listed_in_the_order_in_which_they_are_cited(made, tmp_path):
    (tmp_path / "introduction.md").write_text("See [@mine2020; @lin2014coco] and **[a *site*](https://example.org)**.")
    (tmp_path / "references.bib").write_text("@book{mine2020, author={Me, My}, title={A Book of Mine}, year=2020}")
    text = written(made(track="vqa"), words=tmp_path)
    body, works = text.split("# References {-}")
    assert "See \\[1, 2\\] and **[a *site*](<https://example.org>)**." in body
    numbers = {int(n) for group in re.findall(r"\\\[((?:\d+, )*\d+)\\\]", body) for n in group.split(", ")}
    listed = re.findall(r"^(\d+)\. ", works, re.MULTILINE)
    assert listed == [str(n) for n in range(1, len(listed) + 1)] and set(map(int, listed)) <= numbers
    assert "1. My Me. A Book of Mine. 2020." in works


def test_a_work_in_words():
    entry = r"""@article{x, author = {M{\"u}ller, {\'E}va and {A Team} and Lauren{\c c}on, Hugo and Mart{\'i}nez-P, F},
      title = "{NLP} \& more", journal = {J}, volume = {3}, number = 2, pages = {1--9}, year = {2020}}"""
    expected = "Éva Müller, A Team, Hugo Laurençon, F Martínez-P. NLP & more. J 3(2), 1\N{EN DASH}9. 2020."
    assert bibliography.in_words(entry) == expected
    works = bibliography.read(document.OWN_WORKS).values()
    assert not [one for one in map(bibliography.in_words, works) if re.search(r"[{}\\]", one)]
