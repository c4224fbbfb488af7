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
from bitbudget.judging import verdicts
from bitbudget.publishing.figures import style
from bitbudget.publishing.slides import (
    cells,
    charts,
    costs,
    deck,
    framing,
    inspected,
    outputs,
    parts,
    quality,
    texts,
    verdict,
)
from bitbudget.publishing.typesetting import typst
from bitbudget.telling import evidence

TEMPLATE = typst.TEMPLATES / "slides.typ"
REPORT = {"title": None, "authors": [{"name": "A. Author", "affiliation": "Made University", "email": "a@b.example"}]}
SMALLEST = 18  # points: a picture's boxes and the foot; all else has 20


def loaded(folder: Path, **named: Any) -> evidence.Evidence:
    return evidence.load(made_results.build(folder, **named))


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
        results = [slide for slide in slides if slide["kind"] == "forest"]
        assert [slide["heading"] for slide in results] == [f"s{i}" for i in range(min(count, 9))]
    assert "Not in these slides: s9" in json.dumps(deck.data(REPORT, studies)[0])
    assert 8 <= len(pdf_of(studies[:3], tmp_path / "slides.pdf").pages) <= 15


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


def test_the_title_of_differences_counts_the_losses_and_names_the_worst(tmp_path):
    panel = cells.panels(loaded(tmp_path, precisions=12))[0]
    names = panel.evidence.precisions[1:]
    losing = [name for name in names if panel.verdict(name)["kind"] == verdicts.LOSS]
    worst = min(losing, key=lambda name: panel.difference(name)["value"])
    title = quality.difference_title(panel)
    assert title.startswith(f"{len(losing)} of {len(names)} precisions lose VQA accuracy, most {worst}: ")
    value = 100 * panel.difference(worst)["value"]
    assert f"\N{MINUS SIGN}{abs(value):.1f} points [" in title
    rows = quality.difference(panel)["chart"]["rows"]
    assert [row["colour"] == charts.KIND_COLOURS[verdicts.LOSS] for row in rows] == [name in losing for name in names]


def test_without_a_loss_the_title_says_that_none_was_detected(tmp_path):
    panel = cells.panels(loaded(tmp_path, precisions=("float16", "int8-language", "int8-vision")))[0]
    assert {panel.verdict(name)["kind"] for name in panel.evidence.precisions[1:]}.isdisjoint({verdicts.LOSS})
    assert quality.difference_title(panel).startswith("No loss of VQA accuracy in any of 2 precisions; lowest")
    single = cells.panels(loaded(tmp_path / "one", precisions=("float16", "int8-vision")))[0]
    assert quality.difference_title(single).startswith("int8-vision: no loss of VQA accuracy was detected: ")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (verdicts.LOSS_WITHIN_NOISE, "p: loss of CIDEr within noise: "),
        (verdicts.GAIN_WITHIN_NOISE, "p: gain of CIDEr within noise: "),
        (verdicts.IDENTICAL, "p answers the same as the baseline: "),
        (verdicts.LOSS, "p loses CIDEr: "),
    ],
)
def test_the_title_of_one_precision_says_the_kind_of_its_verdict(kind, said):
    assert quality._single_title("p", kind, "CIDEr", "told").startswith(said)


def test_a_baseline_alone_is_compared_with_nothing(tmp_path):
    panel = cells.panels(loaded(tmp_path, precisions=1))[0]
    assert quality.difference(panel) is None
    assert costs.trade_off(panel) is None
    assert quality.slide(panel)["title"] == "float16 reaches 69.8 % VQA accuracy"


def test_the_title_of_costs_is_the_least_of_what_was_measured(tmp_path):
    panel = cells.panels(loaded(tmp_path, precisions=12))[0]
    slide = costs.slide(panel)
    usable = [row for row in panel.rows if row is not panel.base and not panel.usable(row)]
    best = min(usable, key=lambda row: row["weights_in_memory_MB"])
    assert slide["title"].startswith(f"{best['precision']} has the smallest weights in memory: ")
    ratio = best["weights_in_memory_MB"] / panel.base["weights_in_memory_MB"]
    assert f"({ratio:.2f}\N{MULTIPLICATION SIGN})" in slide["title"]
    simulated = [i for i, row in enumerate(panel.rows) if row["simulated"] is not None]
    assert simulated
    for column in slide["chart"]["columns"]:
        assert all(column["cells"][i] == {"share": None, "text": "simulated"} for i in simulated)


