"""PDFs from templates: text stays text, every character is shown or named, and the same data gives the same bytes."""

from __future__ import annotations

import pypdf
import pytest

from bitbudget.errors import UserError
from bitbudget.publishing.typesetting import glyphs, typst

MARKUP = '<script>alert(1)</script> #panic("x") $x$ =cmd() *a* _b_ @fig `c` \\ 漢字 Ж'
TEMPLATE = '#let d = json("data.json")\n#set page(width: 12cm, height: 6cm)\n#d.text\n'


def template(folder, text):
    path = folder / "own.typ"
    path.write_text(text, encoding="utf-8")
    return path


def text_of(path):
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)


class TestCompile:
    def test_markup_in_the_data_is_shown_as_text(self, tmp_path):
        out = tmp_path / "out.pdf"
        assert typst.compile_pdf(template(tmp_path, TEMPLATE), {"text": MARKUP}, out) == 1
        found = text_of(out).replace("\n", " ")
        for piece in ("<script>alert(1)</script>", '#panic("x")', "$x$", "=cmd()", "*a*", "_b_", "@fig", "漢字"):
            assert piece in found

    def test_the_same_data_gives_the_same_bytes(self, tmp_path):
        own = template(tmp_path, TEMPLATE + "#datetime.today().display()")
        for name in ("a.pdf", "b.pdf"):
            typst.compile_pdf(own, {"text": "same"}, tmp_path / name)
        assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()

    def test_pages_are_counted(self, tmp_path):
        own = template(tmp_path, TEMPLATE + "#pagebreak()\nx\n#pagebreak()\ny")
        assert typst.compile_pdf(own, {"text": "x"}, tmp_path / "out.pdf") == 3

    def test_a_fault_of_the_template_is_one_sentence(self, tmp_path):
        own = template(tmp_path, '#json("data.json").at("nothing")')
        with pytest.raises(UserError, match=r"own\.typ cannot be set as a PDF: .*nothing.*; mend the template"):
            typst.compile_pdf(own, {"text": "x"}, tmp_path / "out.pdf")
        assert not (tmp_path / "out.pdf").exists()

    def test_a_template_reads_nothing_outside_its_root(self, tmp_path):
        (tmp_path / "secret.txt").write_text("secret")
        own = template(tmp_path, '#read("../secret.txt")')
        with pytest.raises(UserError):
            typst.compile_pdf(own, {}, tmp_path / "out.pdf")

    def test_an_asset_that_is_missing_or_leaves_the_root(self, tmp_path):
        own = template(tmp_path, TEMPLATE)
        with pytest.raises(UserError, match="does not exist"):
            typst.compile_pdf(own, {"text": ""}, tmp_path / "out.pdf", {"a.png": tmp_path / "a.png"})
        with pytest.raises(ValueError, match="leave the folder"):
            typst.compile_pdf(own, {"text": ""}, tmp_path / "out.pdf", {"../a.typ": own})

    def test_a_half_empty_page_is_seen(self, tmp_path):
        full = "#rect(width: 100%, height: 100%, fill: black)\n#pagebreak()\n"
        pages = typst.sketched(template(tmp_path, TEMPLATE + "#pagebreak()\n" + full + "x"), {"text": "x"}, {})
        assert pages[1].filled > 0.9 > 0.5 > pages[0].filled
        assert pages[1].gap < 0.2 < 0.5 < pages[0].gap


class TestGlyphs:
    @pytest.mark.parametrize(
        "given, shown",
        [
            ("plain", "plain"),
            ("a\u202eb\u200e\x1b\ufeff\u00ad", "ab"),  # overrides and control characters go
            ("e\u0301", "é"),
            ("\u2764\ufe0f", "\u2764"),
            ("\U0001f469\u200d\U0001f467", "\U0001f469\U0001f467"),  # a joiner between emoji
            ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),  # but not between letters
            ("\U00013000", "[EGYPTIAN HIEROGLYPH A001]"),
            ("\ue000", "[U+E000]"),
            ("\ud83d", "[U+D83D]"),
            ("a\r\nb\tc\u2028d", "a\nb c\nd"),
        ],
    )
    def test_shown(self, given, shown):
        assert glyphs.shown(given) == shown

    def test_texts_are_reached_wherever_they_are(self):
        found = glyphs.shown_within({"a": ["\ue000", 1, None, {"\u202eb": "c"}], "d": ("\x00e",)})
        assert found == {"a": ["[U+E000]", 1, None, {"b": "c"}], "d": ["e"]}

    def test_the_fonts_are_small_and_have_their_licences(self):
        assert sum(path.stat().st_size for path in glyphs.FONTS.rglob("*") if path.is_file()) < 10e6
        assert len(list((glyphs.FONTS / "licences").glob("*.txt"))) == 6
