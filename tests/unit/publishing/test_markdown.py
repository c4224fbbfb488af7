"""The author's own words and references: what becomes of Markdown and BibTeX, and how mistakes in them are told."""

from __future__ import annotations

import pytest

from bitbudget.errors import UserError
from bitbudget.publishing.typesetting import bibliography, markdown, typst

ENTRY = "@article{key1,\n  author = {A. B},\n  title = {A {Title} with \\{ in it},\n  year = 2001\n}\n"


class TestParse:
    def test_inlines(self):
        (block,) = markdown.parse("a *b* **c** `d` [e](https://f.example) [@g1; @h:2]")
        kinds = [(node["t"], node.get("keys") or node.get("text") or node.get("url")) for node in block["c"]]
        assert kinds == [
            ("s", "a "), ("em", None), ("s", " "), ("strong", None), ("s", " "), ("code", "d"), ("s", " "),
            ("link", "https://f.example"), ("s", " "), ("cite", ["g1", "h:2"]),
        ]  # fmt: skip

    def test_blocks(self):
        blocks = markdown.parse("# h\n\n- one\n- two\n  1. in\n\n> quoted\n\n```\ncode *x*\n```\n")
        assert [block["t"] for block in blocks] == ["h", "list", "quote", "code"]
        assert [[one["t"] for one in item] for item in blocks[1]["items"]] == [["p"], ["p", "list"]]
        assert blocks[1]["items"][1][1]["ordered"]
        assert blocks[3]["text"] == "code *x*"

    def test_html_and_other_markup_stay_text(self):
        blocks = markdown.parse('<script>x</script>\n\n#panic() $x$ <b>y</b> ![alt](p.png "t")')
        texts = ["".join(node["text"] for node in block["c"]) for block in blocks]
        assert texts == ["<script>x</script>", "#panic() $x$ <b>y</b> [alt]"]

    def test_citations_are_found_wherever_they_are(self):
        assert list(markdown.cited(markdown.parse("*x [@a]*\n\n- y [@b; @c]"))) == ["a", "b", "c"]


class TestReadWords:
    def test_a_name_that_is_no_section(self, tmp_path):
        (tmp_path / "discusion.md").write_text("x")
        with pytest.raises(UserError, match=r"discusion\.md is no section.*did you mean discussion\.md\?"):
            markdown.read_words(tmp_path)

    def test_sections_are_read_and_other_files_left_alone(self, tmp_path):
        for name in ("ethics.md", "README.md", "references.bib"):
            (tmp_path / name).write_text("text")
        assert list(markdown.read_words(tmp_path)) == ["ethics"]
        assert markdown.read_words(None) == {}

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(UserError, match="does not exist"):
            markdown.read_words(tmp_path / "nowhere")


class TestBibliography:
    def test_entries_by_key(self, tmp_path):
        path = tmp_path / "references.bib"
        path.write_text("% note\n@comment{x}\n" + ENTRY + '@misc{key2, title = "a" # { b}, year = {2002},}\n')
        found = bibliography.read(path)
        assert list(found) == ["key1", "key2"]
        assert found["key1"] == ENTRY.strip()

    @pytest.mark.parametrize(
        "text, told",
        [
            ("@article{key1,\n title = {open {x\n}", "title of the entry key1 has no closing brace"),
            ("@article{key1,\n title {x}\n}", "entry key1 is broken at 'title"),
            ("@article{key1,\n title = {x}", "entry key1 is broken at 'the end of the file'"),
            ("x\n@article{,\n}", "line 2 has no key"),
            (ENTRY + ENTRY, "two entries key1"),
        ],
    )
    def test_a_mistake_names_file_and_entry(self, tmp_path, text, told):
        path = tmp_path / "references.bib"
        path.write_text(text)
        with pytest.raises(UserError, match=r"references\.bib") as raised:
            bibliography.read(path)
        assert told in str(raised.value)

    def test_an_unknown_key_is_told_with_the_nearest(self):
        with pytest.raises(UserError, match=r"\[@dettmers2023qlor\].*did you mean \[@dettmers2023qlora\]"):
            bibliography.check_cited(["dettmers2023qlor"], ["dettmers2023qlora"], "your own words")

    def test_an_authors_entry_stands_in_place_of_ours(self):
        assert bibliography.joined({"a": "ours", "b": "b"} | {"a": "theirs"}) == "theirs\n\nb\n"

    def test_our_own_are_sound(self):
        found = bibliography.read(typst.TEMPLATES.parent / "references.bib")
        assert len(found) > 40
        for key, entry in found.items():
            assert all(f"{field} =" in entry for field in ("author", "title", "year")), key