def test_what_was_not_measured_is_said_and_never_0(tmp_path):
    made = loaded(tmp_path, track="lambada", precisions=3, missing=("energy_per_item", "latency"))
    panel = cells.panels(made)[0]
    slide = costs.slide(panel)
    energy = slide["chart"]["columns"][2]["cells"]
    assert {cell["text"] for cell in energy} == {"not measured"} and {cell["share"] for cell in energy} == {None}
    assert any(made_results.REASON.rstrip(".") in note for note in slide["notes"])
    assert [one["value"] for one in framing.question([made])["numbers"]][1:] == ["not measured", "not measured"]
    assert "not measured" in json.dumps(verdict.slide([made]))


def test_an_absent_primary_metric_is_said(tmp_path):
    made = loaded(tmp_path, precisions=3)
    cell = (made.models[0], "int8-vision", "zero-shot")
    absent = {"absent": "made up: it could not be scored.", "unit": "score", "higher_is_better": True}
    scores = {**made.scores, cell: {**made.scores[cell], "metrics": {"vqa_accuracy": absent}}}
    slide = quality.slide(cells.panels(dataclasses.replace(made, scores=scores))[0])
    row = next(row for row in slide["chart"]["rows"] if row["name"] == "int8-vision")
    assert (row["value"], row["text"]) == (None, "not measured")
    assert "int8-vision: made up: it could not be scored." in slide["notes"]


@pytest.mark.parametrize("track", ["captioning", "vqa", "lambada", "detection"])
def test_the_floor_is_called_what_it_is(tmp_path, track):
    made = loaded(tmp_path, track=track, precisions=2)
    notes = quality.slide(cells.panels(made)[0])["notes"]
    (said,) = [note for note in notes if note.startswith("For scale: ")]
    assert said.startswith(f"For scale: {registry.module_of('track', track).FLOOR} scores ")
    assert "," not in registry.module_of("track", track).FLOOR  # a clause would need a second comma


def test_a_withheld_picture_is_not_shown_and_why_is_said(tmp_path):
    made = loaded(tmp_path)
    record = {**made.examples, "qualitative": ["3"]}
    panel = cells.panels(dataclasses.replace(made, examples=record))[0]
    [(slide, assets)] = outputs.examples(panel, 2)
    assert slide["picture"] is None and assets == {}
    assert "licence of this picture" in slide["unseen"]


def test_answers_that_are_alike_stand_together(tmp_path):
    panel = cells.panels(loaded(tmp_path, precisions=12))[0]
    slide, assets = outputs.examples(panel, 1)[0]
    item = panel.evidence.examples["items"][0]
    given = {one["text"] for one in item["answers"]["model-1"]["zero-shot"].values()}
    assert len(slide["answers"]) + slide["left"] == len(given)
    assert slide["answers"][0]["names"].startswith("float16 (baseline)")
    changed = [one for one in item["answers"]["model-1"]["zero-shot"].values() if one["change"] not in (None, "same")]
    changes = [one["change"] for one in changed]
    worse, better = changes.count("worse"), changes.count("better")
    assert f": {worse} of 11 precisions answer worse than float16, {better} better" in slide["title"]
    assert list(assets) == [slide["picture"]]


def test_boxes_are_counted_as_found_and_wrong(tmp_path):
    panel = cells.panels(loaded(tmp_path, track="detection"))[0]
    slide, _ = outputs.examples(panel, 1)[0]
    assert slide["panes"][0]["name"] == "truth" and slide["panes"][0]["caption"] == "1 object"
    assert slide["panes"][1]["caption"] == "1 of 1 found, 0 wrong"
    assert slide["panes"][1]["boxes"][0]["left"] == 40 / 160
    assert {"0 of 1 found, 1 wrong"} <= {pane["caption"] for pane in slide["panes"]}


