"""A study, resolved: what every wrong name and every impossible combination is answered with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_folder import ROOT, ConfigFolder

from bitbudget.config import plan, spec
from bitbudget.config.run import refuse_no_folders, summary_lines
from bitbudget.config.study import load_studies
from bitbudget.config.validate import read_yaml
from bitbudget.errors import UserError

HUB_MODEL: dict[str, Any] = {"hub": "owner/name", "family": "llava", "licence": "MIT"}
MINE = "config/studies/mine.yaml"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigFolder:
    monkeypatch.chdir(tmp_path)
    return ConfigFolder(tmp_path)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "config/studies").glob("*.yaml")))
def test_every_study_of_the_repository_resolves_or_asks_for_a_licence(
    name: str, config: ConfigFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = read_yaml(Path("config/models.yaml"))
    study = read_yaml(Path(f"config/studies/{name}.yaml"))
    if any(models[model].get("restricted") for model in study["models"]) and "accept_licences" not in study:
        assert "restricted licence" in config.refusal({"study": name})
    else:
        assert load_studies({"study": name})[name]["study"] == name


@pytest.mark.parametrize(("named", "items"), [({}, 0), ({"spot_check": 12}, 12)])
def test_captions_are_rated_where_a_study_names_a_number(config: ConfigFolder, named: dict, items: int) -> None:
    config.write_study("mine", **named)
    study = load_studies({"study": "mine"})["mine"]
    assert study["track"] == "captioning" and study["spot_check"] == items
    made, rated = spec.of("make_spot_check", study, {}), spec.of("read_ratings", study, {})
    assert (made["spot_check"], made["prompt"], rated["primary_range"]) == (items, study["prompt"], None)


@pytest.mark.parametrize(
    "key", ["seed", "batch_size", "shard_size", "images.max_side", "dataset.subset", "measure.items"]
)
def test_a_whole_number_has_no_decimal_point(config: ConfigFolder, key: str) -> None:
    outer, _, inner = key.partition(".")
    named = {"name": "demo-scenes"} if outer == "dataset" else {}
    said = config.refusal(**{outer: named | {inner: 16.0} if inner else 16.0})
    assert f"`{key}` is 16.0, and must be a whole number" in said


@pytest.mark.parametrize("table", ["models", "precisions", "datasets"])
@pytest.mark.parametrize("content", ["[]", "0", "false", "''", "[a]"])
def test_a_table_that_is_no_mapping_is_refused(config: ConfigFolder, table: str, content: str) -> None:
    Path(f"config/{table}.yaml").write_text(content)
    assert f"config/{table}.yaml: it is " in config.refusal() and "must be a mapping" in config.refusal()


def test_a_study_outside_its_folder_is_told_the_studies_that_there_are(config: ConfigFolder) -> None:
    assert "known are bunny-vqav2, " in config.refusal({"study": "../x"})


def test_a_list_of_studies_keeps_its_order(config: ConfigFolder) -> None:
    assert list(load_studies({"study": ["mine", "demo-captioning"]})) == ["mine", "demo-captioning"]


def test_an_unknown_study_suggests_the_closest(config: ConfigFolder) -> None:
    wanted = (
        "there is no study 'demo-captoning' (config/studies/demo-captoning.yaml does not exist); "
        "did you mean demo-captioning?"
    )
    assert config.refusal({"study": "demo-captoning"}) == wanted
    assert "'a/../b'" in config.refusal({"study": "a/../b"})


@pytest.mark.parametrize("name", ["Mine", "my study", "my_study"])
def test_a_study_with_capitals_or_blanks_is_refused(name: str, config: ConfigFolder) -> None:
    config.write_study(name)
    wanted = f"config/studies/{name}.yaml: `study` is '{name}', which does not fit: The study's name: small letters"
    assert config.refusal({"study": name}).startswith(wanted)


def test_a_study_in_a_folder_is_refused(config: ConfigFolder) -> None:
    Path("config/studies/a").mkdir()
    config.write_study("a/b")
    assert "`study` is 'a/b', which does not fit" in config.refusal({"study": "a/b"})


def test_a_study_of_another_name_than_its_file_is_refused(config: ConfigFolder) -> None:
    Path(MINE).write_text(Path(MINE).read_text().replace("study: mine", "study: yours"))
    assert config.refusal() == f"{MINE}: `study` is 'yours', and must be the file's name, 'mine'."


def test_an_empty_study_file_says_what_is_missing(config: ConfigFolder) -> None:
    Path(MINE).write_text("")
    assert config.refusal() == f"{MINE}: the key `study` is missing; add it."


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"track": "captionning"}, "there is no track 'captionning'; did you mean captioning?"),
        (
            {"models": ["demo-vml"]},
            "there is no model 'demo-vml' in config/models.yaml; did you mean demo-vlm?",
        ),
        ({"precisions": ["int8-langauge"]}, "there is no precision 'int8-langauge'; did you mean int8-language?"),
        ({"dataset": {"name": "demo-scene"}}, "there is no data set 'demo-scene' (files of your own need"),
        ({"dataset": {"name": "photos"}}, "there is no data set 'photos' (files of your own need `kind: local"),
        (
            {"dataset": {"name": "photos", "kind": "local-caption"}},
            "there is no kind of data set 'local-caption'; did you mean local-captions?",
        ),
        (
            {"dataset": {"name": "nocaps", "kind": "local-captions"}},
            "data set 'nocaps' is of kind nocaps in config/datasets.yaml; choose another name for your own.",
        ),
        (
            {"dataset": {"name": "demo-scenes", "split": "test"}},
            "data set 'demo-scenes' has no split 'test'; choose one of val.",
        ),
        (
            {"dataset": {"name": "demo-scenes", "options": {"image": 3}}},
            "options of data set 'demo-scenes': there is no key `image`; did you mean `images`?",
        ),
        (
            {"dataset": {"name": "demo-scenes", "options": {"images": 0}}},
            "options of data set 'demo-scenes': `images` is 0, and must be at least 1 (How many pictures to make",
        ),
        (
            {"dataset": {"name": "photos", "kind": "local-captions", "options": {"images": "x"}}},
            "options of data set 'photos': the key `annotations` is missing; add it.",
        ),
        (
            {"dataset": {"name": "set", "kind": "hub-captions", "options": {"repo": "a/b"}}},
            "data set 'set' needs its split; add `split` to the study's dataset.",
        ),
        (
            {"dataset": {"name": "demo-scenes", "subset": {"ids": "no/ids.txt"}}},
            "the ids file no/ids.txt does not exist; write one id a line, or give a number.",
        ),
        (
            {"conditions": ["zero-shots"]},
            "track captioning has no condition 'zero-shots'; choose zero-shot.",
        ),
        (
            {"baseline": "bfloat16", "precisions": ["float16"]},
            "the baseline 'bfloat16' is not among the study's precisions; add it.",
        ),
        (
            {"models": ["llava-1.5-7b"]},
            "model 'llava-1.5-7b' stands under the restricted licence llama2; read it, and add "
            "`accept_licences: [llava-1.5-7b]` to the study if you accept its terms.",
        ),
    ],
)
def test_a_wrong_name_or_combination_is_one_sentence(keys: dict, sentence: str, config: ConfigFolder) -> None:
    found = config.refusal(**keys)
    assert found.startswith(MINE)
    assert found.removeprefix(MINE).lstrip(":, ").startswith(sentence)


def test_do_sample_and_no_beams_are_refused(config: ConfigFolder) -> None:
    assert "`generation.do_sample` is true, and must be false" in config.refusal(generation={"do_sample": True})
    assert "`generation.num_beams` is 0, and must be at least 1" in config.refusal(generation={"num_beams": 0})


def test_a_restricted_licence_that_is_accepted_passes(config: ConfigFolder) -> None:
    assert "llava-1.5-7b" in config.resolved(models=["llava-1.5-7b"], accept_licences=["llava-1.5-7b"])["models"]


def test_accepting_a_licence_of_no_model_of_the_study_is_refused(config: ConfigFolder) -> None:
    wanted = (
        f"{MINE}: `accept_licences` names 'llava-1.5-7', which is no model of this study; remove it, or correct it."
    )
    assert config.refusal(accept_licences=["llava-1.5-7"]) == wanted


def test_a_local_model_that_is_not_there_is_refused(config: ConfigFolder) -> None:
    config.add("models", gone={"local": "no/such", "family": "llava", "licence": "MIT"})
    wanted = "config/models.yaml: model 'gone' is to come from no/such, which {}; correct its `local` path."
    assert config.refusal(models=["gone"]) == wanted.format("does not exist")
    Path("no/such").mkdir(parents=True)
    assert config.refusal(models=["gone"]) == wanted.format("has no config.json")


def test_an_unknown_family_is_refused(config: ConfigFolder) -> None:
    config.add("models", odd=HUB_MODEL | {"family": "lava"})
    wanted = "config/models.yaml: model 'odd' is of family 'lava', which does not exist; did you mean llava?"
    assert config.refusal(models=["odd"]) == wanted


@pytest.mark.parametrize("name", ["images", "figures"])
def test_a_model_named_as_a_folder_of_the_study_is_refused(name: str, config: ConfigFolder) -> None:
    config.add("models", **{name: HUB_MODEL})
    assert config.refusal(models=[name]) == f"config/models.yaml: {name!r} is a reserved name; choose another."


def test_a_precision_named_as_a_folder_of_the_study_is_refused(config: ConfigFolder) -> None:
    config.add("precisions", checkpoint={"all": "float16"})
    wanted = "config/precisions.yaml: 'checkpoint' is a reserved name; choose another."
    assert config.refusal(precisions=["checkpoint"]) == wanted


def test_two_studies_may_not_read_one_data_set_in_two_ways(config: ConfigFolder) -> None:
    config.write_study("one", dataset={"name": "demo-scenes", "options": {"images": 30}})
    wanted = (
        "the studies one and mine give data set 'demo-scenes' different options; "
        "give one of the two another name (with its `kind`)."
    )
    assert config.refusal({"study": ["one", "mine"]}) == wanted
    config.write_study("one", dataset={"name": "few-scenes", "kind": "demo-scenes", "options": {"images": 30}})
    assert len(load_studies({"study": ["one", "mine"]})) == 2


def test_a_missing_table_is_named(config: ConfigFolder) -> None:
    Path("config/models.yaml").unlink()
    assert config.refusal() == "config/models.yaml does not exist; write it, or name another file."


def test_options_of_the_study_stand_over_those_of_the_table(config: ConfigFolder) -> None:
    data = config.resolved(dataset={"name": "demo-scenes", "options": {"images": 30}})["dataset"]
    assert data["options"] == {"images": 30, "seed": 0}
    assert data["licence"] == "CC0-1.0"


def test_a_data_set_of_ones_own_needs_no_entry(config: ConfigFolder) -> None:
    Path("ids.txt").write_text("1\n")
    Path("photos").mkdir()
    Path("photos/captions.json").write_text("{}")
    options = {"images": "photos", "annotations": "photos/captions.json"}
    own = {"name": "photos", "kind": "local-captions", "options": options, "subset": {"ids": "ids.txt"}}
    data = config.resolved(dataset=own)["dataset"]
    assert (data["split"], data["options"]) == ("all", options)


def test_the_summary_names_what_differs_between_rows(config: ConfigFolder) -> None:
    study = config.resolved(precisions=["float16", "nf4-language"])
    Path("results/mine").mkdir(parents=True)
    table = Path("results/mine/summary.csv")
    head = "model,condition,precision,CIDEr,size_on_disk_MB,throughput_batch_8_items_per_s\n"
    table.write_text(head + "m,zero-shot,float16,0.91234,12.5,0.1\nm,zero-shot,nf4-language,0.9,,\n")
    assert summary_lines({"mine": study}) == [
        "",
        "study mine: results/mine/",
        "  precision            CIDEr    MB on disk  images/s (batch 8)",
        "  float16             0.9123          12.5                 0.1",
        "  nf4-language           0.9  not measured        not measured",
        "  table: results/mine/summary.csv   figures: results/mine/figures/",
    ]
    study["models"]["other"] = study["models"]["demo-vlm"]
    table.write_text(head + "m,zero-shot,float16,1,1,1\nother,zero-shot,float16,1,1,1\n")
    assert "  other  float16               1             1                   1" in summary_lines({"mine": study})


def test_the_summary_names_the_score_without_looking(config: ConfigFolder) -> None:
    study = config.resolved(precisions=["float16"])
    Path("results/mine").mkdir(parents=True)
    Path("results/mine/summary.csv").write_text(
        "model,condition,precision,CIDEr,size_on_disk_MB,latency_median_s\nm,zero-shot,float16,1,1,1\n"
    )
    Path("results/mine/blind.json").write_text('{"metrics": {"CIDEr": {"value": 0.1}}}')
    assert "  (without looking)           0.1" in summary_lines({"mine": study})


def test_a_study_without_results_has_no_summary(config: ConfigFolder) -> None:
    assert summary_lines({"mine": config.resolved()}) == []


VQA: dict[str, Any] = {"track": "vqa", "dataset": {"name": "demo-questions"}, "prompt": None}


def test_a_track_brings_its_prompt_its_metric_and_its_spot_check(config: ConfigFolder) -> None:
    captioning, asked = config.resolved(prompt=None), config.resolved(**VQA)
    assert captioning["prompt"] == "Describe the image in one sentence."
    assert asked["prompt"] == "{question}\nAnswer the question using a single word or phrase."
    assert (captioning["primary"], asked["primary"]) == ("CIDEr", "vqa_accuracy")
    assert (captioning["spot_check"], asked["spot_check"]) == (0, 25)


@pytest.mark.parametrize(
    ("dataset", "primary"), [("docvqa", "anls"), ("chartqa", "relaxed_accuracy"), ("vizwiz-vqa", "vqa_accuracy")]
)
def test_a_data_set_may_bring_a_metric_of_its_own(dataset: str, primary: str, config: ConfigFolder) -> None:
    assert config.resolved(**VQA | {"dataset": {"name": dataset}})["primary"] == primary


def test_a_prompt_holds_the_question_where_there_is_one_and_only_there(config: ConfigFolder) -> None:
    said = config.refusal(**VQA | {"prompt": "Answer in a word."})
    assert said == f"{MINE}: `prompt` does not contain {{question}}, so the model would never see the question; add it."
    assert "remove it" in config.refusal(prompt="{question} Describe the image.")


def test_examples_come_from_the_data_sets_training_split_or_the_one_named(config: ConfigFolder) -> None:
    few = VQA | {"conditions": ["zero-shot", "4-shot"]}
    named = {"name": "demo-questions", "shots_split": "val", "subset": 9}
    assert config.resolved(**VQA)["dataset"]["shots_split"] is None
    assert config.resolved(**few)["dataset"]["shots_split"] == "train"
    assert config.resolved(**few | {"dataset": named})["dataset"]["shots_split"] == "val"
    assert "remove it" in config.refusal(**VQA | {"dataset": named})
    everything = few | {"dataset": {"name": "docvqa"}}
    assert "evaluates all of the split 'val', which its few-shot examples" in config.refusal(**everything)
    assert (
        config.resolved(**everything | {"dataset": {"name": "docvqa", "subset": 9}})["dataset"]["shots_split"] == "val"
    )
    wrong = {"name": "demo-questions", "shots_split": "tran"}
    assert "has no split 'tran' to take examples from" in config.refusal(**few | {"dataset": wrong})


@pytest.mark.parametrize("condition", ["0-shot", "04-shot", "few-shot", "-1-shot", "4-shots"])
def test_a_condition_that_is_none_is_refused(condition: str, config: ConfigFolder) -> None:
    wanted = f"has no condition {condition!r}; choose zero-shot, or a number of examples as in 4-shot."
    assert wanted in config.refusal(**VQA | {"conditions": [condition]})


def test_files_of_ones_own_are_of_a_kind_that_serves_the_track(config: ConfigFolder) -> None:
    assert "need `kind: local-vqa` and its `options`" in config.refusal(**VQA | {"dataset": {"name": "mine"}})
    assert "need `kind: local-captions`" in config.refusal(dataset={"name": "my-own"})


def test_measured_answers_are_as_long_as_answers_may_be(config: ConfigFolder) -> None:
    assert config.resolved(generation={"max_new_tokens": 7})["measure"]["new_tokens"] == 7
    assert config.resolved(generation={"max_new_tokens": 1})["measure"]["new_tokens"] == 2
    assert config.resolved(measure={"new_tokens": 5})["measure"]["new_tokens"] == 5


def test_captioning_has_no_few_shot_condition(config: ConfigFolder) -> None:
    assert "track captioning has no condition '4-shot'" in config.refusal(conditions=["4-shot"])


def test_the_summary_of_a_language_study_names_tokens_and_the_score_without_reading(config: ConfigFolder) -> None:
    study = config.resolved(**LANGUAGE)
    Path("results/mine").mkdir(parents=True)
    Path("results/mine/summary.csv").write_text(
        "model,condition,precision,top_1,size_on_disk_MB,tokens_per_s_batch_8\ndemo-lm,zero-shot,bfloat16,0.75,1,250\n"
    )
    Path("results/mine/blind.json").write_text('{"metrics": {"top_1": {"value": 0.01}}}')
    lines = summary_lines({"mine": study})
    assert [line.split() for line in lines[2:5]] == [
        ["precision", "top_1", "MB", "on", "disk", "tokens/s", "(batch", "8)"],
        ["bfloat16", "0.75", "1", "250"],
        ["(without", "reading)", "0.01"],
    ]


LANGUAGE: dict[str, Any] = {
    "track": "lambada",
    "dataset": {"name": "demo-passages", "subset": 40},
    "models": ["demo-lm"],
    "precisions": ["bfloat16", "gptq-4", "rtn-4"],
}


def test_a_language_study_has_no_images_and_a_picture_study_no_last_words(config: ConfigFolder) -> None:
    language, pictures = config.resolved(**LANGUAGE), config.resolved()
    assert "images" not in language and language["prompt"] is None
    assert language["last_word"] == {"top_k": [1, 5, 10], "bos": "auto"}
    assert "last_word" not in pictures and pictures["images"]["max_side"] == 1024


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"images": {"max_side": 64}}, "`images` has no place in the track lambada, whose models see none; remove it."),
        ({"prompt": "Go on:"}, "`prompt` has no place in this track, whose models just read on; remove it."),
        (
            {"spot_check": 25},
            "`spot_check` shows people images and answers in words, and track lambada does not have both; remove it.",
        ),
        ({"conditions": ["4-shot"]}, "track lambada has no condition '4-shot'; choose zero-shot."),
        ({"last_word": {"top_k": [5, 10]}}, "1 must be among the numbers."),
        ({"models": ["demo-vlm"]}, "models of family llava serve the tracks captioning, vqa, not lambada"),
        (
            {"precisions": ["bfloat16", "gptq-3"], "quantization": {"kernel": "torch-int8"}},
            "gptq-3: gptq-3 cannot work: the kernel torch-int8 runs 8, 4, 2 bits only; choose another kernel",
        ),
        (
            {"quantization": {"kernel": "marlin", "symmetric": False}},
            "gptq-4: gptq-4 cannot work: the kernel marlin takes symmetric grids only",
        ),
        (
            {"quantization": {"calibration": {"split": "train"}}},
            "data set 'demo-passages' has no split 'train' to take calibration texts from; "
            "choose one of test, calibration.",
        ),
        (
            {"quantization": {"calibration": {"file": "mine.jsonl"}}},
            "the calibration file mine.jsonl does not exist; correct the path.",
        ),
        (
            {"dataset": {"name": "lambada-openai"}},
            "the study evaluates all of the split 'test', which its calibration texts are to come from as well; "
            "set `subset` to a number, or name a `file` in `quantization.calibration`.",
        ),
    ],
)
def test_what_a_language_study_cannot_have(keys: dict, sentence: str, config: ConfigFolder) -> None:
    assert sentence in config.refusal(**(LANGUAGE | keys))


def test_last_words_are_not_for_pictures_and_neither_is_a_file_of_texts(config: ConfigFolder) -> None:
    assert "`last_word` has no place in the track captioning" in config.refusal(last_word={"bos": "never"})
    texts = {"calibration": {"file": "texts.jsonl"}}
    said = config.refusal(precisions=["float16", "gptq-4"], quantization=texts)
    assert "`quantization.calibration.file` is a file of texts, and the track captioning calibrates on images" in said


@pytest.mark.parametrize(
    ("track", "data", "split"),
    [("captioning", {"name": "demo-scenes"}, "val"), ("vqa", {"name": "demo-questions"}, "val")],
)
def test_models_that_see_are_calibrated_on_images_that_are_not_evaluated(
    track: str, data: dict, split: str, config: ConfigFolder
) -> None:
    keys = {"track": track, "models": ["demo-vlm"], "precisions": ["bfloat16", "gptq-4"], "baseline": "bfloat16"}
    study = config.resolved(**keys, dataset=data | {"subset": 10})
    assert study["quantization"]["calibration"]["split"] == split
    for script in ("quantize_model", "audit_checkpoint"):
        told = [spec.of(script, study, {"model": "demo-vlm", "precision": name}) for name in study["precisions"]]
        assert "calibration" not in told[0]
        assert told[1]["calibration"]["asked"] == {
            "prompt": study["prompt"], "prompt_template": None, "track": track,
            **{key: study["images"][key] for key in ("max_side", "max_tokens", "enlarge")},
        }  # fmt: skip


def test_where_all_of_a_split_is_evaluated_calibration_goes_where_examples_come_from(config: ConfigFolder) -> None:
    keys = {"models": ["demo-vlm"], "precisions": ["bfloat16", "gptq-4"], "baseline": "bfloat16"}
    study = config.resolved(track="vqa", dataset={"name": "demo-questions"}, **keys)
    assert study["quantization"]["calibration"]["split"] == "train"
    said = config.refusal(dataset={"name": "demo-scenes"}, **keys)
    assert "the study evaluates all of the split 'val', which its calibration images are to come from as well" in said


def test_calibration_texts_come_from_where_nothing_is_evaluated(config: ConfigFolder) -> None:
    def split_of(**keys: Any) -> str | None:
        return config.resolved(**(LANGUAGE | keys))["quantization"]["calibration"]["split"]

    assert split_of() == "calibration"
    assert split_of(dataset={"name": "lambada-openai", "subset": 100}) == "test"
    assert split_of(precisions=["bfloat16", "rtn-4"], dataset={"name": "lambada-openai"}) is None
    Path("mine.jsonl").write_text("{}")
    assert split_of(quantization={"calibration": {"file": "mine.jsonl"}}) is None


def test_gptq_and_the_rounding_beside_it_share_the_studys_grid(config: ConfigFolder) -> None:
    study = config.resolved(**LANGUAGE, quantization={"group_size": 32, "symmetric": False, "damping": 0.1})
    cells = study["assignments"]["demo-lm"]
    gptq, rtn = cells["gptq-4"]["language"], cells["rtn-4"]["language"]
    assert {key: gptq[key] for key in ("group_size", "symmetric", "damping", "kernel")} == {
        "group_size": 32, "symmetric": False, "damping": 0.1, "kernel": "auto",
    }  # fmt: skip
    assert (rtn["group_size"], rtn["symmetric"], rtn["gptq_grid"]) == (32, False, True)
    assert cells["gptq-4"]["embeddings"]["format"] == cells["gptq-4"]["head"]["format"] == "bfloat16"


def test_a_run_needs_its_folders_to_be_some(tmp_path: Path) -> None:
    refuse_no_folders(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "resources").symlink_to("disk")
    refuse_no_folders(tmp_path)
    (tmp_path / "disk").rmdir()
    with pytest.raises(UserError, match=r"resources is a link to disk, which is no folder, where a run keeps a folder"):
        refuse_no_folders(tmp_path)
    (tmp_path / "resources").unlink()
    (tmp_path / "logs").write_text("")
    with pytest.raises(UserError, match=r"logs is a file, where a run keeps a folder: .* remove it"):
        refuse_no_folders(tmp_path)


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        (
            {"local": "no/x.gguf"},
            "model 'x' is to come from no/x.gguf, which does not exist; correct its `local` path.",
        ),
        (
            {"package": "some-model==1.0"},
            "model 'x' names a `package`, and no `file` in it; add the name of its GGUF file.",
        ),
        (
            {"local": "demo", "file": "x.gguf"},
            "model 'x' has a `file`, which stands beside `package` or `hub`; remove it.",
        ),
    ],
)
def test_a_gguf_file_that_is_not_named_rightly_is_refused(config: ConfigFolder, entry: dict, wanted: str) -> None:
    config.add("models", x=entry | {"family": "llama", "licence": "MIT"})
    lambada = {"track": "lambada", "dataset": {"name": "demo-passages"}, "models": ["x"]}
    assert config.refusal(**lambada) == f"config/models.yaml: {wanted}"


@pytest.mark.parametrize(
    ("entry", "clause"),
    [
        ({"hub": "a/b", "sha256": "0" * 64}, "has a `sha256`, which is of one file, at `url` or in GGUF; remove it."),
        ({"local": "demo/models/demo-vlm", "revision": "a" * 40}, "has a `revision`, which stands beside `hub` alone"),
        ({"package": "a==1", "file": "x.gguf"}, "is a GGUF file, which holds a language model alone; name the"),
        ({"url": "https://example.org/x.gguf"}, "has a `url`, which is for ready .tflite files alone; name a `hub` or"),
    ],
)
def test_what_a_source_has_no_use_for_is_refused(config: ConfigFolder, entry: dict, clause: str) -> None:
    config.add("models", x=entry | {"licence": "MIT"})
    assert f"model 'x' {clause}" in config.refusal(models=["x"])


def test_a_local_model_may_lie_in_the_home(config: ConfigFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path("demo").absolute()))
    config.add("models", x={"local": "~/models/demo-vlm", "licence": "MIT"})
    assert Path(config.resolved(models=["x"])["models"]["x"]["local"]) == Path("demo/models/demo-vlm").absolute()


@pytest.mark.parametrize("source", ["package", "hub", "local"])
def test_a_gguf_file_is_a_source(config: ConfigFolder, source: str) -> None:
    Path("x.gguf").write_bytes(b"GGUF")
    entry = {"package": {"package": "some-model==1.0", "file": "x.gguf"}, "hub": {"hub": "a/b", "file": "x.gguf"}}
    config.add("models", x=entry.get(source, {"local": "x.gguf"}) | {"family": "llama", "licence": "MIT"})
    study = config.resolved(track="lambada", dataset={"name": "demo-passages"}, models=["x"])
    assert plan.local_model(study, "x") == (["x.gguf"] if source == "local" else [])


def test_a_prompt_template_is_that_of_the_studys_track(config: ConfigFolder) -> None:
    both = {"captioning": "{image}{question}", "vqa": "{image}Q: {question} A:"}
    config.add("models", one=HUB_MODEL | {"prompt_template": both}, two=HUB_MODEL)
    models = config.resolved(models=["one", "two"])["models"]
    assert models["one"]["prompt_template"] == "{image}{question}"
    assert "prompt_template" not in models["two"]


@pytest.mark.parametrize(
    ("template", "clause"),
    [
        ("{image}", "does not contain {question}, so the model would never see the question; add it."),
        ("{img}{question}", "has the place {img}, and there are {question} and {image} alone; write it so."),
        ("{image} {question} {question}", "has {question} more than once; write it once."),
        ({}, "is empty; name at least one, or leave the key out where it has a default."),
        ({"caption": "x"}, "there is no key `caption`"),
    ],
)
def test_a_wrong_prompt_template_is_one_sentence(template: Any, clause: str, config: ConfigFolder) -> None:
    config.add("models", one=HUB_MODEL | {"prompt_template": template})
    sentence = config.refusal(models=["one"], track="vqa", dataset={"name": "demo-questions"})
    assert "prompt_template" in sentence and clause in sentence, sentence


def test_what_counts_of_an_answer_is_checked_while_parsing(config: ConfigFolder) -> None:
    rules = {"regex": r"Answer: (\w+)", "first_line": True, "strip_prefix": ["Answer:"]}
    assert config.resolved(answer=rules)["answer"] == rules
    assert config.refusal(answer={"regex": "(a"}).startswith(f"{MINE}: `answer`: `regex` is no regular expression (")
    assert "there is no key `first_lines` in `answer`; did you mean `first_line`?" in config.refusal(
        answer={"first_lines": True}
    )
    models = {"models": ["demo-lm"], "track": "lambada", "dataset": {"name": "demo-passages"}}
    assert "`answer` has no place in the track lambada" in config.refusal(answer=rules, **models)


def test_images_take_few_tokens_by_default(config: ConfigFolder) -> None:
    images = config.resolved()["images"]
    assert (images["max_tokens"], images["enlarge"]) == (None, False)
    assert "`images.max_tokens` is 0, and must be at least 1" in config.refusal(images={"max_tokens": 0})
    detection = {"track": "detection", "dataset": {"name": "demo-boxes"}, "models": ["demo-detector"]}
    assert "`images.enlarge` has no place in the track detection" in config.refusal(
        **detection, images={"enlarge": True}
    )
