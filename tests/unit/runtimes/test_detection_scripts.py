"""The scripts that run detectors, as the rules run them, on a tiny model; and what lies between them and LiteRT."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_tflite as tiny
from asked import asked
from PIL import Image

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.records import _validator
from bitbudget.runtimes import shard_files
from bitbudget.runtimes.litert import answers
from bitbudget.runtimes.litert.interpreter import Detector

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
WITHOUT_TORCH = str(Path(__file__).parents[1] / "helpers" / "without_torch")
IDENTITY = {"study": "test", "model": "tiny", "precision": "litert-int8", "condition": "zero-shot", "seed": 53}
DETECT = IDENTITY | {"shard_size": 2, "detection": {"threads": 1}}
PLAN = {"items": 3, "warmup": 1, "min_iterations": 7, "min_seconds": 1.1, "batch_sizes": [1], "rounds": 2}
MEASURE = IDENTITY | {"measure": PLAN, "detection": {"threads": 1, "score_threshold": 0.25}, "repeat": 1}
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]  # not 2, which the model has, too
SIZES = [(64, 48), (48, 64), (33, 20), (64, 48), (10, 10)]


def run(name, *arguments, fails=False, threads="1", **paths):
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), *arguments]
    for key, value in paths.items():
        command += [f"--{key.replace('_', '-')}", asked(name, value) if isinstance(value, dict) else str(value)]
    environment = os.environ | {"OMP_NUM_THREADS": threads, "PYTHONPATH": WITHOUT_TORCH}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert (done.returncode != 0) == fails, done.stderr
    return done


def sentence(done):
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture
def study(tmp_path):
    """A checkpoint, and what the data rules make: five items, one of them skipped; originals are ten times larger."""
    tiny.checkpoint(tmp_path / "checkpoint", tiny.detr(queries=40))
    (tmp_path / "images").mkdir()
    generator = np.random.default_rng(0)
    items, prepared = [], {}
    for number, (width, height) in enumerate(SIZES):
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/picture{number}.png")
        original = {"width": 10 * width, "height": 10 * height, "objects": []}
        items.append(
            {"id": str(number), "images": [{"id": f"picture{number}", "source": "x"}], "question": None,
             "references": [], "extra": original}
        )  # fmt: skip
        prepared[f"picture{number}"] = {
            "file": f"images/picture{number}.png", "source_size": [10 * width, 10 * height], "size": [width, height],
            "action": "resized",
        }  # fmt: skip
    del prepared["picture4"]
    files.write_jsonl(tmp_path / "items.jsonl", items)
    files.write_json(tmp_path / "images.json", {"images": prepared, "skipped": [{"id": "picture4"}]})
    files.write_json(tmp_path / "subset.json", {"subset_hash": "5" * 64, "categories": CATEGORIES})
    files.write_json(tmp_path / "audit.json", {"checkpoint_hash": "c" * 64})
    return tmp_path


def detect(study, name="whole", fails=False, spec=DETECT, **more):
    """Run the script; returns what it said, the rows and the record."""
    out = study / name
    paths = data_of(study) | {"shards": study / "shards", "out": out / "p.jsonl", "record": out / "p.json"}
    done = run("detect", spec=spec, fails=fails, **paths | more)
    if fails:
        return done, [], {}
    record = files.read_json(out / "p.json")
    _validator("predictions").validate(record)
    return done, files.read_jsonl(out / "p.jsonl"), record


def data_of(study):
    paths = {"subset": study / "subset.json", "items": study / "items.jsonl", "images": study / "images.json"}
    return paths | {"checkpoint": study / "checkpoint"}


def test_every_usable_image_has_its_boxes(study):
    done, rows, record = detect(study)
    assert [row["id"] for row in rows] == ["0", "1", "2", "3"]
    detector = Detector(study / "checkpoint", 1)
    for number, row in enumerate(rows):
        width, height = (10 * side for side in SIZES[number])
        boxes, scores, labels = detector.detect(study / f"images/picture{number}.png", width, height, {0, 2})
        assert len(row["detections"]) == len(boxes) > 5
        for one, box, score, label in zip(row["detections"], boxes, scores, labels, strict=True):
            assert one.keys() == {"category_id", "bbox", "score"}
            assert one["category_id"] == {0: 1, 2: 3}[label]
            assert one["bbox"] == pytest.approx(box, abs=0.02)
            assert one["score"] == pytest.approx(score, abs=1e-5)
            x, y, w, h = one["bbox"]
            assert min(x, y, w, h) >= 0
            assert round(x + w, 2) <= width and round(y + h, 2) <= height
        given = [one["score"] for one in row["detections"]]
        assert given == sorted(given, reverse=True)
    assert record["detection"] == {
        "threads": 1, "delegate": {"name": "XNNPACK", "operators": 6, "delegated": 6}, "score_threshold": 0,
        "max_detections": 100,
    }  # fmt: skip
    assert (record["n"], record["prompt"], record["shots"], record["batch_size"]) == (4, None, [], 1)
    assert record["boxes"] == sum(len(row["detections"]) for row in rows)
    assert record["checkpoint_hash"] == files.read_json(study / "checkpoint/checkpoint.json")["checkpoint_hash"]
    generated = {"generation": {}, "new_tokens": 1, "cut_off": 0}
    assert not _validator("predictions").is_valid(record | generated), "nothing is detected and generated at once"
    assert record["shards_made_again"] == []
    assert sentence(done) == (f"{record['boxes']} boxes in 4 images; 6 of 6 operators in XNNPACK")


def test_a_run_that_was_stopped_goes_on_from_its_shards_and_another_model_does_not(study):
    """It ends before anything is written, as a file stands where its folder shall be."""
    _, expected, _ = detect(study)
    (study / "stopped").write_text("a file")
    detect(study, "stopped", fails=True)
    (shards,) = (study / "shards").iterdir()
    edit_shard(shards / "00000000-2.jsonl", {"detections": []})
    assert detect(study, "again")[1] == [{"id": "0", "detections": []}, *expected[1:]]
    (study / "stopped_again").write_text("a file")
    detect(study, "stopped_again", fails=True)
    tiny.checkpoint(study / "checkpoint", tiny.detr(queries=40), tiny.DETR | {"max_detections": 3})
    _, rows, _ = detect(study, "other")
    assert [row["detections"] for row in rows] == [row["detections"][:3] for row in expected]


def edit_shard(path, first):
    """Let a shard hold another answer to its first item, and prove it."""
    kept = files.read_jsonl(path)[1:]
    ids = [row["id"] for row in kept]
    shard_files.write(path, path.parent.name, ids, [kept[0] | first, *kept[1:]])


def test_a_shard_that_was_edited_is_made_again_and_the_record_says_so(study):
    _, expected, _ = detect(study)
    (path,) = (study / "shards").rglob("00000000-2.jsonl")
    path.write_text(path.read_text().replace('"score": 0.', '"score": 1.'))
    done, rows, record = detect(study, "again")
    assert rows == expected
    assert record["shards_made_again"] == [{"shard": "00000000-2.jsonl", "reason": "damaged, or of other items"}]
    assert f"the shard {path} is damaged, or of other items: its answers are made again" in done.stderr


def test_threads_are_the_environments_where_the_study_leaves_them_open(study):
    paths = data_of(study) | {"shards": study / "s", "out": study / "p.jsonl", "record": study / "p.json"}
    run("detect", spec=DETECT | {"detection": {"threads": None}}, threads="2", **paths)
    assert files.read_json(study / "p.json")["threads"] == 2


def test_a_model_that_finds_nothing_is_told(study):
    tiny.checkpoint(study / "checkpoint", tiny.detr(), tiny.DETR | {"score_threshold": 1})
    done, rows, record = detect(study)
    assert [row["detections"] for row in rows] == [[]] * 4
    assert record["boxes"] == 0
    (remark,) = record["remarks"]
    assert remark.startswith("no score in the first 4 images is above 0: look at `input` (mean, std, colour, layout)")
    assert f"warning: {remark}." in done.stderr


def test_labels_without_a_category_are_told(study):
    spec = tiny.DETR | {"classes": {"ids": "names", "offset": 0, "names": ["person", "unicorn", "Car"]}}
    tiny.checkpoint(study / "checkpoint", tiny.detr(queries=40), spec)
    done, rows, _ = detect(study)
    assert "that no category of the data set has, and whose boxes are left out: unicorn" in done.stderr
    assert {one["category_id"] for row in rows for one in row["detections"]} == {1, 3}


def test_what_is_wrong_is_one_sentence_and_nothing_is_written(study):
    items = files.read_jsonl(study / "items.jsonl")
    items[1]["extra"] |= {"width": 640, "height": 480}  # it lies on its side
    files.write_jsonl(study / "turned.jsonl", items)
    said = sentence(detect(study, fails=True, items=study / "turned.jsonl")[0])
    assert said.startswith(
        "error: image picture1 of item 1 is 480 x 640 pixels (upright), and its annotation was made "
    )
    files.write_json(study / "no_categories.json", {"subset_hash": "5" * 64})
    said = sentence(detect(study, fails=True, subset=study / "no_categories.json")[0])
    assert said.startswith(f"error: {study / 'no_categories.json'} names no categories: delete it")
    for spec, graph, reason in (
        (tiny.DETR | {"classes": {"ids": [1, 3, 44], "offset": 0, "names": []}}, tiny.detr(), "label 2 is category 44"),
        (tiny.DETR, tiny.detr(nan=True), "gives NaN or infinite numbers for image "),
        (tiny.DETR | {"outputs": {"kind": "detr", "logits": 1, "boxes": 0, "activation": "softmax"}},
         tiny.detr(classes=5), "exchange `logits` and `boxes` in `outputs` of the model's `detector`"),
        (tiny.DETR, b"half a file", "is no whole .tflite file"),
    ):  # fmt: skip
        tiny.checkpoint(study / "checkpoint", graph, spec)
        assert reason in sentence(detect(study, fails=True)[0])
    (study / "checkpoint/checkpoint.json").unlink()
    assert "is not a whole checkpoint (checkpoint.json is missing)" in sentence(detect(study, fails=True)[0])
    assert not (study / "whole").exists()


def test_measurements_are_complete_or_say_why_not(study):
    done = run("measure_detector", spec=MEASURE, audit=study / "audit.json", out=study / "m.json", **data_of(study))
    record = files.read_json(study / "m.json")
    _validator("measurement_repeat").validate(record)
    found = record["metrics"]
    for name in ("latency", "latency_preprocessing", "latency_invoke", "latency_postprocessing"):
        metric = found[name]
        assert 0 < metric["ci"][0] <= metric["value"] <= metric["ci"][1] <= max(metric["raw"])
        assert metric["value"] <= metric["p95"] and metric["unit"] == "s"
        assert metric["n"] == len(metric["raw"]) >= 14
    phases = [found[f"latency_{phase}"]["raw"] for phase in ("preprocessing", "invoke", "postprocessing")]
    assert found["latency"]["raw"] == pytest.approx(np.sum(phases, axis=0).tolist())
    for name in ("latency_cold", "load_time", "size_on_disk", "peak_memory", "throughput_1"):
        assert found[name]["value"] > 0
    assert found["throughput_1"]["n"] == 2
    assert found["size_on_disk"]["bytes"] == (study / "checkpoint/model.tflite").stat().st_size
    assert found["weights_in_memory"]["absent"].startswith("LiteRT does not tell how it unpacks weights")
    parts = ("energy_preprocessing", "energy_invoke", "energy_postprocessing")
    for name in ("energy_per_item", "energy_per_item_1", "idle_power", *parts):
        assert found[name].get("value", 1) > 0
        assert "value" in found[name] or len(found[name]["absent"]) > 20
    assert found["peak_memory"]["value"] < 200, "of a process with torch in it, more than this"
    circumstances = record["circumstances"]
    assert (circumstances["device"], circumstances["threads"]) == ("cpu", 1)
    assert circumstances["warm_up"]["calls"] >= 7
    assert circumstances["delegate"] == {"name": "XNNPACK", "operators": 6, "delegated": 6}
    assert circumstances["score_threshold"] == {"measured": 0.25, "evaluation": 0}
    assert found["latency_postprocessing_evaluation"]["n"] >= 7
    assert "ms an image (preprocessing " in done.stderr


@pytest.mark.parametrize("name", ["detect", "measure_detector"])
def test_help_is_quick_and_says_what_the_script_does(name):
    done = run(name, "--help")
    assert done.stdout.count("--spec") >= 1
    assert len(done.stdout.splitlines()) > 8


# --- answers ---


def test_rounding_never_moves_a_box_beyond_the_image():
    generator = np.random.default_rng(0)
    corner = generator.uniform(0, 100, (500, 2))
    boxes = np.concatenate([corner, [100, 100] - corner], axis=1)  # all reach the corner at the bottom right
    found = answers.answer((boxes, np.full(500, 0.1234567), np.zeros(500, dtype=int)), {0: 7}).detections
    assert all(round(one["bbox"][k] + one["bbox"][k + 2], 6) == 100 for one in found for k in (0, 1))
    assert {one["score"] for one in found} == {0.12346}
    assert {one["category_id"] for one in found} == {7}
    json.dumps(found)  # plain numbers


def test_pictures_have_the_size_of_their_originals(study):
    found = answers.pictures(study / "items.jsonl", study / "images.json")
    assert list(found) == ["0", "1", "2", "3"]
    assert (found["1"].width, found["1"].height, found["1"].path.name) == (480, 640, "picture1.png")


def test_a_subset_without_categories_is_refused(tmp_path):
    files.write_json(tmp_path / "subset.json", {"categories": []})
    with pytest.raises(UserError, match="names no categories"):
        answers.categories_of(tmp_path / "subset.json")
