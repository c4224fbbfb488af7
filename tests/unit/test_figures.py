"""The Pareto front, and figures of every shape of study: they are drawn, deterministic, and honest about absences."""

import json
import math
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
import synthetic_study as synthetic

from bitbudget import summary
from bitbudget.figures import costs, quality, style, tradeoff
from bitbudget.figures import study as shown
from bitbudget.figures.pareto import pareto_front

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
NAMES = list(synthetic.PRECISIONS)
NOTE = "demo study: made-up numbers"


def loaded(folder, models, precisions, conditions, **options):
    spec = synthetic.spec(models, precisions, conditions, NOTE)
    scores, measurements, audits = synthetic.study(models, precisions, conditions, **options)
    summary.summarize(spec, scores, measurements, audits).to_csv(folder / "summary.csv", index=False)
    return shown.load(folder / "summary.csv", measurements, spec)


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
        for figure in (
            quality.draw(study),
            *(costs.draw(study, name) for name in costs.COSTS),
            *(tradeoff.draw(study, name) for name in costs.COSTS),
        ):
            figure.draw_without_rendering()
            assert NOTE in text_of(figure)


def test_absent_values_are_marked_and_their_reason_is_given(tmp_path):
    study = loaded(tmp_path, ["m"], ["float16", "rtn-2"], ["zero-shot"])
    with style.applied():
        size, against = text_of(costs.draw(study, "size")), text_of(tradeoff.draw(study, "size"))
        assert "not measured ¹" in size
        assert f"¹ {synthetic.SIMULATED}" in size
        assert f"rtn-2 not shown: {synthetic.SIMULATED}".replace(" ", "") in against.replace("\n", "").replace(" ", "")
        assert "Not computed: SPICE" in text_of(quality.draw(study))


def test_names_in_a_scatter_plot_do_not_overlap(tmp_path):
    study = loaded(tmp_path, ["m"], NAMES, ["zero-shot"])
    with style.applied():
        figure = tradeoff.draw(study, "latency")
        names = [text for text in figure.axes[0].texts if text.get_text() in NAMES]
        assert len(names) == 10  # all but the two that have no latency
        boxes = [text.get_window_extent() for text in names]
    # The extent of an annotation with a leader reaches to its point, so the text's own box is compared.
    from matplotlib.text import Text

    boxes = [Text.get_window_extent(text) for text in names]
    assert not [1 for one, other in combinations(boxes, 2) if one.overlaps(other)]


def test_colours_are_fixed_by_the_study_and_all_different():
    colours = style.colours_of(NAMES, "float16")
    assert len(set(colours.values())) == len(NAMES)
    assert style.colours_of(NAMES[:4], "float16").items() <= colours.items()


def test_units_and_numbers():
    assert style.unit_for("s", 0.3) == (1e3, "ms")
    assert style.unit_for("s", 0.0) == (1.0, "s")
    assert style.unit_for("MB", 20_000) == (1e-3, "GB")
    assert [style.number(value) for value in (0, 1234.5, 12.34, 1.7, 0.01234)] == [
        "0",
        "1234",
        "12.3",
        "1.70",
        "0.0123",
    ]


def test_the_script_writes_the_same_bytes_twice_and_text_stays_text(tmp_path):
    spec = synthetic.spec(["m"], NAMES[:3], ["zero-shot"], NOTE)
    scores, measurements, audits = synthetic.study(["m"], NAMES[:3], ["zero-shot"])
    paths = {}
    for kind, records in (("scores", scores), ("measurements", measurements), ("audits", audits)):
        paths[kind] = [tmp_path / f"{kind}{i}.json" for i in range(len(records))]
        for path, record in zip(paths[kind], records, strict=True):
            path.write_text(json.dumps(record))

    def run(script, *arguments):
        command = [sys.executable, SCRIPTS / script, "--spec", json.dumps(spec), *arguments]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    table = tmp_path / "summary.csv"
    run(
        "summarize_study.py", "--study", "synthetic", "--scores", *paths["scores"],
        "--measurements", *paths["measurements"], "--audits", *paths["audits"], "--out", table,
    )  # fmt: skip
    for folder in ("first", "second"):
        run(
            "plot_figures.py", "--summary", table, "--measurements", *paths["measurements"],
            "--out-dir", tmp_path / folder,
        )  # fmt: skip
    expected = {"quality", *costs.COSTS, *(f"quality_vs_{name}" for name in costs.COSTS)}
    assert {path.name for path in (tmp_path / "first").iterdir()} == {
        f"{name}.{kind}" for name in expected for kind in ("svg", "png")
    }
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name
    assert ">int8-language<" in (tmp_path / "first" / "size.svg").read_text()
