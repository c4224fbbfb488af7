"""The scripts that compare precisions and plan a subset: their files, their tables and their refusals."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from asked import asked
from made_up_cells import BASELINE, answered, compare, scores, spec

import plan_subset
from bitbudget import records
from bitbudget.errors import UserError
from bitbudget.judging import comparison

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def store(folder, precision, rows, subset_hash="c" * 64):
    lines(folder / "item_scores.jsonl", rows)
    lines(folder / "predictions.jsonl", [{"id": row["id"], "text": str(row["vqa_accuracy"])} for row in reversed(rows)])
    made = scores("vqa", rows, precision, subset_hash=subset_hash)
    (folder / "scores.json").write_text(json.dumps({"record": "scores", "primary": "vqa_accuracy", **made}))


@pytest.fixture
def study(tmp_path):
    rng = np.random.default_rng(4)
    before = (rng.random(200) < 0.7).astype(float)
    store(tmp_path / BASELINE, BASELINE, answered(before))
    store(tmp_path / BASELINE / "noise_floor", BASELINE, answered(before))
    store(tmp_path / "int8", "int8", answered(before * (rng.random(200) > 0.2)))
    return tmp_path


def run(folder, *more, cells=(BASELINE, "int8"), script="compare_precisions"):
    files = {"scores": "scores.json", "item-scores": "item_scores.jsonl", "predictions": "predictions.jsonl"}
    command = [sys.executable, SCRIPTS / f"{script}.py"]
    if script == "compare_precisions":
        command += ["--spec", asked("compare_precisions", spec("vqa", "vqa_accuracy", ["int8"]))]
        command += ["--out", "comparison.json", "--out-table", "comparison.csv"]
        for name, file in files.items():
            command += [f"--{name}", *(f"{one}/{file}" for one in cells)]
    command += list(more)
    return subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)


NOISE = [
    part
    for name, file in (
        ("scores", "scores.json"),
        ("item-scores", "item_scores.jsonl"),
        ("predictions", "predictions.jsonl"),
    )
    for part in (f"--noise-{name}", f"{BASELINE}/noise_floor/{file}")
]


def test_the_record_and_the_table(study):
    done = run(study, *NOISE)
    assert done.returncode == 0, done.stderr
    record = json.loads((study / "comparison.json").read_text())
    assert record["record"] == "comparison" and record["subset_hash"] == "c" * 64
    loss, same = (one["metrics"]["vqa_accuracy"] for one in record["comparisons"])
    assert loss["test"] == "exact McNemar" and loss["p_value"] < 0.05
    with (study / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(comparison.COLUMNS)
    assert [(row["kind"], row["precision"], row["study"]) for row in rows] == [
        ("precision", "int8", "s"),
        ("noise_floor", BASELINE, "s"),
    ]
    assert float(rows[0]["difference"]) == loss["value"] and float(rows[0]["ci_high"]) == loss["ci"][1]
    assert rows[0]["changed"] == rows[0]["worse"] != "0" and rows[0]["note"] == ""
    assert rows[1]["smallest_detectable"] == rows[1]["p_holm"] == ""
    assert rows[1]["note"] == same["smallest_detectable_absent"]
    assert "m, zero-shot: vqa_accuracy against bfloat16, n = 200" in done.stderr
    end = same["ci"][1]
    assert end == pytest.approx(1 - 0.025 ** (1 / 200), rel=0.04)
    assert f"bfloat16 again  +0.0000 [-{end:.4f}, +{end:.4f}]" in done.stderr


def test_a_study_without_a_noise_floor(study):
    done = run(study)
    assert done.returncode == 0, done.stderr
    assert [one["kind"] for one in json.loads((study / "comparison.json").read_text())["comparisons"]] == ["precision"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            ["--scores", f"{BASELINE}/scores.json"],
            "1 scores.json, 2 item_scores.jsonl and 2 predictions.jsonl were given",
        ),
        (["--item-scores", "int8/item_scores.jsonl", f"{BASELINE}/item_scores.jsonl"], "has vqa_accuracy"),
        (["--predictions", f"{BASELINE}/predictions.jsonl", "few.jsonl"], "few.jsonl are not of the same items"),
        (NOISE[:2], "1 scores.json, 0 item_scores.jsonl and 0 predictions.jsonl were given"),
    ],
)
def test_files_that_do_not_belong_together_are_one_sentence(study, more, sentence):
    lines(study / "few.jsonl", [{"id": "1", "text": "x"}])
    done = run(study, *more)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr and not (study / "comparison.json").exists()


def test_a_difference_without_its_test_is_no_record(study, tmp_path):
    import jsonschema

    body = compare("vqa", "vqa_accuracy", answered([1, 0] * 10), answered([1, 1] * 10))
    identity = {"study": "s", "seed": 3, "subset_hash": "c" * 64}
    records.write(tmp_path / "out.json", "comparison", identity, body)
    metric = body["comparisons"][0]["metrics"]["vqa_accuracy"]
    for key in ("test", "p_holm", "units_changed", "stake", "smallest_detectable"):
        value = metric.pop(key)
        with pytest.raises(jsonschema.ValidationError):
            records.write(tmp_path / "out.json", "comparison", identity, body)
        metric[key] = value
    metric["p_vlaue"] = 0.5
    with pytest.raises(jsonschema.ValidationError):
        records.write(tmp_path / "out.json", "comparison", identity, body)


def test_the_planner_says_how_many_items_a_drop_needs(study):
    assert run(study, *NOISE).returncode == 0
    metric = json.loads((study / "comparison.json").read_text())["comparisons"][0]["metrics"]["vqa_accuracy"]
    done = run(study, "comparison.json", "--drop", "0.01", script="plan_subset")
    assert done.returncode == 0, done.stderr
    needed = int(done.stdout.splitlines()[3].split()[-2])
    assert needed == pytest.approx(200 * (metric["smallest_detectable"] / 0.01) ** 2, abs=1)
    assert "cannot be told: none of the 200 images differs" in done.stdout.splitlines()[4]
    done = run(study, "comparison.json", "--items", "800", script="plan_subset")
    assert float(done.stdout.splitlines()[3].split()[-1]) == pytest.approx(metric["smallest_detectable"] / 2, rel=0.01)
    assert "--drop" in run(study, "--help", script="plan_subset").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["comparison.json"], "say either --drop"),
        (["comparison.json", "--drop", "0.1", "--items", "3"], "say either --drop"),
        (["comparison.json", "--drop", "0"], "--drop is 0; give a number greater than 0."),
        (["comparison.json", "--items", "-5"], "--items is -5; give a number"),
        (["comparison.json", "--drop", "0.1", "--metric", "CIDEr"], "no metric 'CIDEr'; choose one of vqa_accuracy."),
        (["comparison.json", "--drop", "2"], "--drop is 2, but vqa_accuracy is 0."),
        (
            ["comparison.json", "--items", "9"],
            "--items is 9, too few to tell a difference in vqa_accuracy from chance;",
        ),
        (["nowhere.json", "--drop", "0.1"], "nowhere.json does not exist"),
        (["int8/scores.json", "--drop", "0.1"], "is not the record of a comparison"),
        (["empty.json", "--drop", "0.1"], "compares nothing with the baseline"),
    ],
)
def test_what_the_planner_cannot_use_is_one_sentence(study, arguments, sentence):
    assert run(study).returncode == 0
    (study / "empty.json").write_text('{"record": "comparison", "comparisons": []}')
    done = run(study, *arguments, script="plan_subset")
    assert done.returncode == 1 and done.stdout == ""
    assert sentence in done.stderr and done.stderr.count("\n") == 1


def test_units_of_several_items_are_planned_as_units(study):
    rng = np.random.default_rng(6)
    body = compare("vqa", "vqa_accuracy", answered(rng.random(120), a_image=3), answered(rng.random(120), a_image=3))
    identity = {"study": "s", "seed": 3, "subset_hash": "c" * 64}
    records.write(study / "comparison.json", "comparison", identity, body)
    done = run(study, "comparison.json", "--drop", "0.02", script="plan_subset")
    words = done.stdout.splitlines()[3].split()
    items, units = int(words[-8]), int(words[-6].removeprefix("("))
    assert items == 3 * units and "independent units of 3 items" in done.stdout
    refused = run(study, "comparison.json", "--items", "29", script="plan_subset")
    assert "give 30 or more" in refused.stderr and refused.returncode == 1


def plan(metrics, **asked):
    """The last words of the planner about each of these metrics, each of another precision."""
    about = {"model": "m", "condition": "zero-shot", "kind": "precision", "n": 200, "units": 200}
    comparisons = [about | {"precision": f"p{i}", "metrics": {"AP": one}} for i, one in enumerate(metrics)]
    record = {"record": "comparison", "baseline": BASELINE, "primary": "AP", "comparisons": comparisons}
    plan_subset.check(comparisons, "AP", asked.get("drop"), asked.get("items"))
    return list(plan_subset.lines(record, "AP", asked.get("drop"), asked.get("items")))


def planned(**more):
    metric = {"value": 0.0, "unit": "score", "higher_is_better": True, "baseline": 0.4, "standard_error": 0.001}
    return (
        metric | {"units_changed": 100, "test": "paired bootstrap", "family": 6, "smallest_detectable": 0.0035} | more
    )


def test_a_plan_has_as_many_items_as_are_compared_at_least():
    assert plan([planned()], drop=0.1)[3].endswith("  10 items")
    assert "divided by 6, the number of comparisons" in plan([planned()], drop=0.1)[0]
    assert "hardly differs from the baseline has a small one" in plan([planned()], drop=0.1)[1]
    assert plan([planned(family=100)], drop=0.1)[3].endswith("  12 items")


def test_a_plan_has_no_drop_that_cannot_be():
    one, other = plan([planned(baseline=0.2), planned()], drop=0.3)[3:]
    assert one.endswith("cannot be: the baseline has 0.2") and other.endswith(" items")
    with pytest.raises(UserError, match=r"--drop is 2, but AP is 0\.4 for the baseline"):
        plan([planned(baseline=0.2), planned()], drop=2)
    assert plan([planned(higher_is_better=False)], drop=2)[3].endswith(" items")  # a perplexity may rise by so much
    assert "show a rise of 2 with" in plan([planned(higher_is_better=False)], drop=2)[0]
    assert plan([planned(standard_error=0.05)], items=20)[3].endswith("is more than the baseline has")
