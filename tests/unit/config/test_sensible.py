"""What the machine decides of a study: the baseline `auto`, what is left out, what is told of either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_folder import ConfigFolder, is_one_sentence

from bitbudget.config import plan, sensible, spec
from bitbudget.config.study import load_studies
from bitbudget.errors import UserError
from bitbudget.registry import format_of
from bitbudget.system.machine import AVX2, AVX512_BF16, Gpu, Machine

LAPTOP = Machine("Intel Core i5-8250U", False, AVX2)
SERVER = Machine("AMD EPYC 9354", True, AVX512_BF16)
ARM = Machine("aarch64", True)
OLD = Machine("Intel Xeon E5", False)
T4 = Machine("Intel Xeon", False, AVX2, Gpu("Tesla T4", (7, 5)))
V100 = Machine("Intel Xeon", False, AVX2, Gpu("Tesla V100-SXM2-16GB", (7, 0)))
PASCAL = Machine("Intel Core", False, AVX2, Gpu("NVIDIA GeForce GTX 1080", (6, 1)))
A100 = Machine("AMD EPYC 7742", False, AVX2, Gpu("NVIDIA A100-SXM4-40GB", (8, 0)))
H100 = Machine("Intel Xeon Platinum", True, "", Gpu("NVIDIA H100 80GB HBM3", (9, 0)))
INT4 = "torchao-int4-language"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigFolder:
    monkeypatch.chdir(tmp_path)
    return ConfigFolder(tmp_path)


def without(machine: Machine, *packages: str) -> Machine:
    return Machine(machine.cpu, machine.bf16, machine.kind, machine.gpu, packages)


# --- the baseline ---


@pytest.mark.parametrize(
    ("machine", "name", "why"),
    [
        (LAPTOP, "float32", "Intel Core i5-8250U has no bf16 instructions"),
        (OLD, "float32", "Intel Xeon E5 has no bf16 instructions"),
        (SERVER, "bfloat16", "AMD EPYC 9354 has bf16 instructions"),
        (ARM, "bfloat16", "aarch64 has bf16 instructions"),
        (T4, "float16", "Tesla T4 (compute capability 7.5) computes in it natively, and not in bfloat16"),
        (V100, "float16", "Tesla V100-SXM2-16GB (compute capability 7.0) computes in it natively, and not in bfloat16"),
        (PASCAL, "float32", "GTX 1080 (compute capability 6.1) computes in no 16-bit format at full speed"),
        (A100, "bfloat16", "NVIDIA A100-SXM4-40GB (compute capability 8.0) computes in it natively"),
        (H100, "bfloat16", "NVIDIA H100 80GB HBM3 (compute capability 9.0) computes in it natively"),
    ],
)
def test_the_baseline_is_what_the_machine_computes_in(
    machine: Machine, name: str, why: str, config: ConfigFolder
) -> None:
    study = config.resolved(machine=machine, baseline="auto", precisions=["auto", "nf4-language"])
    assert study["baseline"] == name
    assert study["precisions"] == [name, "nf4-language"]
    (remark, *_) = study["machine"]["remarks"]
    assert remark.startswith(f"The baseline is {name} (baseline: auto), because ") and remark.endswith(f"{why}.")
    groups = study["assignments"]["demo-vlm"]["nf4-language"]
    assert (groups["vision"]["format"], groups["language"]["format"]) == (name, "bnb-nf4")
    assert study == config.resolved(machine=machine, baseline="auto", precisions=["auto", "nf4-language"])


def test_a_study_on_the_processor_goes_by_the_processor(config: ConfigFolder) -> None:
    assert config.resolved(machine=A100, baseline="auto", device="cpu")["baseline"] == "float32"
    assert config.resolved(machine=T4, baseline="auto", device="cuda")["baseline"] == "float16"


@pytest.mark.parametrize(
    ("named", "found"),
    [
        (["int8-language"], ["float32", "int8-language"]),
        (["int8-language", "auto"], ["int8-language", "float32"]),
        (["auto", "bfloat16", "float32"], ["float32", "bfloat16"]),
        (["bfloat16", "int8-language"], ["float32", "bfloat16", "int8-language"]),
        (None, ["float32", "int8-language", "int8-vision", "int8-language-vision"]),
    ],
)
def test_the_baseline_takes_its_place_among_the_precisions(
    named: list[str] | None, found: list[str], config: ConfigFolder
) -> None:
    study = config.resolved(machine=LAPTOP, baseline="auto", precisions=named)
    assert (study["baseline"], study["precisions"]) == ("float32", found)


def test_auto_among_the_precisions_is_the_baseline(config: ConfigFolder) -> None:
    assert config.resolved(machine=SERVER, precisions=["auto", "int8-language"])["baseline"] == "bfloat16"
    study = config.resolved(machine=SERVER, baseline="float16", precisions=["auto", "int8-language"])
    assert study["precisions"] == ["float16", "int8-language"] and study["machine"] is None


def test_where_auto_cannot_stand_is_one_sentence(config: ConfigFolder) -> None:
    config.write_study(baseline="auto", device="cuda")
    with pytest.raises(UserError, match="goes by the GPU, and none is to be seen from here; name float16 or") as caught:
        load_studies({"study": "mine"}, machine=LAPTOP)
    assert is_one_sentence(str(caught.value))
    detection = {"track": "detection", "dataset": {"name": "demo-boxes"}, "models": ["demo-detector"]}
    said = config.refusal(baseline="auto", **detection)
    assert "LiteRT computes in float32 everywhere, so there is no `auto`; name a precision" in said


def test_auto_is_suggested(config: ConfigFolder) -> None:
    assert config.refusal(baseline="atuo") == (
        "config/studies/mine.yaml: there is no precision 'atuo'; did you mean auto?"
    )


def test_no_precision_may_be_called_auto(config: ConfigFolder) -> None:
    config.add("precisions", auto={"all": "float16"})
    assert config.refusal() == "config/precisions.yaml: 'auto' is a reserved name; choose another."


# --- what is left out ---


@pytest.mark.parametrize(
    ("machine", "float_format", "left_out"),
    [
        (LAPTOP, "float32", {INT4: "torchao-int4 takes 68 times as long as float32 for a prompt on this kind of pro"}),
        (LAPTOP, "bfloat16", {}),
        (LAPTOP, "float16", {INT4: "torchao-int4 takes 21 times as long as float16"}),
        (SERVER, "bfloat16", {}),
        (SERVER, "float32", {INT4: "torchao-int4 takes 70 times as long as float32"}),
        (ARM, "float32", {}),  # where nothing was timed nothing is said
        (T4, "float16", {INT4: "torchao-int4: it has no kernel for Tesla T4 (compute capability 7.5), and needs 8.0"}),
        (A100, "bfloat16", {}),
        (A100, "float16", {INT4: "torchao-int4: its kernels on a GPU compute in bfloat16 only, not beside float16"}),
        (
            V100,
            "float16",
            {
                "int8-language": "bnb-int8: it has no kernel for Tesla V100-SXM2-16GB (compute capability 7.0), and "
                "needs 7.5 or later",
                INT4: "torchao-int4: it has no kernel for Tesla V100",
            },
        ),
        (H100, "bfloat16", {}),
        (without(A100, "torchao"), "bfloat16", {INT4: "torchao-int4: it needs the package torchao, which is not inst"}),
    ],
)
def test_what_cannot_run_or_crawls_is_left_out_with_its_reason(
    machine: Machine, float_format: str, left_out: dict[str, str], config: ConfigFolder
) -> None:
    named = [float_format, "int8-language", "nf4-language", "rtn-4-language", INT4]
    told: list[str] = []
    study = config.resolved(machine=machine, tell=told.append, precisions=named, on_unusable="skip")
    found = study["machine"]["left_out"]
    assert list(found) == list(left_out)
    for name, reason in left_out.items():
        assert found[name].startswith(reason)
        assert f"mine: {name} is left out: {found[name]}." in told
    kept = [name for name in named if name not in left_out]
    assert study["precisions"] == list(study["assignments"]["demo-vlm"]) == kept
    assert {precision for _, precision, _ in plan.cells(study)} == set(kept)
    json.dumps(study)


def test_a_study_that_insists_is_refused_before_anything_is_downloaded(config: ConfigFolder) -> None:
    config.write_study(precisions=["float16", INT4])
    with pytest.raises(UserError) as caught:
        load_studies({"study": "mine"}, machine=T4)
    assert str(caught.value) == (
        f"config/studies/mine.yaml: {INT4} cannot run here: torchao-int4: it has no kernel for Tesla T4 (compute "
        "capability 7.5), and needs 8.0 or later; leave it out, set `on_unusable: skip`, or name the `device` if the "
        "study runs on another machine."
    )


def test_a_study_that_insists_on_what_crawls_is_told_so(config: ConfigFolder) -> None:
    told: list[str] = []
    study = config.resolved(machine=LAPTOP, tell=told.append, precisions=["float32", INT4])
    assert study["precisions"] == ["float32", INT4] and study["machine"] is None
    (said,) = told
    assert (
        said.startswith("mine: By the design of their kernels some formats are slow") and "torchao-int4 68 and" in said
    )


@pytest.mark.parametrize(
    ("machine", "name", "said"),
    [
        (LAPTOP, "bfloat16", "without bf16 instructions, bfloat16 is about five times slower than float32 for images"),
        (OLD, "bfloat16", "without bf16 instructions, bfloat16 is slower than float32 for images and prompts."),
        (LAPTOP, "float16", "float16 is three to four times slower than float32 for images and prompts."),
        (SERVER, "float16", "float16 is three to four times slower than float32 for images and prompts."),
        (SERVER, "bfloat16", None),
        (LAPTOP, "float32", None),
        (T4, "bfloat16", "On Tesla T4 (compute capability 7.5), bfloat16 is emulated, where float16 is native."),
        (A100, "bfloat16", None),
        (A100, "float16", None),
    ],
)
def test_insisting_on_a_float_format_has_its_price(
    machine: Machine, name: str, said: str | None, config: ConfigFolder
) -> None:
    told: list[str] = []
    config.resolved(machine=machine, tell=told.append, precisions=[name, "rtn-4-language"])
    assert (said in told[0]) if said else not told


def test_a_kernel_of_another_device_is_left_out(config: ConfigFolder) -> None:
    language = {"track": "lambada", "dataset": {"name": "demo-passages", "subset": 9}, "models": ["demo-lm"]}
    named = ["auto", "gptq-8", "gptq-3", "gptq-8-int8-kernel", "gptq-4-marlin"]
    asked: dict[str, Any] = {"precisions": named, "on_unusable": "skip", **language}
    assert config.resolved(machine=LAPTOP, **asked)["machine"]["left_out"] == {
        "gptq-8-int8-kernel": "gptq-8 (kernel torch-int8) takes 32 times as long as float32 for a prompt on this kind "
        "of processor",
        "gptq-4-marlin": "gptq-4: its kernel marlin does not run on a processor",
    }
    assert config.resolved(machine=A100, **asked)["precisions"] == ["bfloat16", "gptq-8", "gptq-3", "gptq-4-marlin"]
    old = config.resolved(machine=PASCAL, **asked | {"precisions": [*named, "rtn-4"]})
    assert old["precisions"] == ["float32", "rtn-4"]
    assert old["machine"]["left_out"]["gptq-8"] == "gptq-8: its kernel torch does not compute in float32 on cuda"


def test_a_precision_of_another_float_format_cannot_stand_beside_an_automatic_baseline(config: ConfigFolder) -> None:
    config.add("precisions", mixed={"language": "bnb-int8", "vision": "float16"})
    asked = {"baseline": "auto", "precisions": ["auto", "mixed", "int8-language"]}
    study = config.resolved(machine=SERVER, on_unusable="skip", **asked)
    reason = "bfloat16 and float16 cannot stand in one model, whose activations have one dtype"
    assert study["machine"]["left_out"] == {"mixed": reason}
    assert config.resolved(machine=T4, on_unusable="skip", **asked)["machine"]["left_out"] == {}
    config.write_study(**asked)
    with pytest.raises(UserError, match="float16 cannot stand in one model"):
        load_studies({"study": "mine"}, machine=SERVER)


def test_an_ablation_in_a_format_that_cannot_run_is_left_out_whole(config: ConfigFolder) -> None:
    study = config.resolved(
        machine=T4, precisions=["float16", "int8-language"], ablation={"format": "torchao-int4"}, on_unusable="skip"
    )
    assert study["precisions"] == ["float16", "int8-language"] and "ablation" not in study
    assert "every-group-torchao-int4" in study["machine"]["left_out"]


def test_a_study_of_which_nothing_is_left_is_refused(config: ConfigFolder) -> None:
    config.write_study(precisions=["auto", INT4], on_unusable="skip")
    with pytest.raises(UserError, match="nothing is left to compare with float16, as no other") as caught:
        load_studies({"study": "mine"}, machine=T4)
    assert is_one_sentence(str(caught.value))


# --- a study that has been begun ---


def begun(config: ConfigFolder, machine: Machine, *done: str, **keys: Any) -> dict[str, Any]:
    """The study as it was resolved on a machine, with results of these precisions."""
    study = config.resolved(machine=machine, **keys)
    folder = Path("results/mine")
    for precision in done:
        (folder / "demo-vlm" / precision).mkdir(parents=True)
        (folder / "demo-vlm" / precision / "audit.json").write_text("{}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.resolved.yaml").write_text(yaml.safe_dump(study))
    return study


AUTO = {"precisions": ["auto", "int8-language", INT4], "on_unusable": "skip"}


def test_a_study_that_is_moved_stays_as_it_was(config: ConfigFolder) -> None:
    """So that it is told again anywhere, and nothing is made in another float format without being asked for."""
    before = begun(config, T4, "float16", "int8-language", **AUTO)
    for machine in (LAPTOP, SERVER, A100, without(LAPTOP, "bitsandbytes")):
        told: list[str] = []
        assert config.resolved(machine=machine, tell=told.append, **AUTO) == before
        here = sensible.baseline(machine, machine.device("auto"))[0]
        assert told[0] == (
            "mine was begun on Tesla T4 (compute capability 7.5), where `baseline: auto` is float16, and keeps it; "
            f"here it is {here}: delete results/mine/study.resolved.yaml to make everything again."
        )


def test_what_a_new_machine_cannot_run_is_left_out_unless_it_is_there(config: ConfigFolder) -> None:
    begun(config, A100, "bfloat16", "int8-language", **AUTO)
    study = config.resolved(machine=T4, **AUTO)
    assert study["precisions"] == ["bfloat16", "int8-language"] and INT4 in study["machine"]["left_out"]
    begun(config, A100, INT4, **AUTO)
    assert config.resolved(machine=T4, **AUTO)["precisions"] == ["bfloat16", "int8-language", INT4]


def test_what_is_there_is_not_refused_either(config: ConfigFolder) -> None:
    named = {"precisions": ["bfloat16", INT4]}
    begun(config, A100, INT4, **named)
    assert config.resolved(machine=T4, **named)["precisions"] == ["bfloat16", INT4]


def test_the_same_machine_takes_in_what_has_become_possible(config: ConfigFolder) -> None:
    study = begun(config, without(LAPTOP, "bitsandbytes"), **AUTO | {"precisions": ["auto", "nf4-language", "rtn-4"]})
    assert study["precisions"] == ["float32", "rtn-4"]
    found = config.resolved(machine=LAPTOP, **AUTO | {"precisions": ["auto", "nf4-language", "rtn-4"]})
    assert found["precisions"] == ["float32", "nf4-language", "rtn-4"]


def test_results_beside_another_baseline_are_told_to_be_made_again(config: ConfigFolder) -> None:
    begun(config, LAPTOP, "bfloat16", "int8-language", precisions=["bfloat16", "int8-language"])
    told: list[str] = []
    assert config.resolved(machine=LAPTOP, tell=told.append, **AUTO)["baseline"] == "float32"
    assert told[0] == (
        "mine has results beside bfloat16, and `baseline: auto` is float32 here, so everything is made again: name "
        "`baseline: bfloat16` in the study to keep them."
    )


def test_another_device_in_the_study_is_a_decision_of_its_own(config: ConfigFolder) -> None:
    begun(config, A100, "bfloat16", **AUTO)
    assert config.resolved(machine=A100, device="cpu", **AUTO)["baseline"] == "float32"


# --- what formats say of themselves ---


@pytest.mark.parametrize(("name", "missing"), [("bnb-int8", "bitsandbytes"), ("gptq-4", "gptqmodel")])
def test_a_missing_package_is_named(name: str, missing: str) -> None:
    options = {key: rule["default"] for key, rule in format_of(name).options.items()}
    reason = format_of(name).unfit(options, "bfloat16", without(SERVER, missing), "cpu")
    assert reason == f"it needs the package {missing}, which is not installed here"
    assert missing in sensible.packages()


def test_only_who_tells_of_a_study_is_told_what_the_machine_decided(config: ConfigFolder) -> None:
    """Or a sentence of it would make everything again."""
    study = config.resolved(machine=T4, **AUTO)
    job = {"model": "demo-vlm", "precision": "int8-language", "condition": "zero-shot", "repeat": 1}
    for script in ("quantize_model", "predict", "score", "measure_efficiency", "compare_precisions"):
        assert "T4" not in json.dumps(spec.of(script, study, job))
    for script in ("summarize_study", "recommend_precision"):
        assert INT4 in spec.of(script, study, job)["machine"]["left_out"]
    assert "machine" not in spec.of("summarize_study", config.resolved(machine=T4, precisions=["float16"]), job)


@pytest.mark.parametrize(("on_gpus", "left_out"), [(False, True), (True, False), (None, False)])
def test_a_build_of_llama_cpp_for_processors_is_left_out_on_a_gpu(
    on_gpus: bool | None, left_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bitbudget.runtimes.llama_cpp import library

    monkeypatch.setattr(library, "computes_on_gpus", lambda: on_gpus)  # None: it is of another environment
    reason = format_of("gguf-q4_0").unfit({}, "float16", T4, "cuda")
    assert (reason or "").startswith("this build of xllamacpp computes on the CPU alone") == left_out
    assert format_of("gguf-q4_0").unfit({}, "float32", LAPTOP, "cpu") is None


def test_llama_cpp_has_no_beams(config: ConfigFolder) -> None:
    named = {"precisions": ["bfloat16", "gguf-q8_0"], "baseline": "bfloat16"}
    said = config.refusal(**named, generation={"num_beams": 2})
    assert "llama.cpp decodes greedily here: set `num_beams: 1`" in said
