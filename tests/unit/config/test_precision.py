"""A precision for a model family: every group's format, or one sentence why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_folder import ConfigFolder

PRECISIONS = "config/precisions.yaml"
GROUPS = [
    "vision", "audio", "projector", "embeddings", "language", "language.attention", "language.mlp",
    "language.mlp.experts", "head",
]  # fmt: skip


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigFolder:
    monkeypatch.chdir(tmp_path)
    return ConfigFolder(tmp_path)


def assigned(config: ConfigFolder, **groups: Any) -> dict[str, Any]:
    """What each group of the demo model gets under this precision, beside float16."""
    config.add("precisions", own={name.replace("__", "."): value for name, value in groups.items()})
    return config.resolved(precisions=["float16", "own"])["assignments"]["demo-vlm"]["own"]


def refusal(config: ConfigFolder, **groups: Any) -> str:
    config.add("precisions", own={name.replace("__", "."): value for name, value in groups.items()})
    return config.refusal(precisions=["float16", "own"])


def test_a_group_that_is_not_named_keeps_the_baselines_format(config: ConfigFolder) -> None:
    found = assigned(config, language="bnb-nf4")
    nf4 = {"format": "bnb-nf4", "double_quant": False}
    quantized = {"language", "language.attention", "language.mlp", "language.mlp.experts"}
    assert found == {group: nf4 if group in quantized else {"format": "float16"} for group in GROUPS}


def test_a_nested_group_takes_its_own_format(config: ConfigFolder) -> None:
    found = assigned(config, language="bnb-nf4", language__attention={"format": "bnb-int8", "threshold": 0})
    assert found["language.attention"] == {"format": "bnb-int8", "threshold": 0}
    assert found["language.mlp"]["format"] == "bnb-nf4"


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ({"language": "bnb-nf5"}, "own.language: there is no format 'bnb-nf5'; did you mean bnb-nf4?"),
        (
            {"language": {"format": "bnb-int8", "treshold": 6}},
            "own.language (bnb-int8): there is no key `treshold`; did you mean `threshold`?",
        ),
        (
            {"language": {"format": "bnb-int8", "threshold": -1}},
            "own.language (bnb-int8): `threshold` is -1, and must be at least 0 (Activation columns with",
        ),
        (
            {"language": {"format": "bnb-nf4", "double_quant": "yes"}},
            "own.language (bnb-nf4): `double_quant` is 'yes', and must be true or false (Quantize the",
        ),
        (
            {"language": {"format": "torchao-int4", "group_size": 48}},
            "own.language (torchao-int4): `group_size` is 48, and must be one of 32, 64, 128 (Weights that share",
        ),
        (
            {"language": {"format": "torchao-int8", "group_size": 64}},
            "own.language (torchao-int8): there is no key `group_size`, nor any other; remove it.",
        ),
        (
            {"embeddings": "bnb-int8"},
            "own: embeddings are looked up, not multiplied, so bnb-int8 cannot hold them; leave them out "
            "(and name the other groups in place of `all`).",
        ),
        ({"all": "bnb-int8"}, "own: embeddings are looked up, not multiplied, so bnb-int8 cannot hold them"),
        (
            {"vision": "gguf-q4_k_m"},
            "own: gguf-q4_k_m can hold embeddings, language, head, and not vision: give vision another format, or "
            "leave it out.",
        ),
        (
            {"language": "gguf-q8_0", "head": "bnb-int8"},
            "own: one file of gguf-q8_0 holds language and head together, and head is to be in bnb-int8: leave head "
            "out, or give both the same format.",
        ),
        (
            {"vision": "bfloat16"},
            "own: bfloat16 and float16 cannot stand in one model, whose activations have one dtype; leave the groups "
            "out that are not quantized, so that they keep the baseline's float16, or change the study's baseline.",
        ),
    ],
)
def test_a_wrong_assignment_is_one_sentence(groups: dict, sentence: str, config: ConfigFolder) -> None:
    assert refusal(config, **groups).startswith(f"{PRECISIONS}, {sentence}")


def test_a_gguf_file_holds_whatever_reads_and_the_rest_may_be_onnx_files(config: ConfigFolder) -> None:
    found = assigned(config, language="gguf-q4_k_m", vision="ort-int8-dynamic")
    assert {found[group]["format"] for group in ("embeddings", "language", "language.mlp", "head")} == {"gguf-q4_k_m"}
    assert (found["vision"]["format"], found["projector"]["format"]) == ("ort-int8-dynamic", "float16")


def test_a_gguf_file_holds_the_vision_tower_with_its_projector_and_nothing_else(config: ConfigFolder) -> None:
    found = assigned(config, vision="gguf-q8_0", language="gguf-q4_k_m")
    assert {found[group]["format"] for group in ("vision", "projector")} == {"gguf-q8_0"}
    assert {found[group]["format"] for group in ("embeddings", "language", "head")} == {"gguf-q4_k_m"}


def test_torch_may_read_what_llama_cpp_sees(config: ConfigFolder) -> None:
    found = assigned(config, vision="gguf-q8_0")
    assert [found[group]["format"] for group in ("vision", "projector", "language")] == [*["gguf-q8_0"] * 2, "float16"]


@pytest.mark.parametrize("group", ["visoin", "backbone", "language.norm"])
def test_a_group_that_the_family_does_not_have_is_named(group: str, config: ConfigFolder) -> None:
    found = refusal(config, **{group: "bnb-int8"})
    assert found.startswith(f"{PRECISIONS}, own: ")
    assert repr(group) in found
    assert all(name in found for name in GROUPS)


@pytest.mark.parametrize("baseline", ["nf4-language", "int8-language-vision"])
def test_a_baseline_that_is_not_one_float_format_is_refused(baseline: str, config: ConfigFolder) -> None:
    wanted = (
        f"{PRECISIONS}, {baseline}: the baseline must hold every group in one float format, as {{all: float16}} does; "
        "name float16, bfloat16 or float32 as the study's baseline."
    )
    assert config.refusal(precisions=[baseline], baseline=baseline) == wanted


QUANTIZATION = {"group_size": 64, "symmetric": False, "damping": 0.1, "kernel": "torch-int8"}


def language_format(config: ConfigFolder, given: Any, **quantization: Any) -> dict[str, Any]:
    """The format of the demo language model's layers, where the study says this of quantization."""
    config.add("precisions", own={"language": given})
    study = config.resolved(
        track="lambada",
        dataset={"name": "demo-passages"},
        models=["demo-lm"],
        precisions=["bfloat16", "own"],
        baseline="bfloat16",
        **({"quantization": quantization} if quantization else {}),
    )
    return study["assignments"]["demo-lm"]["own"]["language.mlp"]


