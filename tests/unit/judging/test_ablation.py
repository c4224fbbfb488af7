"""The ablation: nesting, shares and interactions by hand, and its figure."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic_comparison as made
from asked import asked

from bitbudget.errors import UserError
from bitbudget.judging import ablation
from bitbudget.publishing.figures import ablated, style
from bitbudget.telling import ablation as told
from bitbudget.telling import wording

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
# What each group changes, alone.
CHANGES = {
    "vision": -0.9,
    "projector": 0.1,
    "language": -2.1,
    "language.attention": -0.4,
    "language.mlp": -1.2,
    "every-group": -3.4,
}


def study(changes=CHANGES, models=("m",), half=0.5, **more):
    found = [
        made.one(made.name_of(group), made.metric(change, half, **more), model=model)
        for model in models
        for group, change in changes.items()
    ]
    groups = [group for group in changes if group != "every-group"]
    audits = [made.ablation_audit(group, model) for model in models for group in changes]
    return made.ablation_spec(groups, models=models), made.record(found, "bfloat16"), audits


def table(*arguments, **more):
    rows = ablation.table(*study(*arguments, **more))
    return {(row["row"], row["group"]): row for row in rows}


def test_rows_stand_with_their_parts_behind_them_and_count_what_became_the_format():
    rows = table()
    assert list(rows) == [
        ("every-group", "every-group"), ("group", "vision"), ("group", "projector"), ("group", "language"),
        ("group", "language.attention"), ("group", "language.mlp"), ("interaction", "every-group"),
        ("interaction", "language"),
    ]  # fmt: skip
    language, attention = rows["group", "language"], rows["group", "language.attention"]
    assert (language["depth"], attention["depth"]) == (0, 1)
    assert (language["parameters"], attention["parameters"]) == (1_700_000, 500_000)
    assert language["share_of_parameters"] == pytest.approx(1.7 / 2.56)
    assert language["share_of_loss"] == pytest.approx(2.1 / 3.4)
    assert language["loss_per_million_parameters"] == pytest.approx(2.1 / 1.7)
    assert (language["difference_ci_low"], language["difference_ci_high"]) == pytest.approx((-2.6, -1.6))
    assert ablation.BARE_SHARE in language["notes"]
    assert language["verdict"] == "loss" and attention["verdict"] == "no-clear-difference"


def test_an_interaction_is_the_whole_less_its_outermost_parts_and_has_no_interval():
    rows = table()
    whole, language = rows["interaction", "every-group"], rows["interaction", "language"]
    assert whole["difference"] == pytest.approx(-3.4 - (-0.9 + 0.1 - 2.1))
    assert language["difference"] == pytest.approx(-2.1 - (-0.4 - 1.2))
    assert whole["share_of_loss"] is None
    assert whole["difference_ci_low"] is None and "has no interval" in whole["notes"][0]


def test_only_a_clear_loss_is_a_share_of_the_loss():
    rows = table()
    for group in ("projector", "language.attention"):  # +0.1 and -0.4, each +-0.5
        assert rows["group", group]["share_of_loss"] is None
        assert f"share_of_loss: the loss of {group} itself is not clear of noise" in rows["group", group]["notes"]


def test_a_whole_that_loses_nothing_has_an_interaction_all_the_same():
    rows = table({**CHANGES, "language": 0.0, "language.attention": 0.3})
    assert rows["interaction", "language"]["difference"] == pytest.approx(0.9)
    assert rows["interaction", "language"]["share_of_loss"] is None


def test_a_part_whose_whole_was_not_quantized_alone_is_an_outermost_one():
    changes = {name: CHANGES[name] for name in ("vision", "language.attention", "every-group")}
    rows = table(changes)
    assert rows["group", "language.attention"]["depth"] == 0
    whole = rows["interaction", "every-group"]
    assert whole["difference"] == pytest.approx(-3.4 + 0.9 + 0.4)
    assert "1260000 quantized parameters of every-group lie in none of its parts" in whole["notes"]
    assert ("interaction", "language") not in rows


def test_a_loss_that_is_not_clear_of_noise_is_not_divided():
    rows = table(half=4.0, p=0.6)
    assert all(row["share_of_loss"] is None for row in rows.values())
    assert any("not clear of noise" in note for note in rows["group", "vision"]["notes"])
    assert rows["group", "vision"]["loss_per_million_parameters"] == pytest.approx(0.9 / 0.8)


def test_what_is_missing_is_absent_with_its_reason():
    spec, comparison, audits = study()
    comparison["comparisons"][0]["metrics"]["CIDEr"] = {"absent": "too few items to tell.", "unit": "score"}
    for layer in audits[1]["layers"]:
        layer["asked"] = "bfloat16"
    rows = {(row["row"], row["group"]): row for row in ablation.table(spec, comparison, audits)}
    assert rows["group", "vision"]["difference"] is None
    assert rows["group", "vision"]["notes"] == ["difference: too few items to tell."]
    assert rows["interaction", "every-group"]["difference"] is None
    assert rows["group", "projector"]["loss_per_million_parameters"] is None
    assert "nothing of this group became the format" in rows["group", "projector"]["notes"][-1]


def test_missing_records_are_sentences():
    spec, comparison, audits = study()
    with pytest.raises(UserError, match="no audit record of m / only-vision-rtn-3"):
        ablation.table(spec, comparison, audits[1:])
    with pytest.raises(UserError, match="nothing of m / only-vision-rtn-3"):
        ablation.table(spec, comparison | {"comparisons": comparison["comparisons"][1:]}, audits)


def test_a_format_with_options_is_found_by_its_name():
    spec, comparison, audits = study()
    spec["ablation"]["format"] = {"format": made.FORMAT, "group_size": 32}
    assert ablation.table(spec, comparison, audits)[1]["parameters"] == 800_000


def test_what_is_read_is_what_was_written(tmp_path):
    rows = ablation.table(*study())
    path = tmp_path / "ablation.csv"
    path.write_text(ablation.to_csv(rows))
    again = ablation.read(path)
    assert [row["group"] for row in again] == [row["group"] for row in rows]
    for new, old in zip(again, rows, strict=True):
        assert all(new[name] == old[name] for name in ablation.NUMBERS)
        assert new["notes"] == (" | ".join(old["notes"]) or None)
    with pytest.raises(UserError, match="does not exist"):
        ablation.read(tmp_path / "other.csv")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no table of an ablation"):
        ablation.read(path)


def texts_of(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]


def drawn(tmp_path, *arguments, **more):
    spec, comparison, audits = study(*arguments, **more)
    path = tmp_path / "ablation.csv"
    path.write_text(ablation.to_csv(ablation.table(spec, comparison, audits)))
    with style.applied():
        figure = ablated.draw(spec, told.read(path, wording.words_of(spec)))
        figure.draw_without_rendering()
    return figure


def test_the_figure_sets_parts_below_their_whole_and_tells_their_shares(tmp_path):
    figure = drawn(tmp_path)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [
        "every group", "    vision", "    projector", "    language", "        language.attention",
        "        language.mlp", "        interaction in language", "    interaction",
    ]  # fmt: skip
    lefts = {round(label.get_window_extent().x0) for label in figure.axes[0].get_yticklabels()}
    assert len(lefts) == 1  # an indent is seen only where names begin at the same place
    texts = texts_of(figure)
    assert any("26 % of the loss" in text and "31 % of the weights" in text for text in texts)
    assert sum("of the loss" in text and "[" in text for text in texts) == 3  # vision, language and its MLPs
    assert "Shares of the loss have no interval" in " ".join(" ".join(texts).split())
    assert sum("[" in text for text in texts) == 6  # interactions have no interval
    left, right = figure.axes[0].get_xlim()
    assert left < -3.9 and right > 0.6  # nothing lies beyond the axis


def test_the_figure_of_a_loss_within_noise_says_that_it_cannot_be_divided(tmp_path):
    texts = texts_of(drawn(tmp_path, models=("one", "two"), half=4.0, p=0.6))
    assert "one, two: the loss of every-group is not clear of noise" in " ".join(" ".join(texts).split())
    assert not any("of the loss" in text for text in texts if "every-group" not in text)
    assert "one" in texts and "two" in texts


def test_the_scripts_write_a_table_and_a_figure(tmp_path):
    spec, comparison, audits = study()
    (tmp_path / "comparison.json").write_text(json.dumps(comparison))
    paths = [tmp_path / f"audit{i}.json" for i in range(len(audits))]
    for path, audit in zip(paths, audits, strict=True):
        path.write_text(json.dumps(audit))

    def run(script, *arguments):
        command = [sys.executable, SCRIPTS / f"{script}.py", "--spec", asked(script, spec), *arguments]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    run(
        "tabulate_ablation", "--comparison", tmp_path / "comparison.json", "--audits", *paths,
        "--out", tmp_path / "ablation.csv",
    )  # fmt: skip
    run("plot_ablation", "--ablation", tmp_path / "ablation.csv", "--out-dir", tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"ablation.svg", "ablation.png"}
