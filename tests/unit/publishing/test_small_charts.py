"""Charts of a column's or slide's size: texts in the report's fonts, cut axes, and the same bytes every time."""

from __future__ import annotations

import re

import pytest

from bitbudget.publishing.figures import small
from bitbudget.publishing.figures.small import Panel, Point, Span

ROWS = (
    Span("int8", -0.4, -1.2, 0.5, "-0.4", filled=False),
    Span("nf4", -2.2, -4.4, -0.9, "-2.2"),
    Span("int4", -3.0, -5.0, -1.0, "-3.0"),
    Span("rtn-2", -60.0, -70.0, -50.0, "-60.1"),
    Span("none", None),
)
COLUMN = {"width": 238.0, "letter": 6.8}


def texts(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.decode())


def size(svg):
    return [float(one) for one in re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg.decode()).groups()]


class TestForest:
    def test_one_broken_row_leaves_the_others_readable_and_writes_its_number(self):
        found = texts(small.forest([Panel("", ROWS)], "difference", **COLUMN))
        ticks = [
            float(one.replace("\N{MINUS SIGN}", "-")) for one in found if re.fullmatch(r"[\N{MINUS SIGN}\d.]+", one)
        ]
        assert min(ticks) > -20 and "-60.1" in found and "-2.2" not in found

    def test_all_that_is_near_is_on_the_axis(self):
        found = texts(small.forest([Panel("", ROWS[:3])], "difference", **COLUMN))
        assert not {"-0.4", "-2.2", "-3.0"} & set(found)

    def test_what_is_absent_is_a_dash(self):
        assert small.ABSENT in texts(small.forest([Panel("", ROWS)], "", **COLUMN))

    def test_panels_share_rows_and_have_titles(self):
        found = texts(small.forest([Panel("m", ROWS), Panel("n", ROWS)], "x", width=490.0, letter=6.8))
        assert found.count("int8") == 1 and {"m", "n"} <= set(found)

    def test_its_size_is_that_asked_for(self):
        made = small.forest([Panel("", ROWS)], "x", width=888.0, letter=18.0, height=330.0, beside=True)
        assert size(made) == pytest.approx([888.0, 330.0]) and "-2.2" in texts(made)


class TestScatter:
    POINTS = (
        Point("bfloat16", 86.0, 82.0, 90.0, "86.0", baseline=True, x=26.0),
        Point("int8", 85.5, 81.0, 90.0, "85.5", x=18.0),
        Point("nf4", 84.0, 80.0, 89.0, "84.0", x=14.0),
        Point("rtn-2", 26.0, 22.0, 30.0, "26.0", filled=False, x=13.5),
    )

    def test_a_broken_point_is_an_arrow_with_its_number(self):
        found = texts(small.scatter([Panel("", self.POINTS)], "MB", "accuracy (%)", height=150.0, **COLUMN))
        assert "rtn-2 (26.0)" in found and {"bfloat16", "int8", "nf4"} <= set(found)

    def test_every_panel_has_its_own_scale(self):
        other = [Point("a", 5.0, x=1.0), Point("b", 6.0, x=2.0)]
        panels = [Panel("m", self.POINTS), Panel("n", other)]
        found = texts(small.scatter(panels, "MB", "accuracy (%)", width=490.0, height=150.0, letter=6.8))
        assert {"m", "n", "a", "b"} <= set(found) and {"80", "5.5"} <= set(found)


def test_bars_have_their_texts_and_headings():
    columns = [Panel("size (MB)", [Span("m", None), Span("a", 3.0, text="3.0"), Span("b", None, text=small.ABSENT)])]
    assert {"size (MB)", "m", "a", "b", "3.0", small.ABSENT} <= set(
        texts(small.bars(["m", "a", "b"], columns, **COLUMN))
    )


def test_parts_have_a_key():
    rows, parts = [("a", [1.0, 2.0], "3 ms"), ("b", [2.0, 2.0], "4 ms")], [("prefill", "#111"), ("decode", "#222")]
    made = small.stacks(rows, parts, **COLUMN)
    assert {"prefill", "decode", "a", "b", "3 ms", "4 ms"} <= set(texts(made))


def test_names_run_nothing_and_are_the_same_bytes():
    rows = [Span("$x^2$ <b> & 😀", 1.0, 0.5, 1.5)]
    one, other = (small.forest([Panel("", rows)], "x", **COLUMN) for _ in range(2))
    assert one == other and b"$x^2$ &lt;b&gt; &amp; " in one and b"mathtext" not in one


class TestRoom:
    LONG = "gptq-2-language-attention-and-mlp"

    def test_a_name_is_cut_where_it_is_wider_than_its_room(self):
        assert small.fitted("int8", 100, 7) == "int8"
        cut = small.fitted(self.LONG, 60, 7)
        assert cut.endswith("…") and self.LONG.startswith(cut[:-1]) and small._wide([cut], 7) <= 60

    def test_titles_that_do_not_fit_are_told_apart_by_a_second_line(self):
        panels = [Panel(f"small-language-model-135m, {name}", ROWS[:2]) for name in ("zero-shot", "4-shot", "8-shot")]
        found = texts(small.forest(panels, "difference", **COLUMN))
        assert {"zero-shot", "4-shot", "8-shot"} <= set(found)

    def test_a_heading_of_rows_is_whole(self):
        heading = "small-language-model-135m, zero-shot"
        rows = [Span(heading, None), Span("int8", 2.0, text="2")]
        found = texts(small.bars([heading, "int8"], [Panel("size (MB)", rows)] * 5, **COLUMN))
        assert heading in found
