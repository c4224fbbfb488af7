"""A reduced question study, with and without examples, from data to the ratings of its spot-check."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import whole_run
import yaml

import warm
from checkouts import ONE_CORE, ROOT, copy_checkout, jobs_run, snakemake, write_study

PRECISIONS = ["bfloat16", "int8-language", "nf4-language"]
CONDITIONS = ["zero-shot", "4-shot"]
STUDY = "results/reduced"
RUN = (*ONE_CORE, "--config", "study=reduced")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy after a whole run."""
    made = copy_checkout(tmp_path_factory.mktemp("demo"))
    study = yaml.safe_load((ROOT / "config/studies/demo-vqa.yaml").read_text())
    study |= {"study": "reduced", "precisions": PRECISIONS, "spot_check": 6}
    study["dataset"]["subset"] = 96
    study["measure"] |= {"min_seconds": 0.2, "items": 4, "batch_sizes": [1, 4], "repeats": 1}
    write_study(made, study)
    run = snakemake(made, *RUN, python=warm.python())
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return made


def record(checkout: Path, name: str) -> dict:
    return json.loads((checkout / STUDY / name).read_text())


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def table(checkout: Path) -> dict[tuple[str, str], dict[str, str]]:
    """summary.csv by precision and condition."""
    with (checkout / STUDY / "summary.csv").open(newline="") as file:
        return {(row["precision"], row["condition"]): row for row in csv.DictReader(file)}


def test_the_run_ends_with_its_verdicts(checkout: Path) -> None:
    whole_run.check(checkout / STUDY)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_demo_model_sees_with_and_without_examples(condition: str, checkout: Path) -> None:
    blind = record(checkout, "blind.json")["metrics"]["vqa_accuracy"]["value"]
    rows = table(checkout)
    assert blind < 0.5
    for precision in PRECISIONS:
        row = rows[precision, condition]
        assert float(row["vqa_accuracy"]) > blind + 0.2, (precision, condition)
        assert float(row["vqa_accuracy_ci_low"]) > blind
        assert int(row["n_items"]) == 96


def test_every_precision_is_shown_the_same_examples_and_none_is_evaluated(checkout: Path) -> None:
    items = lines(checkout / STUDY / "items.jsonl")
    shots = lines(checkout / STUDY / "shots/4-shot/shots.jsonl")
    evaluated = {image["id"] for item in items for image in item["images"]}
    assert len({shot["images"][0]["id"] for shot in shots} - evaluated) == 4
    assert not {shot["id"] for shot in shots} & {item["id"] for item in items}
    shown = {
        (condition, tuple(record(checkout, f"demo-vlm/{precision}/{condition}/predictions.json")["shots"]))
        for precision in PRECISIONS
        for condition in CONDITIONS
    }
    assert shown == {("zero-shot", ()), ("4-shot", tuple(shot["id"] for shot in shots))}


def test_examples_lengthen_the_prompts_by_their_images(checkout: Path) -> None:
    none, four = (
        lines(checkout / STUDY / f"demo-vlm/bfloat16/{condition}/predictions.jsonl") for condition in CONDITIONS
    )
    assert all(
        after["prompt_tokens"] - before["prompt_tokens"] > 4 * 64 for before, after in zip(none, four, strict=True)
    )
    vision = [
        record(checkout, f"demo-vlm/bfloat16/{condition}/flops.json")["metrics"]["flops_vision"]["value"]
        for condition in CONDITIONS
    ]
    assert vision[1] == pytest.approx(5 * vision[0])


def test_scores_are_told_by_answer_type_and_add_up(checkout: Path) -> None:
    scores = record(checkout, "demo-vlm/bfloat16/zero-shot/scores.json")
    types = scores["breakdown"]["answer_type"]
    assert set(types) == {"yes/no", "number", "other"}
    assert sum(one["n"] for one in types.values()) == 96
    total = sum(one["n"] * one["value"] for one in types.values()) / 96
    assert total == pytest.approx(scores["metrics"]["vqa_accuracy"]["value"])
    assert (checkout / STUDY / "figures/quality_by_type.svg").stat().st_size > 0


def test_ratings_come_back_into_the_table(checkout: Path) -> None:
    assert "spot_check.html" in table(checkout)["bfloat16", "zero-shot"]["notes"]
    key = record(checkout, "spot_check.json")
    items = {item["id"]: item for item in lines(checkout / STUDY / "items.jsonl")}
    cards = {
        card: {
            "item": about["item"],
            "answer": about["answer"],
            "rating": "right" if about["answer"] in items[about["item"]]["references"] else "wrong",
            "unsafe": False,
            "comment": "",
        }
        for card, about in key["cards"].items()
    }
    ratings = checkout / "ratings/reduced/tester.json"
    ratings.parent.mkdir(parents=True)
    about = {"ratings_of": "bitbudget spot check", "study": "reduced", "rater": "tester"}
    ratings.write_text(json.dumps(about | {"saved": "2026-01-01T00:00:00Z", "cards": cards}))
    before = ratings.read_bytes()
    run = snakemake(checkout, *RUN)
    assert run.returncode == 0, run.stderr[-3000:]
    assert set(jobs_run(run.stdout + run.stderr)) <= {
        "read_ratings", "summarize_study", "plot_figures", "plot_breakdown", "recommend_precision", "plot_comparison",
        "write_page", "write_paper", "write_appendix", "write_slides", "bundle_study", "all",
    }  # fmt: skip
    row = table(checkout)["bfloat16", "zero-shot"]
    assert int(row["human_n"]) == 6
    assert 0 < float(row["human_accuracy_ci_low"]) <= float(row["human_accuracy"]) <= 1
    assert ratings.read_bytes() == before
