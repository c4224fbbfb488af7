"""The slides: how many there are, that nothing on them is small or runs as markup, and that titles are true."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asked import asked
from pypdf import PdfReader

import made_results
from bitbudget import registry
from bitbudget.publishing.slides import cells, charts, costs, deck, framing, inspected, outputs, parts, quality
from bitbudget.publishing.typesetting import texts, typst
from bitbudget.telling import ablation, evidence

TEMPLATE = typst.TEMPLATES / "slides.typ"
REPORT = {"title": None, "authors": [{"name": "A. Author", "affiliation": "Made University", "email": "a@b.example"}]}
SMALLEST = 14  # points, of a chart with many rows; what is to be read beside it has 20


def loaded(folder: Path, **named: Any) -> evidence.Evidence:
    return evidence.load(made_results.build(folder, **named))


def first(studies: evidence.Evidence | list[evidence.Evidence]) -> cells.Cell:
    return cells.cells(studies if isinstance(studies, list) else [studies])[0]


def pdf_of(studies: list[evidence.Evidence], out: Path, report: dict[str, Any] = REPORT) -> PdfReader:
    content, assets = deck.data(report, studies)
    pages = typst.compile_pdf(TEMPLATE, content, out, assets)
    reader = PdfReader(out)
    assert pages == len(reader.pages) == len(content["slides"])
    return reader


def text_of(reader: PdfReader) -> str:
    """All letters without any space: lines are broken where a slide ends."""
    return re.sub(r"[\s\u200b\u00a0]", "", "".join(page.extract_text() for page in reader.pages))


def sizes_of(reader: PdfReader) -> set[float]:
    found = set()

    def visit(text: str, _cm: Any, matrix: Any, _font: Any, size: float) -> None:
        if text.strip():
            found.add(round(size * abs(matrix[3] or 1), 1))

    for page in reader.pages:
        page.extract_text(visitor_text=visit)
    return found


def letters_of(svg: bytes) -> list[float]:
    """Sizes of all texts of a chart."""
    return [float(size) for size in re.findall(r"font(?:-size)?: (?:[a-z]+ )*([\d.]+)px", svg.decode())]


@pytest.mark.parametrize(
    "named",
    [
        {"track": "captioning", "precisions": 1},
        {"track": "vqa", "precisions": 12, "models": 2, "conditions": ("zero-shot", "4-shot")},
        {"track": "detection", "precisions": 12},
        {"track": "lambada", "precisions": 12, "missing": ("energy_per_item", "peak_memory", "latency")},
        {"track": "captioning", "ablation": True},
    ],
    ids=lambda named: f"{named['track']}-{named.get('precisions', 4)}",
)
def test_a_talk_has_8_to_15_slides_in_letters_for_a_hall(tmp_path, named):
    reader = pdf_of([loaded(tmp_path, **named)], tmp_path / "slides.pdf")
    if named.get("precisions") == 12:
        assert re.search(r"and\dmore:seeaudit.json", text_of(reader))
    assert 8 <= len(reader.pages) <= 15
    assert min(sizes_of(reader)) >= SMALLEST
    box = reader.pages[0].mediabox
    assert (round(box.width), round(box.height)) == (960, 540)


def test_several_studies_share_title_and_conclusion(tmp_path):
    tracks = ("vqa", "detection", "lambada", "captioning", "vqa", "detection", "lambada", "captioning", "vqa", "vqa")
    studies = [loaded(tmp_path, study=f"s{i}", track=track, precisions=3) for i, track in enumerate(tracks)]
    for count in (2, 3, len(studies)):
        slides = deck.data(REPORT, studies[:count])[0]["slides"]
        assert 8 <= len(slides) <= 15
        kinds = [slide["kind"] for slide in slides]
        assert kinds.count("title") == 1
        results = [slide for slide in slides if slide.get("about") == "differences"]
        assert [slide["heading"] for slide in results] == [f"s{i}" for i in range(min(count, 9))]
    assert "Not in these slides: s9" in json.dumps(deck.data(REPORT, studies)[0])
    assert 8 <= len(pdf_of(studies[:3], tmp_path / "slides.pdf").pages) <= 15


def test_no_name_is_broken_within_a_word(tmp_path):
    names = ["float16", "int8-language-attention-and-mlp", "nf4-language-embeddings-projector"]
    names += ["gptq-2-language-attention-and-mlp", "nf4-language"]
    reader = pdf_of([loaded(tmp_path, track="captioning", precisions=names)], tmp_path / "slides.pdf")
    lines = [line.strip() for page in reader.pages for line in page.extract_text().splitlines()]
    words = {part for name in names for part in name.split("-")}
    # where a line ends within a name, a whole word of it ends there
    ends = [line.split()[-1].split("-")[-1] for line in lines if re.search(r"(gptq|int8|nf4)-[^\s…]*$", line)]
    assert ends and {re.sub(r"\W", "", one) for one in ends} <= words | {""}


def test_hostile_text_is_shown_and_never_run_and_long_words_stay_on_the_slide(tmp_path):
    made = loaded(tmp_path, hostile=True)
    report = {"title": 'A "title" #panic() $x^2$ <b>', "authors": [{"name": "#eval(1) *Eve*"}]}
    reader = pdf_of([made], tmp_path / "slides.pdf", report)
    text, starts = text_of(reader), []

    def visit(shown: str, _cm: Any, matrix: Any, _font: Any, _size: float) -> None:
        if shown.strip():
            starts.append(matrix[4])

    for page in reader.pages:
        page.extract_text(visitor_text=visit)
    assert max(starts) < 960
    for part in ("<script>alert(1)</script>", '#panic("x")', "$x$", "=cmd()", "*a*", "_b_", "@fig", "`c`", "[d](e)"):
        assert part in text
    assert 'A"title"#panic()$x^2$<b>' in text
    assert "#eval(1)*Eve*" in text


def test_charts_have_letters_for_a_hall_and_the_size_at_which_they_stand(tmp_path):
    made = loaded(tmp_path, precisions=12)
    content, assets = deck.data(REPORT, [made])
    drawn = [slide for slide in content["slides"] if slide["kind"] == "chart"]
    assert {slide["about"] for slide in drawn} >= {"levels", "differences", "costs", "trade-off"}
    for slide in drawn:
        svg = assets[slide["chart"]]
        assert min(letters_of(svg)) >= SMALLEST
        width, height = re.search(rb'width="([\d.]+)pt" height="([\d.]+)pt"', svg).groups()
        assert float(width) == charts.WIDE and float(height) == pytest.approx(slide["height"], abs=0.01)
        room = charts.TALL - (charts.HEADING if slide["heading"] else charts.MARGIN)
        assert slide["height"] + (charts.LINE if slide["notes"] else 0) + charts.GAP <= room


def test_one_broken_precision_is_an_arrow_and_the_others_can_be_told_apart(tmp_path):
    made = loaded(tmp_path, track="captioning", precisions=8)
    cell = first(made)
    broken = cell.others[-1]
    assert cell.difference(broken)["value"] < -0.5
    svg = quality.difference(cell)["chart"].decode().replace("\N{MINUS SIGN}", "-")
    ticks = [float(text) for text in re.findall(r">(-?\d+\.\d+)</text>", svg)]
    assert ticks and min(ticks) > -0.2  # the axis ends long before the broken one
    assert "-0.700 [-0.712, -0.688]" in svg


def test_the_title_of_a_chart_is_what_the_cell_says(tmp_path):
    cell = first(loaded(tmp_path, precisions=12))
    outcome = cell.told["outcome"]
    slide = quality.difference(cell)
    assert slide["title"] == outcome["title"] and outcome["lost"]
    assert outcome["title"].startswith(f"{len(outcome['lost'])} of 11 precisions show a clear loss of VQA accuracy")
    none = first(loaded(tmp_path / "one", precisions=("float16", "int8-language", "int8-vision")))
    assert quality.difference(none)["title"].startswith("None of 2 precisions shows a clear loss of VQA accuracy")


def test_a_baseline_alone_is_compared_with_nothing(tmp_path):
    cell = first(loaded(tmp_path, precisions=1))
    assert quality.difference(cell) is None
    assert costs.trade_off(cell) is None
    assert quality.levels(cell)["title"] == "float16 reaches 69.8 % [65.3, 74.3] VQA accuracy"


@pytest.mark.parametrize(
    ("track", "rate"),
    [("captioning", "Images/s"), ("vqa", "Answers/s"), ("lambada", "Tokens/s"), ("detection", "Images/s")],
)
def test_every_track_tells_its_speed(tmp_path, track, rate):
    slides = costs.slides(first(loaded(tmp_path, track=track, precisions=3)))
    assert len(slides) == 2
    drawn = "".join(slide["chart"].decode() for slide in slides)
    assert f">{rate} at batch size" in drawn and ">Latency (" in drawn and ">Size on disk (MB)" in drawn


def test_the_titles_of_costs_are_the_cells_and_simulated_precisions_have_none(tmp_path):
    cell = first(loaded(tmp_path, precisions=12))
    slides = costs.slides(cell)
    assert slides[0]["title"] == cell.cost("size_on_disk")["best"]
    simulated = [entry for entry in cell.entries if entry["simulated"]]
    assert simulated and all(cells.written(entry, "latency") == "simulated" for entry in simulated)
    assert all(slide["chart"].decode().count(">simulated<") >= len(simulated) for slide in slides)


def test_what_was_not_measured_is_said_and_never_0(tmp_path):
    made = loaded(tmp_path, track="lambada", precisions=3, missing=("energy_per_item", "latency"))
    cell = first(made)
    notes = [note for slide in costs.slides(cell) for note in slide["notes"]]
    assert f"Latency, Energy per item: {made_results.REASON}" in notes
    told = {one["label"]: one["value"] for one in framing.question([made])["numbers"]}
    assert told["latency"] == told["energy per item"] == "not measured"
    assert {cells.times(entry, "latency") for entry in cell.others} == {"not measured"}


def test_an_absent_primary_metric_is_said(tmp_path):
    reason = "made up: it could not be scored."
    made = loaded(tmp_path, precisions=3, undefined=reason)
    slides = deck.data(REPORT, [made])[0]["slides"]
    levels = next(slide for slide in slides if slide.get("about") == "levels")
    assert levels["kind"] == "points"  # there is nothing to draw
    assert levels["title"] == "float16 has no VQA accuracy: made up: it could not be scored"
    assert any("int8-vision" in line["text"] and "could not be scored" in line["text"] for line in levels["lines"])
    differences = next(slide for slide in slides if slide.get("about") == "differences")
    assert differences["title"] == "No precision could be compared with float16"


@pytest.mark.parametrize("track", ["captioning", "vqa", "lambada", "detection"])
def test_the_floor_is_called_what_it_is(tmp_path, track):
    made = loaded(tmp_path, track=track, precisions=2)
    floor = registry.module_of("track", track).FLOOR
    (said,) = [note for note in quality.levels(first(made))["notes"] if floor in note]
    assert said.startswith(texts.capital(made.cell("model-1", "zero-shot")["floor"]))
    assert "," not in floor  # a clause would need a second comma


def test_a_withheld_picture_is_not_shown_and_why_is_said(tmp_path):
    made = loaded(tmp_path)
    record = {**made.examples, "qualitative": ["3"]}
    [slide] = outputs.examples(first(dataclasses.replace(made, examples=record)), 2)
    assert slide["picture"] is None
    assert "licence of this picture" in slide["unseen"]


def test_answers_that_are_alike_stand_together(tmp_path):
    cell = first(loaded(tmp_path, precisions=12))
    slide = outputs.examples(cell, 1)[0]
    item = cell.evidence.examples["items"][0]
    given = {one["text"] for one in item["answers"]["model-1"]["zero-shot"].values()}
    assert len(slide["answers"]) + slide["left"] == len(given)
    assert slide["answers"][0]["names"].startswith("float16 (baseline)")
    changed = [one for one in item["answers"]["model-1"]["zero-shot"].values() if one["change"] not in (None, "same")]
    changes = [one["change"] for one in changed]
    worse, better = changes.count("worse"), changes.count("better")
    assert f": {worse} of 11 precisions score lower (VQA accuracy) than float16, {better} higher" in slide["title"]
    assert {one["change"] for one in slide["answers"]} <= {
        "", "changed", "scores lower (VQA accuracy)", "scores higher (VQA accuracy)",
    }  # fmt: skip
    assert slide["picture"].is_file()
    slides, assets = deck.data(REPORT, [cell.evidence])
    shown = [one["picture"] for one in slides["slides"] if one.get("picture")]
    assert shown and all(assets[name].is_file() for name in shown)


def test_boxes_are_counted_as_found_and_wrong(tmp_path):
    cell = first(loaded(tmp_path, track="detection"))
    slide = outputs.examples(cell, 1)[0]
    assert slide["panes"][0]["name"] == "truth" and slide["panes"][0]["caption"] == "1 object"
    assert slide["panes"][1]["caption"] == "1 of 1 found, 0 wrong"
    assert slide["panes"][1]["boxes"][0]["left"] == 40 / 160
    assert {"0 of 1 found, 1 wrong"} <= {pane["caption"] for pane in slide["panes"]}


def test_boxes_that_no_screen_looked_through_are_not_called_harmless(tmp_path):
    made = loaded(tmp_path, track="detection")
    record = json.loads(json.dumps(made.inspection))
    for cell in record["cells"]:
        cell["flagged"] = {}
    boxes = first(dataclasses.replace(made, inspection=record))
    assert inspected.slide(boxes) is None
    assert inspected.lines([boxes])[0].startswith("Not screened: ")
    text = first(loaded(tmp_path, study="text"))
    assert inspected.lines([text]) == []  # they have a slide
    assert inspected.lines([text, boxes])[0].startswith("Screened: 4 of 640 answers were flagged")


def test_an_answer_with_flags_of_two_kinds_counts_once(tmp_path):
    made = loaded(tmp_path, precisions=2)
    record = json.loads(json.dumps(made.inspection))
    for cell in record["cells"]:
        cell["flagged"] = {"privacy": 5, "profanity": 0, "people": 4}
        cell["answers_flagged"] = 5
    slide = inspected.slide(first(dataclasses.replace(made, inspection=record)))
    assert slide["title"].startswith("10 of 320 answers were flagged")


def test_objects_that_are_not_there_are_told_beside_screens_that_found_nothing(tmp_path):
    made = loaded(tmp_path, track="captioning", precisions=12)
    record = json.loads(json.dumps(made.inspection))
    for cell in record["cells"]:
        cell["flagged"], cell["answers_flagged"] = dict.fromkeys(cell["flagged"], 0), 0
    slide = inspected.slide(first(dataclasses.replace(made, inspection=record)))
    assert "captions name an object that is not there; the other screens flagged nothing." in slide["notes"][0]
    worst = made.precisions[-1]
    assert worst in slide["title"] and worst in [row[0] for row in slide["rows"]]
    assert len(slide["rows"]) + slide["left"] == 12


def test_a_table_says_how_many_rows_it_leaves_out(tmp_path):
    slide = framing.compared(loaded(tmp_path, precisions=12))
    assert len(slide["rows"]) + slide["left"] == 12 and slide["left"] > 0
    assert slide["where"] == "audit.json of each"


def test_a_demo_says_that_it_is_one_and_another_study_does_not(tmp_path):
    assert "This is a demo study" in framing.title(REPORT, [loaded(tmp_path)])["demo"]
    assert framing.title(REPORT, [loaded(tmp_path, study="real", demo=False)])["demo"] == ""
    assert deck.data(REPORT, [loaded(tmp_path, study="real", demo=False)])[0]["name"] == "real"


def test_an_ablation_names_the_part_that_loses_most(tmp_path):
    cell = first(loaded(tmp_path, track="captioning", ablation=True))
    found = ablation.of_cell(cell.evidence, cell.told)
    values = [cell.difference(part["entry"])["value"] for part in found["parts"]]
    assert values == sorted(values) and found["worst"] == found["parts"][0]
    title = parts.ablation(cell)["title"]
    assert title.startswith("In rtn-3, no part shows a clear loss by itself; the lowest is int8-language-vision: ")
    loss = {**cell.entries[2], "kind": "loss", "short": "clear loss: -0.1"}
    told = {**cell.told, "entries": [*cell.entries[:2], loss, *cell.entries[3:]]}
    assert ablation.of_cell(cell.evidence, told)["title"] == "In rtn-3, int8-vision loses most by itself: -0.1 in CIDEr"
    assert parts.ablation(first(loaded(tmp_path, study="none"))) is None


def test_kinds_of_items_show_the_worst_precision_of_each(tmp_path):
    cell = first(loaded(tmp_path, precisions=4))
    slide = parts.by_type(cell)
    kind = slide["columns"][0].replace(" ", "_")
    for row in slide["rows"]:
        found = [cell.evidence.scores["model-1", name, "zero-shot"] for name in cell.evidence.precisions]
        worst = min(one["breakdown"][kind][row[0]]["value"] for one in found)
        assert row[3].startswith(f"{100 * worst:.1f} %")


def test_texts_are_cut_by_their_width():
    assert texts.shortened("short", 10) == "short"
    assert texts.shortened("a" * 20, 10) == "a" * 9 + "…"
    assert texts.width(texts.shortened("漢字" * 20, 10)) <= 10


def test_the_script_writes_the_slides_of_studies_told_together(tmp_path):
    folders = [made_results.build(tmp_path, study=name, precisions=2) for name in ("one", "two")]
    out = tmp_path / "slides.pdf"
    command = [
        sys.executable,
        "workflow/scripts/write_slides.py",
        "--spec",
        asked("write_slides", {"report": REPORT}),
    ]
    command += [part for folder in folders for part in ("--results", str(folder))]
    root = Path(__file__).parents[3]
    subprocess.run([*command, "--out", str(out)], cwd=root, check=True, capture_output=True)
    assert "studiesoneandtwo" in text_of(PdfReader(out))


def test_below_a_chart_of_many_rows_there_is_room_for_a_note_and_how_many_more_there_are():
    notes = ["x" * 100, "second", "third"]
    slide = charts.slide("title", "heading", notes, lambda _height, _letter: b"", rows=charts.MOST_ROWS)
    left = charts.TALL - charts.HEADING - charts.GAP - slide["height"]
    assert left >= 3 * charts.LINE + charts.APART  # two lines of the first note, and one
