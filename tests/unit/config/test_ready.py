"""Ready checkpoints as precisions of a study: what they resolve to, and one sentence for every mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_folder import ConfigFolder

from bitbudget.config import plan, spec
from bitbudget.config.ready import sources
from bitbudget.config.study import load_studies
from bitbudget.errors import UserError
from bitbudget.system.machine import Machine

MINE = "config/studies/mine.yaml"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigFolder:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").write_text("{}")
    (tmp_path / "mine.tflite").write_bytes(b"TFL3")
    (tmp_path / "mine.gguf").write_bytes(b"GGUF")
    return ConfigFolder(tmp_path)


def ready(checkpoint: Any, name: str = "theirs", **more: Any) -> dict[str, Any]:
    return {"precisions": ["float16", {"name": name, "checkpoint": checkpoint} | more]}


@pytest.mark.parametrize(
    ("checkpoint", "source"),
    [
        ("owner/name-AWQ", {"hub": "owner/name-AWQ", "revision": ""}),
        ("owner/name-AWQ@v1.0", {"hub": "owner/name-AWQ", "revision": "v1.0"}),
        ("mine", {"local": "mine"}),
        ("./mine", {"local": "mine"}),
    ],
)
def test_a_checkpoint_is_a_repository_or_a_folder(config: ConfigFolder, checkpoint: str, source: dict) -> None:
    study = config.resolved(**ready(checkpoint))
    assert study["precisions"] == ["float16", "theirs"]
    found = study["ready"]["theirs"]["demo-vlm"]
    assert source.items() <= found.items()
    assert set(study["assignments"]["demo-vlm"]["theirs"]["vision"].items()) == {
        ("format", "as-is"),
        ("checkpoint", checkpoint),
    }
    assert sources({"mine": study})[found["folder"]]["family"] == "llava"


@pytest.mark.parametrize(
    ("checkpoint", "source"),
    [
        ("./mine.gguf", {"local": "mine.gguf", "gguf": "mine.gguf"}),
        ("owner/name-GGUF:q4.gguf", {"hub": "owner/name-GGUF", "revision": "", "gguf": "q4.gguf"}),
        ("owner/name@v1.0:some/q4.gguf", {"hub": "owner/name", "revision": "v1.0", "gguf": "some/q4.gguf"}),
    ],
)
def test_a_gguf_file_holds_what_reads_and_the_rest_keeps_the_baselines_format(
    config: ConfigFolder, checkpoint: str, source: dict
) -> None:
    study = config.resolved(machine=Machine("made up", bf16=False), **ready(checkpoint))
    found = study["ready"]["theirs"]["demo-vlm"]
    assert source.items() <= found.items() and sources({"mine": study})[found["folder"]]["family"] == "llava"
    groups = study["assignments"]["demo-vlm"]["theirs"]
    assert {name: one["format"] for name, one in groups.items()} == {
        **dict.fromkeys(groups, "gguf-as-is"), **dict.fromkeys(("vision", "audio", "projector"), "float16"),
    }  # fmt: skip
    assert groups["language"]["checkpoint"] == checkpoint
    assert "bitbudget.runtimes.llama_cpp.formats" in plan.modules(study, "demo-vlm", "theirs")
    assert plan.files_of(found) == ([source["local"]] if "local" in source else [])
    assert spec.of("adopt_checkpoint", study, {"model": "demo-vlm", "precision": "theirs"})["dtype"] == "float16"


def test_a_gguf_file_may_be_the_baseline_of_models_that_only_read(config: ConfigFolder) -> None:
    language = {"track": "lambada", "dataset": {"name": "demo-passages", "subset": 4}, "models": ["demo-lm"]}
    study = config.resolved(machine=Machine("made up", bf16=False), baseline="theirs", **language, **ready("mine.gguf"))
    assert {one["format"] for one in study["assignments"]["demo-lm"]["theirs"].values()} == {"gguf-as-is"}
    assert spec.of("adopt_checkpoint", study, {"model": "demo-lm", "precision": "theirs"})["dtype"] == "auto"


@pytest.mark.parametrize("package", ["xllamacpp", "gguf"])
def test_a_gguf_file_needs_what_runs_it_and_no_more(config: ConfigFolder, package: str) -> None:
    without = Machine("made up", bf16=False, missing=(package,))
    said = f"theirs cannot run here: gguf-as-is: it needs the package {package}, which is not installed here"
    with pytest.raises(UserError, match=said):
        config.resolved(machine=without, on_unusable="fail", **ready("mine.gguf"))
    precisions = ["float16", "int8-language", {"name": "theirs", "checkpoint": "mine.gguf"}]
    study = config.resolved(machine=without, on_unusable="skip", precisions=precisions)
    assert "theirs" not in study["precisions"] and "theirs" in study["machine"]["left_out"]
    config.resolved(machine=Machine("made up", bf16=False, missing=("cyllama", "conversion")), **ready("mine.gguf"))


def test_it_is_loaded_in_the_baselines_dtype_or_in_its_own_where_it_is_the_baseline(config: ConfigFolder) -> None:
    cell = {"model": "demo-vlm", "precision": "theirs"}
    study = config.resolved(**ready("mine"))
    assert spec.of("adopt_checkpoint", study, cell)["dtype"] == "float16"
    assert not spec.simulated(study, cell)
    study = config.resolved(baseline="theirs", **ready("mine"))
    assert spec.of("adopt_checkpoint", study, cell)["dtype"] == "auto"
    assert study["assignments"]["demo-vlm"]["float16"]["vision"] == {"format": "float16"}


def test_a_new_weight_file_or_chat_template_is_noticed(config: ConfigFolder) -> None:
    for name in ("model.safetensors", "chat_template.jinja"):
        Path("mine", name).touch()
    study = config.resolved(**ready("mine"))
    found = plan.files_of(study["ready"]["theirs"]["demo-vlm"])
    assert found == ["mine/chat_template.jinja", "mine/config.json", "mine/model.safetensors"]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (ready("./gone"), f"{MINE}: the checkpoint of theirs is to come from ./gone, which does not exist; correct"),
        (ready("./config"), "is to come from ./config, which has no config.json; correct the path."),
        (
            ready("gone.gguf"),
            "is to come from gone.gguf, which does not exist; correct the path, or name a file",
        ),
        (ready("owner/name-GGUF"), "which has GGUF files, and names none of them; write `owner/name-GGUF:file.gguf`."),
        (
            {"baseline": "theirs", **ready("mine.gguf")},
            f"{MINE}: the file of theirs does not hold vision, which keeps the baseline's format, and the baseline",
        ),
        (
            {"generation": {"num_beams": 2}, **ready("mine.gguf")},
            f"{MINE}, theirs: llama.cpp decodes greedily here: set `num_beams: 1`",
        ),
        (ready("just-a-name"), "the checkpoint of theirs is 'just-a-name', which is no folder, and no `org/name` of"),
        (ready("mine", "float32"), "needs a name of its own, and 'float32' config/precisions.yaml has; rename it."),
        (ready("mine", "figures"), "'figures' is a reserved name; choose another for this precision."),
        (ready("mine", "auto"), "'auto' is a reserved name; choose another for this precision."),
        (ready("mine/config.json"), "which is a file, and no folder with config.json and weights; name such a folder"),
        (ready(""), "`checkpoint` of entry 2 of `precisions` is '', and must not be empty."),
        (ready("mine", "Theirs"), "`name` of entry 2 of `precisions` is 'Theirs', which does not fit: A name of"),
        (ready("mine", revision="x"), "there is no key `revision` in entry 2 of `precisions`"),
        ({"precisions": ["float16", {"name": "theirs"}]}, "the key `checkpoint` is missing in entry 2 of `precisions`"),
        (ready({"demo-lm": "mine"}), "names 'demo-lm', which is no model of this study; did you mean demo-vlm?"),
        (
            {"baseline": "theirs", "precisions": ["int8-language", {"name": "theirs", "checkpoint": "mine"}]},
            "keeps the baseline's format, and the baseline theirs is a ready checkpoint; name every group",
        ),
    ],
)
def test_a_mistake_is_one_sentence(config: ConfigFolder, keys: dict[str, Any], sentence: str) -> None:
    assert sentence in config.refusal(**keys)


def test_a_study_of_two_models_says_whose_a_checkpoint_is(config: ConfigFolder) -> None:
    entry = {"local": "demo/models/demo-vlm", "family": "llava", "licence": "MIT"}
    config.add("models", other=entry)
    both = {"models": ["demo-vlm", "other"]}
    assert "name one of each, as in `checkpoint: {demo-vlm: mine, …}`" in config.refusal(**both, **ready("mine"))
    assert "is missing for the model other" in config.refusal(**both, **ready({"demo-vlm": "mine"}))
    study = config.resolved(**both, **ready({"demo-vlm": "mine", "other": "owner/name"}))
    assert study["ready"]["theirs"]["other"]["hub"] == "owner/name"
    assert len(sources({"mine": study})) == 2


def test_one_name_means_the_same_in_all_studies_of_a_run(config: ConfigFolder) -> None:
    config.write_study("mine", **ready("mine", "only-vision-bnb-int8"))
    config.write_study("other", ablation={"format": "bnb-int8"}, precisions=["float16"])
    said = config.refusal({"study": ["mine", "other"]})
    assert "'only-vision-bnb-int8' is a ready checkpoint in the study mine, and not in other" in said


def test_no_precision_is_made_as_is(config: ConfigFolder) -> None:
    config.add("precisions", own={"language": "as-is"})
    assert "as-is cannot work: it is of ready checkpoints, which a study's `precisions` name as" in config.refusal(
        precisions=["float16", "own"]
    )


def test_a_ready_tflite_file_is_a_precision_of_a_detector(config: ConfigFolder) -> None:
    detection = {"track": "detection", "dataset": {"name": "demo-boxes"}, "models": ["demo-detector"]}
    study = config.resolved(
        **detection,
        **ready("mine.tflite") | {"precisions": ["litert-float32", {"name": "theirs", "checkpoint": "mine.tflite"}]},
    )
    assert study["assignments"]["demo-detector"]["theirs"]["detector"]["format"] == "litert-as-is"
    assert next(iter(sources({"mine": study}).values()))["family"] == "tflite"
    gone = {"precisions": ["litert-float32", {"name": "theirs", "checkpoint": "gone.tflite"}]}
    assert "which is no .tflite file; correct the path." in config.refusal(**detection, **gone)


def test_studies_that_are_run_together_share_a_download(config: ConfigFolder) -> None:
    config.write_study("mine", **ready("owner/name"))
    config.write_study("other", **ready("owner/name", "else"))
    assert len(sources(load_studies({"study": ["mine", "other"]}))) == 1
