"""What each rule is told: its own part of the study, and nothing that would rerun it without need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from config_folder import ConfigFolder

from bitbudget.config import plan, spec
from bitbudget.config.study import load_studies
from bitbudget.errors import UserError

CELL = ("demo-vlm", "nf4-language", "zero-shot")
# Every script that is told something of a study whose models write captions.
CAPTIONING = (
    "audit_checkpoint", "bundle_study", "combine_measurements", "compare_precisions", "count_flops", "fetch_dataset",
    "fetch_images", "fetch_model", "gather_examples", "gather_models", "inspect_outputs", "make_spot_check",
    "measure_efficiency", "plot_comparison", "plot_figures", "predict", "quantize_model", "read_ratings",
    "recommend_precision", "reproduce_study", "resize_images", "score", "score_blind", "select_subset",
    "summarize_study", "tabulate_carbon", "write_appendix", "write_page", "write_paper", "write_slides",
)  # fmt: skip
LANGUAGE = ("select_calibration", "quantize_model", "predict_last_words", "measure_efficiency", "score", "plot_figures")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigFolder:
    monkeypatch.chdir(tmp_path)
    return ConfigFolder(tmp_path)


def told(script: str, study: dict[str, Any], cell: tuple[str, ...] = CELL, **fixed: Any) -> dict[str, Any]:
    """What a script is told of the study and its job."""
    return spec.of(script, study, dict(zip(("model", "precision", "condition"), cell, strict=True)) | fixed)


def parts(study: dict[str, Any], scripts: tuple[str, ...] = CAPTIONING, cell: tuple[str, ...] = CELL) -> dict[str, str]:
    """What every script is told, as it stands among its rule's parameters."""
    return {script: json.dumps(told(script, study, cell, repeat=1)) for script in scripts}


@pytest.mark.parametrize(
    ("keys", "rules"),
    [
        ({"prompt": "What is it?"}, {"predict", "measure_efficiency", "count_flops", "make_spot_check"}),
        ({"generation": {"max_new_tokens": 8}}, {"predict", "measure_efficiency", "count_flops"}),
        ({"batch_size": 3}, {"predict"}),
        ({"shard_size": 3}, {"predict"}),
        ({"measure": {"repeats": 1}}, set()),
        ({"measure": {"rounds": 2}}, {"measure_efficiency"}),
        ({"accept": {"quality": 0.9}}, {"recommend_precision"}),
        ({"noise_floor": False}, {"reproduce_study"}),
        ({"carbon": {"what_if": {"countries": ["NOR"]}}}, {"tabulate_carbon"}),
        ({"carbon": {"country": "NOR"}}, {"combine_measurements", "tabulate_carbon"}),
        ({"description": "why"}, {"plot_figures", "plot_comparison"}),
        ({"images": {"max_side": 99}}, {"resize_images", "predict", "measure_efficiency", "count_flops"}),
        ({"images": {"max_tokens": 99}}, {"predict", "measure_efficiency", "count_flops"}),
        ({"answer": {"first_line": True}}, {"score"}),  # no model is asked again
        ({"images": {"downloads": 2}}, {"fetch_images"}),
        ({"device": "cpu"}, {"quantize_model", "audit_checkpoint", "predict", "measure_efficiency", "count_flops"}),
        ({"dataset": {"name": "demo-scenes", "subset": 7}}, {"select_subset"}),
        ({"dataset": {"name": "demo-scenes", "options": {"images": 9}}}, {"fetch_dataset", "select_subset"}),
        (
            {"precisions": ["float16", "nf4-language"]},
            {
                "compare_precisions", "gather_examples", "inspect_outputs", "plot_comparison", "plot_figures",
                "recommend_precision", "reproduce_study", "summarize_study", "tabulate_carbon",
            },
        ),
        (
            {"seed": 54},  # another subset is no other checkpoint, and an image of both is not prepared again
            {
                "compare_precisions", "count_flops", "gather_examples", "gather_models", "inspect_outputs",
                "make_spot_check", "measure_efficiency", "predict", "recommend_precision", "reproduce_study", "score",
                "score_blind", "select_subset",
            },
        ),
        ({"spot_check": 3}, {"make_spot_check", "summarize_study"}),
        ({"inspection": {"phone_region": "AT"}}, {"inspect_outputs", "gather_examples"}),
        ({"report": {"authors": [{"name": "Ada"}]}}, {"write_paper", "write_slides", "write_appendix"}),
        ({"report": {"examples": 9}}, {"write_page"}),
    ],
)  # fmt: skip
def test_a_changed_key_changes_the_rules_that_depend_on_it(keys: dict, rules: set[str], config: ConfigFolder) -> None:
    more = {"precisions": ["float16", "nf4-language", "int8-language"]}
    before, after = parts(config.resolved(**more)), parts(config.resolved(**(more | keys)))
    assert {rule for rule in before if before[rule] != after[rule]} == rules


