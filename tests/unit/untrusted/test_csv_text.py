"""Text in tables: nothing that a spreadsheet would run."""

import csv
import io

import pytest

from bitbudget.untrusted import csv_text


@pytest.mark.parametrize(
    "text",
    [
        "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\ufeff=1", "\u200b=1", "\uff1d1+1",
        '=HYPERLINK("http://x","y")', "=cmd|' /C calc'!A0", "-a", "+43 1 58858", "- a dash", "\x00=1",
    ],
)  # fmt: skip
def test_formulae_are_made_text(text):
    cell = csv_text.harmless(text)
    assert cell.startswith("'")
    assert not any(ord(one) < 32 for one in cell)


@pytest.mark.parametrize(
    "text", ["-3", "+2.5", "-1e-3", ".5", "a = b", "", " ", "5 - 3", "'quoted'", "naïve 東京", "a@b.org"]
)
def test_ordinary_text_and_numbers_stay(text):
    assert csv_text.harmless(text) == text


def test_control_characters_and_half_characters():
    assert csv_text.harmless("a\nb\x07c\u2028d") == "a b c d"
    assert csv_text.harmless("a\ud800b").encode() == "a\N{REPLACEMENT CHARACTER}b".encode()


def test_values_that_are_no_text_stay():
    assert csv_text.row({"a": -5, "b": None, "c": -0.5, "d": True, "e": "=x"}) == {
        "a": -5, "b": None, "c": -0.5, "d": True, "e": "'=x",
    }  # fmt: skip


def test_a_cell_comes_back_from_a_table_whole():
    texts = ['=a,"b"', "c\nd", 'e"f', "'"]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(map(csv_text.harmless, texts))
    assert next(csv.reader(io.StringIO(out.getvalue()))) == ['\'=a,"b"', "c d", 'e"f', "'"]
    assert out.getvalue().count("\n") == 1