def test_boxes_that_no_screen_looked_through_are_not_called_harmless(tmp_path):
    made = loaded(tmp_path, track="detection")
    record = json.loads(json.dumps(made.inspection))
    for cell in record["cells"]:
        cell["flagged"] = {}
    boxes = cells.panels(dataclasses.replace(made, inspection=record))[0]
    assert inspected.slide(boxes) is None
    assert inspected.lines([boxes])[0].startswith("Not screened: ")
    text = cells.panels(loaded(tmp_path, study="text"))[0]
    assert inspected.lines([text]) == []  # they have a slide
    assert inspected.lines([text, boxes])[0].startswith("Screened: 4 of 640 answers were flagged")


def test_an_answer_with_flags_of_two_kinds_counts_once(tmp_path):
    made = loaded(tmp_path, precisions=2)
    record = json.loads(json.dumps(made.inspection))
    for cell in record["cells"]:
        cell["flagged"] = {"privacy": 5, "profanity": 0, "people": 4}
        cell["answers_flagged"] = 5
    slide = inspected.slide(cells.panels(dataclasses.replace(made, inspection=record))[0])
    assert slide["title"].startswith("10 of 320 answers were flagged")
    for cell in record["cells"]:
        del cell["answers_flagged"]
    slide = inspected.slide(cells.panels(dataclasses.replace(made, inspection=record))[0])
    assert slide["title"].startswith("10 of 320 answers were flagged")


def test_objects_that_are_not_there_are_told_beside_screens_that_found_nothing(tmp_path):
    made = loaded(tmp_path, track="captioning", precisions=12)
    record = json.loads(json.dumps(made.inspection))
    for cell in record["cells"]:
        cell["flagged"], cell["answers_flagged"] = dict.fromkeys(cell["flagged"], 0), 0
    slide = inspected.slide(cells.panels(dataclasses.replace(made, inspection=record))[0])
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
    panel = cells.panels(loaded(tmp_path, track="captioning", ablation=True))[0]
    worst = min(panel.evidence.ablation, key=lambda row: row["difference"])
    assert parts.ablation(panel)["title"].startswith(f"In rtn-3, {worst['group']} alone matters most: \N{MINUS SIGN}")
    assert parts.ablation(cells.panels(loaded(tmp_path, study="none"))[0]) is None


def test_kinds_of_items_show_the_worst_precision_of_each(tmp_path):
    panel = cells.panels(loaded(tmp_path, precisions=4))[0]
    slide = parts.by_type(panel)
    kind = slide["columns"][0].replace(" ", "_")
    for row in slide["rows"]:
        found = [panel.evidence.scores["model-1", name, "zero-shot"] for name in panel.evidence.precisions]
        worst = min(one["breakdown"][kind][row[0]]["value"] for one in found)
        assert row[3].startswith(f"{100 * worst:.1f} %")


def test_a_scale_holds_its_values_and_has_round_ticks():
    scale = charts.scale_of([-0.61, 0.0, 2.3])
    assert scale.at(-0.61) > 0 and scale.at(2.3) < 1
    assert [tick["text"] for tick in scale.ticks()] == ["0", "1", "2"]
    alone = charts.scale_of([5.0])
    assert alone.at(5.0) == pytest.approx(0.5)


def test_names_of_near_points_do_not_lie_on_each_other():
    near = [
        charts.Point(f"precision-{i}", 4.0 + 0.01 * i, 60.0 + 0.1 * i, None, None, "#000", True, False)
        for i in range(6)
    ]
    far = charts.Point("far", 9.0, 80.0, None, None, "#000", True, False)
    points = charts.scatter([*near, far], "x", "y")["points"]
    boxes = [
        (one["left"], one["top"], one["left"] + charts.LETTER * len(one["name"]), one["top"] + charts.LINE)
        for one in points
    ]
    assert all(charts._shared(a, b) == 0 for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(left >= 0 and right <= charts.PLOT[0] for left, _, right, _ in boxes)


def test_precisions_have_the_colours_of_the_figures():
    names = [f"p{i}" for i in range(15)]
    assert charts.colours_of(names, "p3") == style.colours_of(names, "p3")


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
