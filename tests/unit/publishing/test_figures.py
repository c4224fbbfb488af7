"""The Pareto front, and figures of every shape of study: they are drawn, deterministic, and honest about absences."""

import json
import math
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
import synthetic_study as synthetic
from asked import asked

from bitbudget.judging.pareto import pareto_front
from bitbudget.publishing.figures import by_type, costs, quality, style, throughput, tradeoff
from bitbudget.publishing.figures import study as shown
from bitbudget.telling import wording

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
NAMES = list(synthetic.PRECISIONS)
NOTE = "demo study: made-up numbers"


def loaded(folder, models, precisions, conditions, change=None, track="captioning", blind=None, **options):
    spec = synthetic.spec(models, precisions, conditions, NOTE, track)
    scores, measurements, audits = synthetic.study(models, precisions, conditions, track, **options)
    for one in measurements if change else []:
        change(one)
    told = synthetic.told(folder, spec, scores, measurements, audits, blind)
    return shown.load(told, measurements, spec, blind, scores)


def figures_of(study):
    """Every figure that all tracks have."""
    return [
        quality.draw(study),
        throughput.draw(study),
        *(costs.draw(study, name) for name in costs.COSTS),
        *(tradeoff.draw(study, name) for name in costs.COSTS),
    ]


def flat(text):
    """Without white space, because notes are wrapped."""
    return "".join(text.split())


def text_of(figure):
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_pareto_front():
    assert pareto_front([1, 2, 3, 3], [1, 3, 2, 4]) == [True, True, False, True]
    assert pareto_front([1, 2, 3], [5, 4, 3]) == [True, False, False]
    assert pareto_front([1, 1, 1], [2, 2, 1]) == [True, True, False]  # equals do not beat each other
    assert pareto_front([1, 2], [5, 4], higher_is_better=False) == [True, True]
    assert pareto_front([math.nan, 2, 3], [9, 1, math.nan]) == [False, True, False]
    assert pareto_front([], []) == []
    with pytest.raises(ValueError, match="zip"):
        pareto_front([1], [1, 2])


@pytest.mark.parametrize(
    ("models", "precisions", "conditions", "options"),
    [
        (["m"], NAMES[:1], ["zero-shot"], {}),
        (["m"], NAMES, ["zero-shot"], {"energy": False}),
        (["m"], NAMES[:3], ["zero-shot"], {"absent": True}),
        (["m", "n"], NAMES[:3], ["zero-shot", "4-shot"], {}),
    ],
    ids=["one precision", "twelve precisions", "no costs", "models and conditions"],
)
def test_every_figure_is_drawn_for_every_shape_of_study(tmp_path, models, precisions, conditions, options):
    study = loaded(tmp_path, models, precisions, conditions, **options)
    with style.applied():
        for figure in figures_of(study):
            figure.draw_without_rendering()
            assert NOTE in text_of(figure)
            where = "" if options.get("absent") else " on Abacus 9, cpu, 2 threads"
            assert f"{', '.join(models)}{where}; 200 images scored." in text_of(figure)


def test_absent_values_are_marked_and_their_reason_is_given(tmp_path):
    study = loaded(tmp_path, ["m"], ["float16", "rtn-2", "rtn-3"], ["zero-shot"])
    with style.applied():
        size, against = text_of(costs.draw(study, "size")), text_of(tradeoff.draw(study, "size"))
        assert "not measured ¹" in size
        assert f"¹ {synthetic.ALL_SIMULATED}" in size
        assert "²" not in size  # several simulated precisions share one reason
        assert flat(f"Not shown: rtn-2, rtn-3 ({synthetic.ALL_SIMULATED.rstrip('.')}).") in flat(against)
        drawn = text_of(quality.draw(study))
        assert "Not computed: SPICE" in drawn
        assert "Without an interval: METEOR" in drawn


