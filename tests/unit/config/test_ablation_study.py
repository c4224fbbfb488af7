"""A study's `ablation`: which precisions it adds, and which wishes are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_folder import ConfigFolder

from bitbudget.config import plan, spec

GROUPS = ["vision", "projector", "language", "language.attention", "language.mlp"]
LANGUAGE = {"language", "language.attention", "language.mlp", "language.mlp.experts"}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigFolder:
    monkeypatch.chdir(tmp_path)
    return ConfigFolder(tmp_path)


def quantized(study: dict[str, Any], precision: str) -> set[str]:
    """The groups that are not in the baseline's format."""
    (model,) = study["models"]
    return {group for group, spec in study["assignments"][model][precision].items() if spec["format"] != "bfloat16"}


def test_each_group_is_quantized_alone_and_then_all_of_them(config: ConfigFolder) -> None:
    study = config.resolved(precisions=["bfloat16"], ablation={"format": "rtn-3"})
    added = study["ablation"]["precisions"]
    assert list(added.values()) == [*GROUPS, "every-group"]
    assert study["precisions"] == ["bfloat16", *added]
    assert quantized(study, "only-vision-rtn-3") == {"vision"}
    assert quantized(study, "only-projector-rtn-3") == {"projector"}
    # a group takes those that are nested in it along
    assert quantized(study, "only-language-rtn-3") == LANGUAGE
    assert quantized(study, "only-language-attention-rtn-3") == {"language.attention"}
    assert quantized(study, "only-language-mlp-rtn-3") == {"language.mlp", "language.mlp.experts"}
    assert quantized(study, "every-group-rtn-3") == {*GROUPS, *LANGUAGE}


@pytest.mark.parametrize("name", ["bnb-int8", "bnb-nf4", "torchao-int8", "torchao-int4", "rtn-2"])
def test_every_format_of_a_group_can_be_ablated(name: str, config: ConfigFolder) -> None:
    study = config.resolved(precisions=["bfloat16"], ablation={"format": name, "groups": ["vision", "language.mlp"]})
    assert list(study["ablation"]["precisions"]) == [
        f"only-vision-{name}",
        f"only-language-mlp-{name}",
        f"every-group-{name}",
    ]
    assert quantized(study, f"every-group-{name}") == {"vision", "language.mlp", "language.mlp.experts"}


def test_a_language_model_is_ablated_by_gptq_with_the_studys_options(config: ConfigFolder) -> None:
    study = config.resolved(
        track="lambada", dataset={"name": "demo-passages", "subset": 4}, models=["demo-lm"], precisions=["bfloat16"],
        ablation={"format": {"format": "gptq-4", "group_size": 32}},
    )  # fmt: skip
    assert list(study["ablation"]["precisions"].values()) == [*GROUPS[2:], "every-group"]
    only = study["assignments"]["demo-lm"]["only-language-attention-gptq-4"]["language.attention"]
    assert (only["format"], only["group_size"]) == ("gptq-4", 32)
    assert study["quantization"]["calibration"]["split"]  # its texts are chosen as for any precision


def test_a_group_that_only_one_of_two_models_has_is_left_out(config: ConfigFolder) -> None:
    study = config.resolved(models=["demo-vlm", "smolvlm-256m"], precisions=["bfloat16"], ablation={"format": "rtn-4"})
    assert set(study["ablation"]["precisions"].values()) <= {*GROUPS, "every-group"}


def test_the_part_of_the_rules_names_the_group_of_each_precision(config: ConfigFolder) -> None:
    study = config.resolved(precisions=["bfloat16"], ablation={"format": "rtn-3", "groups": ["vision", "projector"]})
    assert spec.of("tabulate_ablation", study, {})["ablation"] == {
        "format": "rtn-3",
        "groups": {
            "only-vision-rtn-3": "vision",
            "only-projector-rtn-3": "projector",
            "every-group-rtn-3": "every-group",
        },
    }
    assert not plan.ablates(config.resolved(ablation=None))


@pytest.mark.parametrize(
    ("ablation", "sentence"),
    [
        ({"format": "rtn-5"}, "`ablation.format`: there is no format 'rtn-5'; did you mean rtn-"),
        ({"format": "float16"}, "`ablation.format` is float16, which takes no bits away"),
        (
            {"format": "rtn-3", "groups": ["visoin", "projector"]},
            "there is no module group 'visoin'; did you mean vision?",
        ),
        ({"format": "rtn-3", "groups": ["embeddings", "vision"]}, "only-embeddings-rtn-3: embeddings are looked up"),
        ({"format": "rtn-3", "groups": ["vision"]}, "`ablation.groups` names only vision, which is then"),
        ({"format": {"group_size": 3}}, "the key `format` is missing in `ablation.format`; add it."),
    ],
)
def test_what_cannot_be_ablated_is_refused(ablation: dict, sentence: str, config: ConfigFolder) -> None:
    refusal = config.refusal(precisions=["bfloat16"], ablation=ablation)
    assert refusal.startswith("config/studies/mine.yaml: ") and sentence in refusal


def test_a_precision_of_the_same_name_is_not_replaced(config: ConfigFolder) -> None:
    config.add("precisions", **{"only-vision-rtn-3": {"vision": "rtn-2"}})
    refusal = config.refusal(precisions=["bfloat16"], ablation={"format": "rtn-3"})
    assert "`ablation` adds a precision 'only-vision-rtn-3', which config/precisions.yaml has" in refusal


def test_a_detector_has_no_parts_to_ablate(config: ConfigFolder) -> None:
    keys = {"track": "detection", "dataset": {"name": "demo-boxes", "subset": 4}, "models": ["demo-detector"]}
    assert "only detector; remove it." in config.refusal(**keys, ablation={"format": "litert-int8"})
