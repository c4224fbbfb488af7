"""Studies of detectors: what they have, and what is refused with a sentence while parsing."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_folder import ConfigFolder

from bitbudget.config import plan, spec
from bitbudget.errors import UserError
from bitbudget.items.item import ImageRef, Item
from bitbudget.models.calibration import images as calibration_images

DETECTION = {"track": "detection", "dataset": {"name": "demo-boxes", "subset": 4}, "models": ["demo-detector"]}
FULL = ["litert-float32", "litert-int8-full"]
READY = {"family": "tflite", "licence": "my own"}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigFolder:
    monkeypatch.chdir(tmp_path)
    return ConfigFolder(tmp_path)


def test_a_detection_study_has_what_detectors_have_a_use_for(config: ConfigFolder) -> None:
    study = config.resolved(**DETECTION)
    assert study["precisions"] == ["litert-float32", "litert-float16", "litert-int8"]
    assert (study["baseline"], study["prompt"], study["primary"]) == ("litert-float32", None, "AP")
    assert (study["measure"]["batch_sizes"], study["device"], study["spot_check"]) == ([1], "cpu", 0)
    assert not {"generation", "batch_size", "last_word"} & set(study)
    assert plan.detects(study)
    assert plan.has_images(study)
    job = {"model": "demo-detector", "precision": "litert-int8", "condition": "zero-shot"}
    assert spec.of("detect", study, job)["detection"] == {"threads": None}
    assert study["detection"]["score_threshold"] == 0.25
    measured = spec.of("measure_detector", study, job | {"repeat": 1})
    assert measured["detection"] == {"threads": None, "score_threshold": 0.25}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"generation": {"num_beams": 2}}, "`generation` has no place in the track detection"),
        ({"batch_size": 8}, "`batch_size` has no place"),
        ({"device": "cuda"}, "`device` has no place"),
        ({"prompt": "Where?"}, "`prompt` has no place"),
        ({"last_word": {"bos": "never"}}, "`last_word` has no place"),
        ({"spot_check": 25}, "`spot_check` shows people images and answers in words"),
        ({"conditions": ["4-shot"]}, "no condition '4-shot'"),
        ({"measure": {"context": [128]}}, "`measure.context` has no place in the track detection"),
        ({"measure": {"batch_sizes": [1, 8]}}, "`measure.batch_sizes` can only be [1]"),
        ({"measure": {"new_tokens": 8}}, "`measure.new_tokens` has no place"),
        ({"precisions": ["float16"], "baseline": "float16"}, "format float16 is for models that transformers runs"),
        (
            {"precisions": ["litert-float32", "tflite-int8-full"]},
            "tflite-int8-full is made of a model of family saved-model alone, which demo-detector is not",
        ),
        ({"models": ["demo-vlm"]}, "serve the tracks captioning, vqa, not detection"),
        ({"dataset": {"name": "demo-scenes"}}, "serves the tracks captioning, not detection"),
        (
            {"precisions": FULL, "dataset": {"name": "demo-boxes"}},
            "evaluates all of the split 'val', which its calibration images are to come from",
        ),
        (
            {"precisions": FULL, "quantization": {"calibration": {"file": "texts.jsonl"}}},
            "`quantization.calibration.file` is a file of texts",
        ),
        (
            {"precisions": FULL, "quantization": {"calibration": {"split": "train"}}},
            "has no split 'train' to take calibration images from",
        ),
    ],
)
def test_what_a_detection_study_cannot_have(keys: dict, sentence: str, config: ConfigFolder) -> None:
    assert sentence in config.refusal(**DETECTION | keys)


def test_other_tracks_have_no_detection_and_no_litert(config: ConfigFolder) -> None:
    assert "`detection` has no place in the track captioning" in config.refusal(detection={"threads": 2})
    refused = config.refusal(precisions=["litert-float32"], baseline="litert-float32")
    assert "needs transformers" in refused


def test_only_full_integer_precisions_calibrate(config: ConfigFolder) -> None:
    study = config.resolved(**DETECTION | {"precisions": [*FULL, "litert-int8"]})
    wanted = {p: spec.calibrated(study, "demo-detector", p) for p in study["precisions"]}
    assert wanted == {"litert-float32": False, "litert-int8-full": True, "litert-int8": False}


def test_a_ready_file_must_be_there_and_say_what_comes_out(config: ConfigFolder) -> None:
    config.add("models", mine={"local": "mine.tflite", **READY})
    assert "is to come from mine.tflite, which does not exist" in config.refusal(**DETECTION | {"models": ["mine"]})
    Path("mine.tflite").write_bytes(b"")
    assert "what labels mean; add input, outputs, classes there" in config.refusal(**DETECTION | {"models": ["mine"]})


def test_a_changed_file_is_noticed(config: ConfigFolder) -> None:
    Path("mine.tflite").write_bytes(b"")
    entry = {"input": {"size": [64, 64]}, "outputs": {"kind": "ssd"}, "classes": {"ids": "coco-80"}}
    config.add("models", mine={"local": "mine.tflite", "detector": entry, **READY})
    study, job = config.resolved(**DETECTION | {"models": ["mine"]}), {"model": "mine"}
    assert plan.local_model(study, "mine") == ["mine.tflite"]
    fetched = spec.of("fetch_model", study, job)["entry"]
    assert fetched["local"] == "mine.tflite"
    assert "detector" not in fetched, "another class map must not download the model again"
    assert spec.of("export_detector", study, job) == {"model": "mine", "family": "tflite", "detector": entry}


def items(*ids: str) -> list[Item]:
    return [Item(one, (ImageRef(one, f"{one}.jpg"),), None, ()) for one in ids]


def test_images_to_calibrate_on_are_not_evaluated_and_the_same_for_any_order() -> None:
    available = items(*map(str, range(50)))
    chosen = calibration_images.draw(available, available[:20], 10, 53, "the split")
    assert not {item.id for item in chosen} & {item.id for item in available[:20]}
    assert chosen == calibration_images.draw(available[::-1], available[:20], 10, 53, "the split")
    assert chosen[:4] == calibration_images.draw(available, available[:20], 4, 53, "the split")
    assert chosen != calibration_images.draw(available, available[:20], 10, 54, "the split")
    other = [Item("another id", (ImageRef("x", chosen[0].images[0].source),), None, ())]
    assert chosen[0] not in calibration_images.draw(available, other, 49, 53, "the split")
    with pytest.raises(UserError, match="the split has only 30 images that are not evaluated, and 31"):
        calibration_images.draw(available, available[:20], 31, 53, "the split")