def test_figures_name_the_machine_as_far_as_it_is_known(tmp_path):
    study = loaded(tmp_path, ["m"], NAMES[:2], ["zero-shot"], change=lambda one: one.pop("provenance"))
    assert study.provenance() == "m on cpu, 2 threads; 200 images scored."

    def forget(one):
        del one["provenance"], one["circumstances"]

    assert loaded(tmp_path, ["m"], NAMES[:2], ["zero-shot"], change=forget).provenance() == "m; 200 images scored."


def test_rows_measured_elsewhere_bear_no_factor_and_are_named_below(tmp_path):
    def change(one):
        if one["precision"] == "int8-vision":
            one["circumstances"]["threads"] = 1

    study = loaded(tmp_path, ["m"], ["float16", "int8-language", "int8-vision"], ["zero-shot"], change=change)
    warning = flat("int8-vision: measured on another machine, device or number of threads than the baseline.")
    with style.applied():
        for name in ("latency", "energy"):
            drawn = costs.draw(study, name)
            assert warning in flat(text_of(drawn))
            assert sum(text.get_text().endswith(style.TIMES) for text in drawn.axes[0].texts) == 1
            against = tradeoff.draw(study, name)
            assert warning in flat(text_of(against)) and tradeoff.CROSS in text_of(against)
            assert [line.get_marker() for line in against.axes[0].lines].count("X") == 1


def test_disturbed_timings_bear_no_factor_and_no_front_and_the_figure_says_what_to_do(tmp_path):
    def change(one):
        if one["precision"] == "float16":
            one["disturbed"] = ["the machine was loaded"]

    study = loaded(tmp_path, ["m"], ["float16", "int8-language", "int8-vision"], ["zero-shot"], change=change)
    said = flat("The timings of float16 were disturbed (the machine was loaded), so no times or energies are compared;")
    with style.applied():
        timed = [throughput.draw(study), *(costs.draw(study, name) for name in ("latency", "energy"))]
        timed += [tradeoff.draw(study, name) for name in ("latency", "energy")]
        others = [draw(study, name) for draw in (costs.draw, tradeoff.draw) for name in ("size", "memory")]
        drawn = [text_of(figure) for figure in timed]
        assert all(said in flat(text) and "--forcerun measure" in text and style.TIMES not in text for text in drawn)
        assert not any(said in flat(text_of(figure)) for figure in (*others, quality.draw(study)))
    assert style.TIMES in text_of(others[0]) and tradeoff.FRONT in " ".join(text_of(others[2]).split())
    assert not any("Pareto" in text for text in drawn)


def test_memory_is_the_weights_on_a_cpu_and_the_peak_on_a_gpu(tmp_path):
    cpu = loaded(tmp_path, ["m"], NAMES[:2], ["zero-shot"])
    gpu = loaded(tmp_path, ["m"], NAMES[:2], ["zero-shot"], memory="CUDA allocated")
    with style.applied():
        for figure in (costs.draw(cpu, "memory"), tradeoff.draw(cpu, "memory")):
            assert figure.axes[0].get_xlabel().startswith("weights in memory (MB)")
        bars = text_of(costs.draw(cpu, "memory"))
        assert f"146 MB   0.57{style.TIMES}" in bars  # 9.1 of 16 bits
        assert "466 MB" in bars.splitlines()  # the whole process, without a factor
        assert "libraries included" in bars
        for figure in (costs.draw(gpu, "memory"), tradeoff.draw(gpu, "memory")):
            assert figure.axes[0].get_xlabel().startswith("peak memory allocated on the GPU (MB)")


def test_energy_names_its_batch_size_and_what_is_above_idle(tmp_path):
    study = loaded(tmp_path, ["m"], NAMES[:1], ["zero-shot"])
    with style.applied():
        figure = costs.draw(study, "energy")
    assert figure.axes[0].get_xlabel() == "energy per image at batch size 8 (J)"
    assert "above the idle machine (42 W)" in text_of(figure)
    assert [round(bar.get_width(), 6) for bar in figure.axes[0].patches] == [9.0, 6.0]