def test_gptq_takes_what_the_study_says_and_a_precision_does_not(config: ConfigFolder) -> None:
    found = language_format(config, {"format": "gptq-4", "kernel": "torch"}, **QUANTIZATION)
    assert found == {"format": "gptq-4"} | QUANTIZATION | {"kernel": "torch"}


def test_gptq_has_defaults_of_its_own(config: ConfigFolder) -> None:
    assert language_format(config, "gptq-2") == {
        "format": "gptq-2", "group_size": 128, "symmetric": True, "damping": 0.05, "kernel": "auto",
    }  # fmt: skip


@pytest.mark.parametrize(("group_size", "expected"), [(64, 64), (-1, 0)])
def test_rtn_on_gptqs_grid_takes_its_groups_and_symmetry(group_size: int, expected: int, config: ConfigFolder) -> None:
    given = {"format": "rtn-3", "gptq_grid": True}
    found = language_format(config, given, **QUANTIZATION | {"group_size": group_size})
    assert found == given | {"group_size": expected, "symmetric": False}


def test_rtn_on_its_own_grid_takes_nothing_from_the_study(config: ConfigFolder) -> None:
    found = language_format(config, {"format": "rtn-3", "symmetric": True}, **QUANTIZATION)
    assert found == {"format": "rtn-3", "group_size": 0, "symmetric": True, "gptq_grid": False}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"group_size": 48}, "`group_size` is 48, and must be one of 16, 32, 64, 128, -1 (Weights of a row that share"),
        ({"kernel": "cuda"}, "`kernel` is 'cuda', and must be one of auto, torch, torch-int8, torch-aten,"),
        ({"damping": 0}, "`damping` is 0, and must be more than 0 (Share of the Hessian's mean diagonal"),
        ({"damping": 1}, "`damping` is 1, which does not fit: Share of the Hessian's mean diagonal"),
        ({"bits": 4}, "there is no key `bits`; known are group_size, symmetric, damping, kernel."),
    ],
)
def test_a_wrong_option_of_gptq_is_one_sentence(given: dict, sentence: str, config: ConfigFolder) -> None:
    found = refusal(config, language={"format": "gptq-4"} | given)
    assert found.startswith(f"{PRECISIONS}, own.language (gptq-4): {sentence}")


def test_a_study_that_says_nothing_of_quantization_has_the_defaults() -> None:
    """Studies of other tracks, and records from before."""
    from bitbudget.config.precision import resolve_precision
    from bitbudget.registry import module_of

    study = {"baseline": "bfloat16", "track": "captioning"}
    precisions = {"bfloat16": {"all": "bfloat16"}, "own": {"language": {"format": "rtn-4", "gptq_grid": True}}}
    found = resolve_precision("own", precisions, study | {"ready": {}}, module_of("family", "llava"), "x")
    assert found["language"] == {"format": "rtn-4", "group_size": 0, "symmetric": True, "gptq_grid": True}
