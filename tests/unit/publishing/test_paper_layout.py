"""How the paper is laid out: charts at the width of a column, balanced columns, and nothing that breaks or repeats."""

from __future__ import annotations

import json
import re

import pytest

import made_results
from bitbudget.publishing.figures import style
from bitbudget.publishing.paper import boxes, document, examples, extras, figures, nodes
from bitbudget.publishing.paper.nodes import NOT_MEASURED, Notes
from bitbudget.publishing.paper.view import View
from bitbudget.publishing.typesetting import typst
from bitbudget.telling import evidence

TEMPLATE = typst.TEMPLATES / "paper.typ"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Build studies once each, by their arguments."""
    folder, known = tmp_path_factory.mktemp("studies"), {}

    def build(**about):
        key = json.dumps(about, sort_keys=True)
        if key not in known:
            known[key] = made_results.build(folder / str(len(known)), **about)
        return evidence.load(known[key])

    return build


def blocks_of(units):
    return {block["label"]: block for unit in units for block in unit.blocks if "label" in block}


def words(inlines):
    return "".join(node.get("text", "") for node in inlines)


class TestCharts:
    def test_every_model_and_condition_has_a_panel(self, made):
        view = View(made(track="vqa", precisions=12, models=2, conditions=["zero-shot", "4-shot"]))
        block = blocks_of(figures.of_quality(view))["figure-difference-1"]
        svg = view.charts[block["path"]].decode()
        assert block["wide"] and all(f">{cell['name']}<" in svg for cell in view.cells)
        assert "(points)" in svg and svg.count(f">{view.others[0]}<") == 1

    def test_one_cell_stays_in_its_column(self, made):
        view = View(made(track="captioning", precisions=12))
        found = blocks_of([*figures.of_quality(view), *figures.of_costs(view)])
        assert {name for name, block in found.items() if block["wide"]} == {"figure-overview-1"}

    def test_a_broken_precision_is_an_arrow_and_the_caption_says_so(self, made):
        view = View(made(track="captioning", precisions=8))
        found = blocks_of([*figures.of_quality(view), *figures.of_costs(view)])
        lowest = view.entry("rtn-2")["metrics"]["CIDEr"]["difference"]["text"]
        for name in ("figure-difference-1", "figure-overview-1"):
            assert style.BEYOND in found[name]["alt"]
        assert f">{lowest}<" in view.charts[found["figure-difference-1"]["path"]].decode()

    def test_the_assignments_plots_are_there(self, made):
        wanted = {
            "lambada": ("top-1 accuracy", "size (MB)", "tokens/s"),
            "detection": ("AP", "size (MB)", "images/s"),
            "vqa": ("VQA accuracy", "latency", "energy"),
        }
        for track, titles in wanted.items():
            view = View(made(track=track, precisions=4, models=2))
            found = blocks_of(figures.of_costs(view))
            assert {"figure-overview-1", "figure-trade-off-1", "figure-phases-1"} <= set(found)
            svg = view.charts[found["figure-overview-1"]["path"]].decode()
            assert all(f">{title}" in svg for title in (*titles, "model-1", "model-2"))

    def test_a_cost_that_nobody_has_is_no_column(self, made):
        view = View(made(track="vqa", missing=["energy_per_item"]))
        svg = view.charts[blocks_of(figures.of_costs(view))["figure-overview-1"]["path"]].decode()
        assert ">energy" not in svg and ">latency" in svg

    def test_an_ablation_is_not_drawn_twice(self, made):
        found = blocks_of(figures.of_quality(View(made(track="captioning", ablation=True))))
        assert "figure-ablation-1" in found and "figure-difference-1" not in found

    def test_a_detectors_examples_have_few_panes(self, made):
        view = View(made(track="detection", precisions=12))
        names = boxes.precisions(view)
        assert len(names) == boxes.PRECISIONS and view.e.baseline in names
        assert view.main["recommendation"]["precision"] in names
        block = blocks_of(examples.units(view))["examples-1"]
        assert all(len(row["panes"]) == boxes.PRECISIONS + 1 for row in block["rows"])
        assert "8 more precisions are in index.html" in words(block["caption"])


class TestLayout:
    @pytest.mark.parametrize("about", [{"track": "vqa"}, {"track": "detection"}, {"track": "vqa", "precisions": 1}])
    def test_columns_of_the_last_page_end_together(self, made, about):
        paper = document.assemble({}, [made(**about)], None)
        pages = document.fitted(paper, TEMPLATE)[1]
        found = [document._balanced(paper, TEMPLATE, len(paper.ranks()), how) for how in (document.SET,)]
        last = typst.sketched(TEMPLATE, found[0].data, paper.assets)[-1]
        assert abs(last.ends[0] - last.ends[1]) < 0.08
        assert 4 <= pages <= 6

    @pytest.mark.parametrize("track", ["lambada", "detection"])
    def test_little_to_say_still_fills_four_pages(self, made, track, caplog):
        content, pages = document.fitted(document.assemble({}, [made(track=track, precisions=1)], None), TEMPLATE)
        assert 4 <= pages <= 6 and content.startswith(b"%PDF")
        assert "words of your own" in caplog.text

    @pytest.mark.parametrize(
        "begin, alone",
        [
            ({"page": 3, "left": 50, "top": 400}, True),
            ({"page": 4, "left": 50, "top": 60}, True),
            ({"page": 4, "left": 50, "top": 300}, False),
            ({"page": 4, "left": 310, "top": 60}, False),
            ({}, False),
        ],
    )
    def test_references_alone_on_the_last_page(self, begin, alone):
        assert document._references_alone(begin, 4) is alone

    def test_four_studies_fit(self, made, caplog):
        tracks = ("vqa", "captioning", "detection", "lambada")
        paper = document.assemble({}, [made(track=track, study=track) for track in tracks], None)
        assert document.fitted(paper, TEMPLATE)[1] <= 6
        assert "shorten" not in caplog.text

    def test_a_reference_to_what_is_left_out_names_the_record(self, made):
        paper = document.assemble({}, [made(track="vqa", study="a"), made(track="lambada", study="b")], None)
        text = json.dumps(paper.data(0)["sections"])
        assert '"to": "costs-1"' not in text and "summary.csv" in text and "audit.json of each checkpoint" in text

    def test_sentences_that_point_to_figures_are_one_paragraph(self):
        figure = {"t": "figure", "label": "x"}
        blocks = [nodes.brief("One."), figure, nodes.brief("Two."), figure, nodes.p("Three."), nodes.brief("Four.")]
        found = nodes.flowing(blocks)
        assert [words(one["c"]) for one in found if one["t"] == "p"] == ["One. Two.", "Three.", "Four."]


class TestTables:
    def test_rows_without_any_value_are_named_in_a_note(self):
        notes = Notes()
        rows = [nodes.row("a", "1"), nodes.row("b", notes.absent("not run")), nodes.row("c", notes.absent("not run"))]
        table = nodes.table("x", [], [], rows, notes.lines())
        assert len(table["rows"]) == 1
        assert words(table["notes"][-1]).endswith("(note 1): b, c.")
        one = nodes.table("x", [], [], rows[:2], notes.lines())
        assert one["rows"][1]["cells"][1][0]["text"] == NOT_MEASURED

    def test_metrics_that_nobody_has_are_told_with_their_reason(self, made):
        view = View(made(track="captioning"))
        for entry in view.main["entries"]:
            entry["metrics"]["SPICE"] = {"absent": "no Java here."}
        table = blocks_of(extras.units(view))["metrics-1"]
        assert any("SPICE: absent, no Java here." in words(note) for note in table["notes"])

    def test_an_audit_that_repeats_the_formats_names_is_left_out(self):
        assert not extras._told("litert-int8", ["INT8"])
        assert extras._told("bnb-int8", ["int8 with a float32 scale a row"])


class TestWording:
    def test_numbers_stay_beside_their_units(self):
        space = "\N{NO-BREAK SPACE}"
        said = typst.unbroken({"c": ["0.737 J and 0 % [81.1, 92.1] in 5 s, n = 160, p < .001"], "path": "a 5 s.png"})
        plain = (
            f"0.737{space}J and 0{space}% [81.1,{space}92.1] in 5{space}s, n{space}={space}160, p{space}<{space}.001"
        )
        assert said == {"c": [plain], "path": "a 5 s.png"}
        assert typst.unbroken("4 steps, 3 g/kWh, 2 models") == "4 steps, 3 g/kWh, 2 models"

    def test_a_value_and_its_unit_become_one_text(self):
        assert [one["text"] for one in nodes.p("at {x} s over", x=5)["c"]] == ["at 5 s over"]

    def test_worth_of_an_answer(self, made):
        share, other = View(made(track="vqa")), View(made(track="captioning"))
        marks = [examples._marks(share, {"value": value, "change": None}) for value in (0.0, 1.0, 0.3)]
        assert marks == ["wrong", "right", "partly right"]
        assert examples._marks(other, {"value": 7.031, "change": "worse"}) == "item CIDEr 7.03, scores lower (CIDEr)"

    def test_the_caption_of_the_examples_is_short(self, made):
        caption = words(blocks_of(examples.units(View(made(track="vqa"))))["examples-1"]["caption"])
        assert "By a fixed rule" not in caption and len(re.findall(r"\w+", caption)) < 40
