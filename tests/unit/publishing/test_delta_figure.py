"""The forest plot of differences: every kind of verdict, the noise floor, what is absent, and no text on another."""

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
import synthetic_comparison as made
from asked import asked
from matplotlib.text import Text

from bitbudget import registry
from bitbudget.judging.kinds import KINDS as JUDGED
from bitbudget.publishing.figures import delta, forest, style
from bitbudget.telling import record

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
SAME = {"found": made.metric(0.0, 0.0), "answers": (0, 0, 0)}
KINDS = {
    "small": made.metric(-0.4, 1.7),
    "lucky": made.metric(0.2, 1.7),
    "worse": made.metric(-3.0, 1.2),
    "better": made.metric(2.9, 1.2),
    "ruined": made.metric(-40.0, 5.0),
    "gone": {"absent": "9 items are too few to tell.", "unit": "score", "higher_is_better": True},
}
FINE = [name for name in KINDS if name != "gone"]


LONG = (*FINE, *(f"only-language-attention-gptq-{i}" for i in range(6)))


def told(spec, comparison):
    """The record of verdicts: scores are those that the comparison names, and costs are all the same."""
    about = registry.module_of("track", spec["track"]).METRICS[spec["primary"]]
    found = {(one["model"], one["precision"]): one for one in comparison["comparisons"] if one["kind"] == "precision"}
    rows, scores, measurements = [], [], []
    for model in spec["models"]:
        level = next((one["metrics"][spec["primary"]].get("baseline", 50.0) for one in found.values()), 50.0)
        for precision in spec["precisions"]:
            cell = {"model": model, "precision": precision, "condition": "zero-shot"}
            metric = found.get((model, precision), {"metrics": {}})["metrics"].get(spec["primary"], {})
            value = metric.get("compared", level)
            base = precision == spec["baseline"]
            rows.append(
                made.row(precision, baseline=base) | cell | {spec["primary"]: value, "n_items": 160, "energy_how": None}
            )
            level_of = {"value": value, "unit": about["unit"], "higher_is_better": about["higher_is_better"], "n": 160}
            scores.append(cell | {"metrics": {spec["primary"]: level_of}})
            measurements.append(cell | {"metrics": {}})
    return record.body(spec, comparison, rows, measurements, scores, {"metrics": {}})


def study(models=("m",), names=tuple(KINDS), floor=True, **more):
    spec = made.spec(["float16", *names, "same"], models=models, **more)
    found = [
        one
        for model in models
        for one in (
            *(made.one(name, KINDS.get(name, KINDS["small"]), model=model) for name in names),
            made.one("same", **SAME, model=model),
        )
    ]
    found += [made.floor("float16", made.metric(0.1, 0.3), model=model) for model in models] if floor else []
    return spec, made.record(found)


def drawn(spec, comparison):
    with style.applied():
        figure = delta.draw(delta.load(spec, told(spec, comparison)))
        figure.draw_without_rendering()
    return figure


def panel_of(figure):
    return next(axes for axes in figure.axes if axes.get_xlabel())


def texts_of(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_every_kind_has_a_mark_and_words_of_its_own():
    figure = drawn(*study())
    axes, texts = panel_of(figure), texts_of(figure)
    marks = [line for line in axes.lines if line.get_marker() not in ("None", None, "")]
    looks = {(line.get_marker(), line.get_markerfacecolor()) for line in marks}
    assert len(looks) == 6  # four kinds of verdict, a ruined one's arrow, and the noise floor
    for words in ("no clear difference", "clear loss", "clear gain", "identical"):
        assert any(text.endswith(f"   {words}") for text in texts), words
        assert words in texts  # in the legend
    assert "not compared ¹" in texts
    assert any("¹ 9 items are too few to tell." in text for text in texts)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["float16 repeated", *KINDS, "same"]


def test_one_ruined_precision_does_not_hide_the_others():
    figure = drawn(*study())
    left, _ = panel_of(figure).get_xlim()
    assert -15 < left < -4.2  # all of the others is seen
    texts = " ".join(texts_of(figure))
    assert "An arrow lies beyond the axis" in " ".join(texts.split())
    arrow = next(line for line in panel_of(figure).lines if line.get_marker() == "<")
    assert left < arrow.get_xdata()[0] < left + 1
    assert "An arrow" not in " ".join(texts_of(drawn(*study(names=("small", "lucky")))))


def test_the_limit_of_acceptance_stands_where_the_share_is_lost():
    figure = drawn(*study(names=("small",), quality=0.98))  # of 50
    dotted = [line for line in panel_of(figure).lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in dotted] == [pytest.approx(-1.0)]
    assert any("98 % of the quality" in text for text in texts_of(figure))
    spec = made.spec(["float16", "p"], track="lambada", primary="perplexity", quality=0.8)
    found = [made.one("p", made.metric(1.0, 2.0, baseline=20.0, higher_is_better=False), primary="perplexity")]
    axes = panel_of(drawn(spec, made.record(found, primary="perplexity")))
    dotted = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in dotted] == [pytest.approx(5.0)]
    assert axes.get_xlabel() == "difference in perplexity from float16 (lower is better)"