def test_the_interval_of_a_latency_is_the_one_of_its_record(tmp_path):
    study = loaded(tmp_path, ["m"], NAMES[:1], ["zero-shot"])
    latency, decode = (study.rows[0].costs[name] for name in ("latency", "latency_decode"))
    assert latency.low == pytest.approx(0.97 * latency.value)
    assert latency.high == pytest.approx(1.08 * latency.value)
    assert decode.low is None


def test_a_scatter_plot_shows_the_intervals_of_both_axes_and_the_front_over_them(tmp_path):
    study = loaded(tmp_path, ["m"], [*NAMES[:2], "gptq-4"], ["zero-shot"])
    with style.applied():
        figure = tradeoff.draw(study, "latency")
    lines = [line for line in figure.axes[0].lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 1]
    bars = [line for line in lines if line.get_color() in study.colours.values()]
    level = [line for line in bars if line.get_ydata()[0] == line.get_ydata()[1]]
    assert (len(bars), len(level)) == (6, 3)
    front = max(lines, key=lambda line: line.get_zorder())
    assert front not in bars
    assert "not ordered by this picture" in " ".join(text_of(figure).split())


def boxes_of(names):
    """Where the texts stand. The extent of an annotation with a leader reaches to its point, so it is not that."""
    from matplotlib.text import Text

    for text in names:
        text.get_window_extent()  # moves it to its place
    return [Text.get_window_extent(text) for text in names]


def test_all_models_stand_in_one_picture_with_a_front_of_their_own(tmp_path):
    """A precision that is on its own model's front and beaten by the other model's is open in the common panel."""
    study = loaded(tmp_path, ["m", "n"], NAMES[:3], ["zero-shot"])
    together = tradeoff._with_all(study)
    rows = together.of(tradeoff.ALL, "zero-shot")
    assert [row.precision for row in rows] == [f"{model}, {name}" for model in "mn" for name in NAMES[:3]]
    points = [(row.costs["size_on_disk"].value, row.quality[study.primary].value) for row in rows]
    known = [row for row in rows if not row.costs["size_on_disk"].incomparable]
    expected = pareto_front(*zip(*(points[rows.index(row)] for row in known), strict=True))
    assert [("size_on_disk" in row.across) for row in known] == expected and 0 < sum(expected) < len(known)
    with style.applied():
        figure = tradeoff.draw(study, "size")
        figure.draw_without_rendering()
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["m", "n", "all models"]


def test_names_in_a_scatter_plot_do_not_overlap(tmp_path):
    study = loaded(tmp_path, ["m"], NAMES, ["zero-shot"])
    with style.applied():
        figure = tradeoff.draw(study, "latency")
        names = [text for text in figure.axes[0].texts if text.get_text() in NAMES]
        boxes = boxes_of(names)
    assert len(names) == 10  # all but the two that have no latency
    assert not [1 for one, other in combinations(boxes, 2) if one.overlaps(other)]
    # Nor does the line from a name to its point strike another name through.
    leaders = [(i, text.arrow_patch) for i, text in enumerate(names) if text.arrow_patch]
    paths = [(i, arrow.get_transform().transform_path(arrow.get_path())) for i, arrow in leaders]
    assert not [1 for i, path in paths for j, box in enumerate(boxes) if i != j and path.intersects_bbox(box)]


CONDITIONS = ["zero-shot", "4-shot"]


