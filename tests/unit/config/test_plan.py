"""What each rule is told: its own part of the study, and nothing that would rerun it without need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from config_folder import ConfigFolder

from bitbudget.config import plan
from bitbudget.config.study import load_studies
from bitbudget.errors import UserError

CELL = ("demo-vlm", "nf4-language", "zero-shot")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigFolder:
    monkeypatch.chdir(tmp_path)
    return ConfigFolder(tmp_path)


def parts(study: dict[str, Any]) -> dict[str, str]:
    """Every rule's part of the study, as it stands among the rule's parameters."""
    model, precision, _ = CELL
    found = {
        "fetch_dataset": plan.dataset({study["study"]: study}, study["dataset"]["name"]),
        "select_subset": plan.subset(study),
        "fetch_images": plan.image_fetching(study),
        "resize_images": plan.image_resizing(study),
        "fetch_model": plan.model({study["study"]: study}, model),
        "quantize_model": plan.quantization(study, model, precision),
        "predict": plan.prediction(study, *CELL),
        "measure_efficiency": plan.measurement(study, *CELL),
        "combine_measurements": plan.combination(study),
        "score": plan.scoring(study, *CELL),
        "compare_precisions": plan.comparison(study),
        "recommend_precision": plan.recommendation(study),
        "plot_comparison": plan.overview(study),
        "tabulate_carbon": plan.carbon(study),
        "plot_figures": plan.overview(study),
    }
    return {rule: json.dumps(part) for rule, part in found.items()}


@pytest.mark.parametrize(
    ("keys", "rules"),
    [
        ({"prompt": "What is it?"}, {"predict", "measure_efficiency"}),
        ({"generation": {"max_new_tokens": 8}}, {"predict", "measure_efficiency"}),
        ({"batch_size": 3}, {"predict"}),
        ({"shard_size": 3}, {"predict"}),
        ({"measure": {"repeats": 1}}, set()),
        ({"measure": {"rounds": 2}}, {"measure_efficiency"}),
        ({"accept": {"quality": 0.9}}, {"recommend_precision"}),
        ({"noise_floor": False}, set()),
        ({"carbon": {"what_if": {"countries": ["NOR"]}}}, {"tabulate_carbon"}),
        ({"carbon": {"country": "NOR"}}, {"combine_measurements", "tabulate_carbon"}),
        ({"description": "why"}, {"plot_figures", "plot_comparison"}),
        ({"images": {"max_side": 99}}, {"resize_images"}),
        ({"images": {"downloads": 2}}, {"fetch_images"}),
        ({"device": "cpu"}, {"quantize_model", "predict", "measure_efficiency"}),
        ({"dataset": {"name": "demo-scenes", "subset": 7}}, {"select_subset"}),
        ({"dataset": {"name": "demo-scenes", "options": {"images": 9}}}, {"fetch_dataset", "select_subset"}),
        (
            {"precisions": ["float16", "nf4-language"]},
            {"plot_figures", "compare_precisions", "recommend_precision", "plot_comparison", "tabulate_carbon"},
        ),
    ],
)
def test_a_changed_key_changes_the_rules_that_depend_on_it(keys: dict, rules: set[str], config: ConfigFolder) -> None:
    more = {"precisions": ["float16", "nf4-language", "int8-language"]}
    before, after = parts(config.resolved(**more)), parts(config.resolved(**(more | keys)))
    assert {rule for rule in before if before[rule] != after[rule]} == rules


def test_examples_belong_to_the_study_and_its_few_shot_conditions_only(config: ConfigFolder) -> None:
    keys = {"track": "vqa", "dataset": {"name": "demo-questions", "subset": 8}, "conditions": ["zero-shot", "4-shot"]}
    study = config.resolved(**keys)
    told = plan.shots(study, "4-shot")
    assert (told["number"], told["split"], told["condition"]) == (4, "train", "4-shot")
    cells = [plan.prediction(study, *CELL[:2], condition) for condition in ("zero-shot", "4-shot")]
    assert [cell["shots"] for cell in cells] == [0, 4]
    assert plan.prediction(config.resolved(**keys | {"conditions": ["zero-shot"]}), *CELL) == cells[0]


def test_the_noise_floor_is_asked_in_other_batches(config: ConfigFolder) -> None:
    for size, other in ((16, 8), (3, 1), (1, 2)):
        study = config.resolved(batch_size=size)
        first, second = plan.prediction(study, *CELL), plan.again(plan.prediction)(study, *CELL)
        assert second == first | {"batch_size": other, "again": True}
        threads = plan.again(plan.prediction)(config.resolved(batch_size=size, noise_floor="threads"), *CELL)
        assert threads == second | {"other_threads": True}
    assert "noise_floor" not in plan.recommendation(study)  # words that do not change make nothing again
    assert plan.recommendation(config.resolved(noise_floor="threads"))["noise_floor"] == "threads"
    detecting = {"track": "detection", "dataset": {"name": "demo-boxes", "subset": 4}, "models": ["demo-detector"]}
    cell = ("demo-detector", "litert-float32", "zero-shot")
    assert "batch_size" not in plan.again(plan.detection)(config.resolved(**detecting), *cell)


def test_a_simulated_precision_is_measured_once(config: ConfigFolder) -> None:
    study = config.resolved(precisions=["bfloat16", "rtn-3-language"], measure={"repeats": 4})
    assert list(plan.repeats(study, "demo-vlm", "bfloat16")) == [1, 2, 3, 4]
    assert list(plan.repeats(study, "demo-vlm", "rtn-3-language")) == [1]


def test_every_part_is_json_and_names_its_job(config: ConfigFolder) -> None:
    found = parts(config.resolved(precisions=["float16", "nf4-language"]))
    named = json.loads(found["predict"])
    assert [named[key] for key in ("study", "model", "precision", "condition")] == ["mine", *CELL]


def test_the_float_format_beside_quantized_layers_is_the_baselines(config: ConfigFolder) -> None:
    study = config.resolved(precisions=["bfloat16", "nf4-language"])
    assert plan.quantization(study, "demo-vlm", "nf4-language")["dtype"] == "bfloat16"


def test_simulated_formats_are_named(config: ConfigFolder) -> None:
    study = config.resolved(precisions=["bfloat16", "rtn-3-language", "nf4-language"])
    assert plan.simulated(study, "demo-vlm", "rtn-3-language") == ["rtn-3"]
    assert plan.simulated(study, "demo-vlm", "nf4-language") == []


def test_the_modules_of_a_job_are_its_family_and_its_formats(config: ConfigFolder) -> None:
    study = config.resolved(precisions=["bfloat16", "int8-vision-nf4-language"])
    assert plan.modules(study, "demo-vlm", "int8-vision-nf4-language") == [
        "bitbudget.models.families.llava",
        "bitbudget.models.formats.bnb_int8",
        "bitbudget.models.formats.bnb_nf4",
        "bitbudget.models.formats.floats",
    ]


def test_cells_are_every_combination_in_the_studys_order(config: ConfigFolder) -> None:
    study = config.resolved(models=["demo-vlm", "smolvlm-256m"], precisions=["float16", "nf4-language"])
    assert [cell[:2] for cell in plan.cells(study)] == [
        ("demo-vlm", "float16"),
        ("demo-vlm", "nf4-language"),
        ("smolvlm-256m", "float16"),
        ("smolvlm-256m", "nf4-language"),
    ]


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ({"model": "other"}, "study mine has no model 'other'; known are demo-vlm."),
        ({"precision": "nf4"}, "study mine has no precision 'nf4'; known are float16, nf4-language."),
        ({"precision": "nf4-langauge"}, "study mine has no precision 'nf4-langauge'; did you mean nf4-language?"),
        ({"condition": "4-shot"}, "study mine has no condition '4-shot'; did you mean zero-shot?"),
    ],
)
def test_a_cell_that_a_study_does_not_have_is_refused(cell: dict, sentence: str, config: ConfigFolder) -> None:
    studies = {"mine": config.resolved(precisions=["float16", "nf4-language"])}
    with pytest.raises(UserError) as caught:
        plan.study_of(studies, "mine", **cell)
    assert str(caught.value) == sentence


def test_an_ids_file_is_an_input(config: ConfigFolder) -> None:
    Path("ids.txt").write_text("1\n")
    assert plan.ids_file(config.resolved(dataset={"name": "demo-scenes", "subset": {"ids": "ids.txt"}})) == ["ids.txt"]
    assert plan.ids_file(config.resolved()) == []


def test_the_weights_of_a_local_model_are_inputs_and_a_hub_model_has_none(config: ConfigFolder) -> None:
    studies = {"mine": config.resolved(models=["demo-vlm", "smolvlm-256m"])}
    folder = "demo/models/demo-vlm"
    assert {f"{folder}/config.json", f"{folder}/model.safetensors"} <= set(plan.local_model(studies, "demo-vlm"))
    assert plan.local_model(studies, "smolvlm-256m") == []


def test_every_resolved_study_is_plain_json(config: ConfigFolder) -> None:
    study = load_studies({"study": "demo-captioning"})["demo-captioning"]
    assert json.loads(json.dumps(study)) == study


LANGUAGE: dict[str, Any] = {
    "track": "lambada",
    "dataset": {"name": "demo-passages", "subset": 40},
    "models": ["demo-lm"],
    "precisions": ["bfloat16", "gptq-4", "rtn-4"],
}


@pytest.mark.parametrize(
    ("keys", "rules"),
    [
        ({"last_word": {"bos": "never"}}, {"predict_last_words", "measure_efficiency"}),
        ({"last_word": {"top_k": [1, 50]}}, {"score"}),
        ({"quantization": {"group_size": 32}}, {"quantize_model"}),
        ({"quantization": {"calibration": {"items": 8}}}, {"select_calibration"}),
        ({"batch_size": 3}, {"predict_last_words"}),
    ],
)
def test_a_changed_key_of_a_language_study(keys: dict, rules: set[str], config: ConfigFolder) -> None:
    def told(study: dict[str, Any]) -> dict[str, Any]:
        cell = ("demo-lm", "gptq-4", "zero-shot")
        return {
            "select_calibration": plan.calibration(study),
            "quantize_model": plan.quantization(study, *cell[:2]),
            "predict_last_words": plan.last_words(study, *cell),
            "measure_efficiency": plan.measurement(study, *cell),
            "score": plan.scoring(study, *cell),
            "plot_figures": plan.overview(study),
        }

    before, after = told(config.resolved(**LANGUAGE)), told(config.resolved(**(LANGUAGE | keys)))
    assert {rule for rule in before if before[rule] != after[rule]} == rules


def test_a_calibration_file_is_an_input(config: ConfigFolder) -> None:
    Path("mine.jsonl").write_text("{}")
    assert plan.calibration_file(config.resolved(**LANGUAGE)) == []
    study = config.resolved(**LANGUAGE, quantization={"calibration": {"file": "mine.jsonl"}})
    assert plan.calibration_file(study) == ["mine.jsonl"]