def test_shares_are_drawn_in_percentage_points():
    spec = made.spec(["float16", "p"], track="vqa")
    found = made.metric(-0.031, 0.012, baseline=0.8)
    figure = drawn(spec, made.record([made.one("p", found, primary="vqa_accuracy")], primary="vqa_accuracy"))
    axes = panel_of(figure)
    mark = next(line for line in axes.lines if line.get_marker() == "v")
    assert mark.get_xdata()[0] == pytest.approx(-3.1)
    assert "percentage points" in axes.get_xlabel()


def boxes_of(texts):
    for text in texts:
        text.get_window_extent()
    return [Text.get_window_extent(text) for text in texts]


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (("m",), ()),
        (("m",), ("small",)),
        (("m", "n", "a-model-with-a-rather-long-name"), LONG),
    ],
    ids=["nothing but the same", "one precision", "twelve precisions of three models"],
)  # fmt: skip
def test_no_text_lies_on_another_or_beyond_the_figure(models, names):
    figure = drawn(*study(models, names))
    axes = panel_of(figure)
    boxes = boxes_of([text for text in (*axes.texts, *axes.get_yticklabels()) if text.get_text()])
    assert not [1 for one, other in combinations(boxes, 2) if one.overlaps(other)]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert figure.get_figheight() < 11.5


def test_a_study_of_a_baseline_alone_has_a_figure_that_says_so():
    spec = made.spec(["float16"])
    figure = drawn(spec, made.record([]))
    assert "nothing to compare: the baseline is the only precision" in texts_of(figure)


def test_figures_of_detectors_speak_of_images_and_threads():
    spec = made.spec(["float32", "int8"], track="detection")
    found = [made.one("int8", **SAME, primary="AP"), made.floor("float32", primary="AP")]
    drawn_words = " ".join(" ".join(texts_of(drawn(spec, made.record(found, "float32", "AP")))).split())
    assert "number of threads" in drawn_words and "160 images scored" in drawn_words
    assert "answer" not in drawn_words


def test_every_kind_of_verdict_has_a_mark_of_its_own():
    looks = [forest.look_of({"word": one.word, "mark": one.mark, "colour": one.colour}) for one in JUDGED.values()]
    assert len({look.marker for look in looks}) == len(looks)


def test_the_axis_reaches_all_that_lie_near_each_other():
    marks = [forest.Mark(forest.FLOOR, value, value - 1, value + 1) for value in (-5, -4, 3)]
    left, right = forest.window(marks)
    assert left < -6 and right > 4
    assert forest.window([forest.Mark(forest.FLOOR, 0.0, 0.0, 0.0)]) == (pytest.approx(-1.12), pytest.approx(1.12))
    assert forest.window([]) == (pytest.approx(-1.12), pytest.approx(1.12))


def test_the_script_writes_the_same_bytes_twice(tmp_path):
    spec, comparison = study()
    (tmp_path / "verdicts.json").write_text(json.dumps(told(spec, comparison)))
    for folder in ("first", "second"):
        command = [
            sys.executable, SCRIPTS / "plot_comparison.py", "--spec", asked("plot_comparison", spec),
            "--verdicts", tmp_path / "verdicts.json",
            "--out-dir", tmp_path / folder,
        ]  # fmt: skip
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    for name in ("quality_delta.svg", "quality_delta.png"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_row_on_which_nothing_can_be_said_to_be_too_small_is_explained():
    spec, comparison = study(names=("small",))
    texts = " ".join(" ".join(texts_of(drawn(spec, comparison))).split())
    assert "Rows without grey: their smallest detectable loss is unknown." in texts  # the precision that is the same
    comparison["comparisons"] = comparison["comparisons"][:1]
    spec["precisions"] = ["float16", "small"]
    assert "without grey" not in " ".join(texts_of(drawn(spec, comparison)))


def test_a_row_whose_interval_and_verdict_do_not_agree_tells_its_p_value():
    spec, comparison = study(names=("small",))
    texts = texts_of(drawn(spec, comparison))
    assert not any("p =" in text or "Holm" in text for text in texts)
    comparison["comparisons"][0]["metrics"]["CIDEr"] = made.metric(-1.9, 1.7, p=0.08)
    texts = texts_of(drawn(spec, comparison))
    assert any(text.endswith("no clear difference (p = .08)") for text in texts)
    assert "Verdicts are after Holm's correction, intervals are not" in " ".join(" ".join(texts).split())


def test_a_precision_is_accepted_where_its_interval_is_on_that_side_of_the_line():
    for low in (-0.4, -0.6):  # of 50, 1 % may go
        found = made.metric(0.1, 0.1) | {"ci": [low, 0.2]}
        spec, comparison = made.spec(["float16", "p"], quality=0.99), made.record([made.one("p", found)])
        known = told(spec, comparison)
        shown = delta.load(spec, known)
        (mark,), (limit,) = shown.marks.values(), shown.limits.values()
        assert (mark.low >= limit) is known["cells"][0]["entries"][1]["accepted"] is (low > -0.5)