def test_a_dot_for_each_type_precision_and_condition(tmp_path):
    study = loaded(tmp_path, ["m"], NAMES[:5], CONDITIONS, track="vqa", blind=synthetic.vqa_blind())
    with style.applied():
        figure = by_type.draw(study)
        figure.draw_without_rendering()
    panels = [axes for axes in figure.get_axes() if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == CONDITIONS
    for axes in panels:
        dots = [line for line in axes.lines if line.get_marker() in ("o", "D")]
        assert len(dots) == (4 + by_type.MOST) * 5
        ends = [line for line in axes.lines if line.get_marker() == "None" and line.get_linestyle() == "-"]
        assert len(ends) == (3 + by_type.MOST) * 5  # the type of four questions has no interval
        assert len([line for line in axes.lines if line.get_linestyle() == "--"]) == 2 * (4 + by_type.MOST)
    drawn = text_of(figure)
    assert "yes/no (n = 180)" in drawn
    assert drawn.index("yes/no") < drawn.index("number (n = 66)")  # the frequent first
    assert "which" not in drawn
    assert "Of 14 question types the 12 most frequent are shown" in drawn
    assert "Without a bar: too few images" in drawn
    assert "Dotted: the best answer to each type of question without looking." in drawn
    first = next(line for line in panels[0].lines if line.get_marker() == "D")
    assert first.get_xdata()[0] == study.of("m", "zero-shot")[0].parts["answer_type"]["yes/no"].value > 1  # in %


@pytest.mark.parametrize(
    ("models", "precisions", "conditions"),
    [(["m"], NAMES[:1], CONDITIONS[:1]), (["m", "n"], NAMES, CONDITIONS)],
    ids=["one precision", "twelve precisions of two models"],
)
def test_types_are_drawn_for_every_shape_of_study(tmp_path, models, precisions, conditions):
    study = loaded(tmp_path, models, precisions, conditions, track="vqa")
    with style.applied():
        figure = by_type.draw(study)
        figure.draw_without_rendering()
    shown_names = [text.get_text() for legend in figure.findobj(match=_is_legend) for text in legend.get_texts()]
    assert len(shown_names) == len(precisions)
    assert "float16 (baseline)" in shown_names
    assert "Dotted" not in text_of(figure)


def _is_legend(artist):
    from matplotlib.legend import Legend

    return isinstance(artist, Legend)


def test_a_data_set_without_types_has_a_figure_that_says_so(tmp_path):
    spec = synthetic.spec(["m"], NAMES[:2], CONDITIONS, NOTE, "vqa")
    scores, measurements, audits = synthetic.study(["m"], NAMES[:2], CONDITIONS, "vqa")
    for one in scores:
        del one["breakdown"]
    study = shown.load(synthetic.told(tmp_path, spec, scores, measurements, audits), measurements, spec, None, scores)
    with style.applied():
        assert "names no types" in text_of(by_type.draw(study))


def test_a_figure_of_questions_never_speaks_of_captions(tmp_path):
    study = loaded(tmp_path, ["m"], NAMES[:3], CONDITIONS, track="vqa", blind=synthetic.vqa_blind())
    with style.applied():
        drawn = text_of(quality.draw(study))
        assert "VQA accuracy" in drawn
        assert "bootstrap interval over images" in drawn
        assert "Dotted: the best answer to each type of question without looking." in drawn
        for figure in [by_type.draw(study), *figures_of(study)]:
            assert "caption" not in text_of(figure).lower()
    assert set(study.metrics) == {"vqa_accuracy", "exact_match"}  # what was not computed has no panel


def test_headings_tell_conditions_apart_and_names_do_not_overlap(tmp_path):
    study = loaded(tmp_path, ["m"], NAMES[:5], CONDITIONS, track="vqa")
    with style.applied():
        for name in ("latency", "energy"):
            assert {*CONDITIONS} <= {text.get_text() for text in costs.draw(study, name).axes[0].texts}
        figure = tradeoff.draw(study, "latency")
        assert [axes.get_title(loc="left") for axes in figure.axes] == CONDITIONS
        for axes in figure.axes:
            boxes = boxes_of([text for text in axes.texts if text.get_text() in NAMES])
            assert len(boxes) == 5
            assert not [1 for one, other in combinations(boxes, 2) if one.overlaps(other)]


def test_colours_are_fixed_by_the_study_and_all_different():
    colours = style.colours_of(NAMES, "float16")
    assert len(set(colours.values())) == len(NAMES)
    assert style.colours_of(NAMES[:4], "float16").items() <= colours.items()


def test_units_and_numbers():
    assert wording.unit_for("s", 0.3) == (1e3, "ms")
    assert wording.unit_for("s", 0.0) == (1.0, "s")
    assert wording.unit_for("MB", 20_000) == (1e-3, "GB")
    assert [wording.number(value) for value in (0, 1234.5, 12.34, 1.7, 0.01234)] == [
        "0",
        "1234",
        "12.3",
        "1.70",
        "0.0123",
    ]


LANGUAGE, DETECTORS = list(synthetic.LANGUAGE), list(synthetic.DETECTORS)


def of_language_models(folder, models, precisions, **options):
    blind = synthetic.lambada_blind()
    return loaded(folder, models, precisions, ["zero-shot"], track="lambada", blind=blind, **options)


def test_throughput_is_of_tokens_and_simulated_precisions_have_none(tmp_path):
    study = of_language_models(tmp_path, ["m", "n"], LANGUAGE)
    with style.applied():
        figure = throughput.draw(study)
        figure.draw_without_rendering()
    assert [" ".join(axes.get_xlabel().split()) for axes in figure.axes[:4]] == [
        "prefill at batch size 1 (tokens/s)",
        "decode at batch size 1 (tokens/s)",
        "new tokens at batch size 1 (tokens/s)",
        "new tokens at batch size 8 (tokens/s)",
    ]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["m", "", "", "", "n", "", "", ""]
    for axes in figure.axes:
        texts = [text.get_text() for text in axes.texts]
        assert len(texts) == len(LANGUAGE)
        assert sum("not measured" in text for text in texts) == 4
        assert sum(style.TIMES in text for text in texts) == 7  # neither the baseline nor what is simulated
        right = axes.get_window_extent().x1
        assert all(box.x1 <= right for box in boxes_of(axes.texts))
    assert axes.patches[0].get_hatch()
    rate = study.of("m", "zero-shot")[1].costs["token_rate_8"].value
    assert any(text.get_text().startswith(wording.number(rate)) for text in figure.axes[3].texts)
    drawn = text_of(figure)
    assert f"¹ {synthetic.ALL_SIMULATED}" in drawn and "²" not in drawn
    assert "prefill included" in drawn


def test_throughput_is_of_what_the_track_counts(tmp_path):
    study = loaded(tmp_path, ["m"], NAMES[:3], ["zero-shot"])
    with style.applied():
        figure = throughput.draw(study)
        assert [axes.get_xlabel() for axes in figure.axes] == [
            "images at batch size 1 (images/s)",
            "images at batch size 8 (images/s)",
        ]
        nothing = throughput.draw(loaded(tmp_path, ["m"], NAMES[:3], ["zero-shot"], absent=True))
        assert len(nothing.axes) == 1 and text_of(nothing).count("not measured") == 3
        assert "Longer" not in text_of(nothing)
        asked = throughput.draw(loaded(tmp_path, ["m"], NAMES[:3], ["zero-shot"], track="vqa"))
        assert asked.axes[-1].get_xlabel() == "answers at batch size 8 (answers/s)"


def test_many_batch_sizes_stand_in_two_bands(tmp_path):
    def more(one):
        for size in (2, 4):
            one["metrics"][f"throughput_{size}"] = one["metrics"]["throughput_8"]
            one["metrics"][f"token_rate_{size}"] = one["metrics"]["token_rate_8"]

    study = of_language_models(tmp_path, ["m"], LANGUAGE[:3], change=more)
    with style.applied():
        figure = throughput.draw(study)
        figure.draw_without_rendering()
    assert len(figure.axes) == 6
    named = [any(label.get_text() for label in axes.get_yticklabels()) for axes in figure.axes]
    assert named == [True, False, False, True, False, False]
    assert "batch size 2" in " ".join(figure.axes[3].get_xlabel().split())


@pytest.mark.parametrize(
    ("track", "precisions", "phases"),
    [
        ("captioning", NAMES[:2], ["preprocessing", "vision encoding", "prefill", "decode"]),
        ("lambada", LANGUAGE[:2], ["preprocessing", "prefill", "decode"]),
        ("detection", DETECTORS[:2], ["preprocessing", "invoke (the model)", "post-processing"]),
    ],
)
def test_only_phases_that_there_are_stand_in_the_legend_of_latency(tmp_path, track, precisions, phases):
    with style.applied():
        figure = costs.draw(loaded(tmp_path, ["m"], precisions, ["zero-shot"], track=track), "latency")
    names = [text.get_text() for legend in figure.findobj(match=_is_legend) for text in legend.get_texts()]
    assert names == phases
    bars = [bar for bar in figure.axes[0].patches if bar.get_facecolor()[3] and bar.get_width()]
    assert len(bars) == 2 * len(phases)


def test_figures_of_language_models_speak_of_no_images(tmp_path):
    study = of_language_models(tmp_path, ["m", "n"], LANGUAGE)
    with style.applied():
        for figure in figures_of(study):
            drawn = text_of(figure).lower()
            assert not [word for word in ("image", "vision", "look", "question") if word in drawn]
        drawn = text_of(quality.draw(study))
    assert "bootstrap interval over passages" in drawn
    assert "Dotted: guessing last words by their frequency without reading." in drawn
    assert "¹ this is the baseline" in drawn


@pytest.mark.parametrize("models", [["m"], ["m", "n", "o"]], ids=["one model", "three models"])
def test_quality_of_many_rows_has_no_empty_panel_and_its_labels_do_not_overlap(tmp_path, models):
    study = of_language_models(tmp_path, models, LANGUAGE[:10])
    with style.applied():
        figure = quality.draw(study)
        figure.draw_without_rendering()
    assert len(figure.axes) == 7 and figure.get_figheight() < 15.5
    assert all(axes.lines for axes in figure.axes)
    boxes = boxes_of([axes.xaxis.label for axes in figure.axes])
    assert not [1 for one, other in combinations(boxes, 2) if one.overlaps(other)]
    scales = {axes.get_xlabel().split()[0]: axes.get_xscale() for axes in figure.axes}
    assert scales == dict.fromkeys(scales, "linear") | {"Perplexity": "log"}
    assert "lower is better" in " ".join(figure.axes[4].get_xlabel().split())


def test_perplexities_that_are_alike_stand_on_a_linear_scale(tmp_path):
    study = loaded(tmp_path, ["m"], LANGUAGE[:3], ["zero-shot"], track="lambada")
    with style.applied():
        figure = quality.draw(study)
    assert {axes.get_xscale() for axes in figure.axes} == {"linear"}


def of_detectors(folder, models, precisions, **options):
    blind = synthetic.detection_blind()
    return loaded(folder, models, precisions, ["zero-shot"], track="detection", blind=blind, **options)


def test_figures_of_detectors_speak_of_images_and_boxes_only(tmp_path):
    study = of_detectors(tmp_path, ["m", "n", "o"], DETECTORS)
    with style.applied():
        for figure in figures_of(study):
            figure.draw_without_rendering()
            drawn = text_of(figure).lower()
            assert not [word for word in ("token", "decode", "question", "answer", "caption", "item") if word in drawn]
            assert "200 images scored" in drawn
        assert costs.draw(study, "latency").axes[0].get_xlabel() == "latency per image at batch size 1 (ms)"
        assert costs.draw(study, "energy").axes[0].get_xlabel() == "energy per image at batch size 1 (J)"
        speed = throughput.draw(study)
        assert [axes.get_xlabel() for axes in speed.axes] == ["images at batch size 1 (images/s)"] * 3
        for axes in speed.axes:
            assert all(box.x1 <= speed.bbox.x1 for box in boxes_of(axes.texts))


def test_only_some_metrics_of_detectors_are_drawn_and_the_others_are_named(tmp_path):
    with style.applied():
        figure = quality.draw(of_detectors(tmp_path, ["m"], DETECTORS[:3]))
    labels = [" ".join(axes.get_xlabel().split()) for axes in figure.axes]
    assert labels == ["AP (higher is better)", "AP50", "AP75", "AP medium", "AP large"]
    drawn = flat(text_of(figure))
    assert flat("Also in summary.csv: AR max=1, AR max=10, AR max=100, AR small, AR medium, AR large.") in drawn
    assert flat("Not computed: AP small") in drawn
    assert (
        flat("Dotted: each category's best constant box (of its objects' boxes the one that finds most in all images).")
        in drawn
    )


def test_a_primary_metric_is_drawn_though_the_track_does_not_show_it(tmp_path):
    spec = synthetic.spec(["m"], DETECTORS[:2], ["zero-shot"], NOTE, "detection") | {"primary": "AR_100"}
    scores, measurements, audits = synthetic.study(["m"], DETECTORS[:2], ["zero-shot"], "detection")
    study = shown.load(synthetic.told(tmp_path, spec, scores, measurements, audits), measurements, spec)
    with style.applied():
        assert "Quality by precision: AR max=100" in text_of(quality.draw(study))


def test_memory_of_detectors_is_that_of_the_process(tmp_path):
    study = of_detectors(tmp_path, ["m"], DETECTORS[:2])
    with style.applied():
        figure = costs.draw(study, "memory")
        assert figure.axes[0].get_xlabel() == "largest resident set of the process (MB)"
        assert "not measured" not in text_of(figure) and "libraries included" in text_of(figure)
        assert tradeoff.draw(study, "memory").axes[0].get_xlabel().startswith("largest resident set")


def test_latency_says_what_ran_the_operators_of_detectors(tmp_path):
    one = of_detectors(tmp_path, ["m"], DETECTORS[:2])
    assert one.delegates() == ["Run by XNNPACK 231/233 operators. All other operators run in LiteRT's own kernels."]
    two = of_detectors(tmp_path, ["m"], [*DETECTORS[:2], "litert-int8-full"])
    assert two.delegates()[0].startswith(
        "Run by XNNPACK 231/233 operators (litert-float32, litert-float16), "
        "by XNNPACK 180/233 operators (litert-int8-full). All"
    )

    def change(one):
        if one["model"] == "n":
            one["circumstances"]["delegate"] = {"name": "none", "operators": 9, "delegated": 0}

    many = of_detectors(tmp_path, ["m", "n"], ["litert-float32", "litert-int8-full"], change=change)
    assert many.delegates()[0].startswith(
        "Run by XNNPACK 231/233 operators (m litert-float32), by XNNPACK 180/233 operators (m litert-int8-full), "
        "by none 0/9 operators (n). All"
    )
    with style.applied():
        assert flat(many.delegates()[0]) in flat(text_of(costs.draw(many, "latency")))
    assert loaded(tmp_path, ["m"], NAMES[:2], ["zero-shot"]).delegates() == []


@pytest.mark.parametrize("track", ["captioning", "vqa", "lambada", "detection"])
def test_the_script_writes_the_same_bytes_twice_and_text_stays_text(tmp_path, track):
    precisions = {"lambada": LANGUAGE, "detection": DETECTORS}.get(track, NAMES)[:3]
    spec = synthetic.spec(["m"], precisions, ["zero-shot"], NOTE, track)
    scores, measurements, audits = synthetic.study(["m"], precisions, ["zero-shot"], track)
    paths = {}
    for kind, records in (("scores", scores), ("measurements", measurements)):
        paths[kind] = [tmp_path / f"{kind}{i}.json" for i in range(len(records))]
        for path, record in zip(paths[kind], records, strict=True):
            path.write_text(json.dumps(record))

    def run(script, *arguments):
        command = [sys.executable, SCRIPTS / f"{script}.py", "--spec", asked(script, spec), *arguments]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    verdicts = tmp_path / "verdicts.json"
    verdicts.write_text(json.dumps(synthetic.told(tmp_path, spec, scores, measurements, audits)))
    for folder in ("first", "second"):
        run(
            "plot_figures", "--verdicts", verdicts, "--measurements", *paths["measurements"],
            "--out-dir", tmp_path / folder,
        )  # fmt: skip
        if track == "vqa":
            run(
                "plot_breakdown", "--verdicts", verdicts, "--measurements", *paths["measurements"],
                "--scores", *paths["scores"], "--out-dir", tmp_path / folder,
            )  # fmt: skip
    expected = {"quality", "throughput", *costs.COSTS, *(f"quality_vs_{name}" for name in costs.COSTS)}
    expected |= {"quality_by_type"} if track == "vqa" else set()
    assert {path.name for path in (tmp_path / "first").iterdir()} == {
        f"{name}.{kind}" for name in expected for kind in ("svg", "png")
    }
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name
    assert f">{precisions[1]}<" in (tmp_path / "first" / "size.svg").read_text()


BROKEN = "gptq-2-language-attention-and-mlp"


def arrows(axes):
    return [line for line in axes.lines if line.get_marker() in ("<", ">", "^", "v")]


def test_a_broken_precision_is_an_arrow_with_its_number_and_the_others_fill_the_axis(tmp_path):
    study = loaded(tmp_path, ["m"], [*NAMES[:5], BROKEN], ["zero-shot"])
    with style.applied():
        figures = {"trade-off": tradeoff.draw(study, "size"), "quality": quality.draw(study)}
        for figure in figures.values():
            figure.draw_without_rendering()
    axes = figures["trade-off"].axes[0]
    low, high = axes.get_ylim()
    assert 0.8 < low < 0.871 and high < 1.0  # the lower end of the worst of the others' intervals
    (arrow,) = arrows(axes)
    assert arrow.get_marker() == "v" and low < arrow.get_ydata()[0] < low + 0.05 * (high - low)
    assert f"{BROKEN}: 0.051" in text_of(figures["trade-off"])
    for axes in figures["quality"].axes:
        assert [line.get_marker() for line in arrows(axes)] == ["<"], axes.get_xlabel()
        assert axes.get_xlim()[0] < arrows(axes)[0].get_xdata()[0] < axes.get_xlim()[1]
    for number in ("0.051  [0.049, 0.053]", "0.041"):  # in the large panel, and beside the arrow of a small one
        assert number in text_of(figures["quality"]).split("\n")
    for figure in figures.values():
        assert flat(style.BEYOND) in flat(text_of(figure))


def test_no_axis_is_cut_where_no_precision_is_broken(tmp_path):
    study = loaded(tmp_path, ["m"], NAMES[:5], ["zero-shot"])
    with style.applied():
        for figure in (tradeoff.draw(study, "size"), quality.draw(study)):
            assert not any(arrows(axes) for axes in figure.axes)
            assert flat(style.BEYOND) not in flat(text_of(figure))


def test_a_floor_beyond_a_cut_axis_is_told_in_words(tmp_path):
    blind = {"metrics": {"CIDEr": {"value": 0.02, "unit": "score", "higher_is_better": True, "n": 200}}}
    study = loaded(tmp_path, ["m"], [*NAMES[:5], BROKEN], ["zero-shot"], blind=blind)
    with style.applied():
        figure = quality.draw(study)
    assert flat("The dotted line lies beyond the axis, too: CIDEr 0.0200.") in flat(text_of(figure))
    assert figure.axes[0].get_xlim()[0] > 0.8


def test_the_numbers_of_many_cut_axes_do_not_touch(tmp_path):
    study = loaded(tmp_path, ["m", "n"], [*NAMES[:3], "nf4-language", BROKEN], ["zero-shot", "4-shot"])
    with style.applied():
        figure = quality.draw(study)
        figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
        boxes = [tick.label1.get_window_extent() for tick in ticks]
        assert len(boxes) > 1
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2)), axes.get_xlabel()