def test_examples_belong_to_the_study_and_its_few_shot_conditions_only(config: ConfigFolder) -> None:
    keys = {"track": "vqa", "dataset": {"name": "demo-questions", "subset": 8}, "conditions": ["zero-shot", "4-shot"]}
    study = config.resolved(**keys)
    chosen = told("select_shots", study, (*CELL[:2], "4-shot"))
    assert (chosen["shots"], chosen["shots_split"], chosen["condition"]) == (4, "train", "4-shot")
    cells = [told("predict", study, (*CELL[:2], condition)) for condition in ("zero-shot", "4-shot")]
    assert [cell["shots"] for cell in cells] == [0, 4]
    assert told("predict", config.resolved(**keys | {"conditions": ["zero-shot"]})) == cells[0]


def test_the_noise_floor_is_asked_in_other_batches(config: ConfigFolder) -> None:
    for size, other in ((16, 8), (3, 1), (1, 2)):
        study = config.resolved(batch_size=size)
        first, second = told("predict", study), told("predict", study, again=True)
        assert second == first | {"batch_size": other, "again": True}
        threads = told("predict", config.resolved(batch_size=size, noise_floor="threads"), again=True)
        assert threads == second | {"other_threads": True}
    assert "noise_floor" not in told("recommend_precision", study)  # words that do not change make nothing again
    assert told("recommend_precision", config.resolved(noise_floor="threads"))["noise_floor"] == "threads"
    detecting = {"track": "detection", "dataset": {"name": "demo-boxes", "subset": 4}, "models": ["demo-detector"]}
    cell = ("demo-detector", "litert-float32", "zero-shot")
    first, second = (told("detect", config.resolved(**detecting), cell, **more) for more in ({}, {"again": True}))
    assert second == first | {"again": True}


def test_a_rule_may_say_what_the_study_would(config: ConfigFolder) -> None:
    """An example whose image cannot be read is none, also where items like that are skipped."""
    study = config.resolved(images={"on_corrupt": "skip"}, models=["demo-vlm", "qwen2-vl-2b"])
    assert told("resize_images", study) == {"max_side": 1024, "on_corrupt": "skip", "families": ["qwen2-vl"]}
    fixed = {"on_corrupt": "fail", "remedy": "take another"}
    assert told("resize_images", study, **fixed) == {"max_side": 1024, **fixed}


def test_a_simulated_precision_is_measured_once(config: ConfigFolder) -> None:
    study = config.resolved(precisions=["bfloat16", "rtn-3-language"], measure={"repeats": 4})
    assert list(plan.repeats(study, "demo-vlm", "bfloat16")) == [1, 2, 3, 4]
    assert list(plan.repeats(study, "demo-vlm", "rtn-3-language")) == [1]


def test_every_part_is_json_and_names_its_job(config: ConfigFolder) -> None:
    found = parts(config.resolved(precisions=["float16", "nf4-language"]))
    named = json.loads(found["predict"])
    assert [named[key] for key in ("study", "model", "precision", "condition")] == ["mine", *CELL]


def test_the_float_format_beside_quantized_layers_is_the_models_own_or_else_the_baselines(config: ConfigFolder) -> None:
    study = config.resolved(precisions=["bfloat16", "nf4-language"])
    assert told("quantize_model", study)["dtype"] == "bfloat16"
    precisions = study["assignments"]["demo-vlm"]
    precisions["nf4-language"] = {"language": {"format": "bnb-nf4"}}  # nothing is left in a float format
    precisions["bfloat16"] = {"language": {"format": "float16"}}
    assert told("quantize_model", study)["dtype"] == "float16"


def test_simulated_formats_are_named(config: ConfigFolder) -> None:
    study = config.resolved(precisions=["bfloat16", "rtn-3-language", "nf4-language"])
    assert told("audit_checkpoint", study, ("demo-vlm", "rtn-3-language", "zero-shot"))["simulated"] == ["rtn-3"]
    assert told("audit_checkpoint", study)["simulated"] == []


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
    study = config.resolved(models=["demo-vlm", "smolvlm-256m"])
    folder = "demo/models/demo-vlm"
    assert {f"{folder}/config.json", f"{folder}/model.safetensors"} <= set(plan.local_model(study, "demo-vlm"))
    assert plan.local_model(study, "smolvlm-256m") == []


def test_every_resolved_study_is_plain_json(config: ConfigFolder) -> None:
    study = load_studies({"study": "demo-captioning"})["demo-captioning"]
    assert json.loads(json.dumps(study)) == study


READING: dict[str, Any] = {
    "track": "lambada",
    "dataset": {"name": "demo-passages", "subset": 40},
    "models": ["demo-lm"],
    "precisions": ["bfloat16", "gptq-4", "rtn-4"],
}
READ = ("demo-lm", "gptq-4", "zero-shot")


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
    before, after = (parts(config.resolved(**READING | more), LANGUAGE, READ) for more in ({}, keys))
    assert {rule for rule in before if before[rule] != after[rule]} == rules


def test_a_calibration_file_is_an_input(config: ConfigFolder) -> None:
    Path("mine.jsonl").write_text("{}")
    assert plan.calibration_file(config.resolved(**READING)) == []
    study = config.resolved(**READING, quantization={"calibration": {"file": "mine.jsonl"}})
    assert plan.calibration_file(study) == ["mine.jsonl"]
