"""TensorFlow's own converter, really run: its files are audited as LiteRT's are. `make test-tensorflow` (nightly)."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from bitbudget import files, registry
from bitbudget.errors import UserError
from bitbudget.runtimes.litert import activations, export
from bitbudget.runtimes.litert.audit import audit
from bitbudget.runtimes.litert.interpreter import Detector
from checkouts import copy_checkout, snakemake, write_study

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-tensorflow/bin/python"
FORMATS = ("tflite-float16", "tflite-int8-dynamic", "tflite-int8-full")
SAVED = registry.module_of("family", "saved-model")
ENTRY = {
    "input": {"size": [64, 64], "mean": [127.5] * 3, "std": [127.5] * 3},
    "outputs": {"kind": "detr", "logits": "logits", "boxes": "boxes", "activation": "sigmoid"},
    "classes": {"ids": "names", "names": list("abcde")},
}
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(not PYTHON.exists(), reason="TensorFlow has an environment of its own: run `make tensorflow`"),
]


def python(*arguments):
    found = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([PYTHON, *map(str, arguments)], capture_output=True, text=True, env=found, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The tiny model as fetch_model leaves a Keras model, and a SavedModel, with pictures to calibrate on."""
    folder = tmp_path_factory.mktemp("tiny")
    python(Path(__file__).with_name("tiny_keras.py"), folder)
    for kind, name in (("keras", "model.keras"), ("saved", "saved_model")):
        (folder / kind).mkdir()
        shutil.move(folder / name, folder / kind / name)
        inside = [path for path in (folder / kind).rglob("*") if path.is_file()]
        facts = {
            path.relative_to(folder / kind).as_posix(): {"bytes": path.stat().st_size, "sha256": files.sha256_of(path)}
            for path in inside
        }
        files.write_json(folder / kind / "model.json", {"source": "tiny", "files": facts})
    items, prepared = [], {}
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        place = str(folder / f"{number}.png")
        items.append({"id": str(number), "images": [{"id": str(number), "path": place}], "references": []})
        items[-1] |= {"question": None, "extra": {"width": 64, "height": 64}}
        prepared[str(number)] = {"file": f"{number}.png", "source_size": [64, 64]}
    files.write_jsonl(folder / "items.jsonl", items)
    files.write_json(folder / "images.json", {"images": prepared, "skipped": []})
    return folder


def converted(tiny, kind, name):
    """The folder that convert_detector makes, once for each kind and format."""
    out = tiny / f"{kind}-{name}"
    if not out.exists():
        spec = {"model": "tiny", "detector": ENTRY, "made": name and {"format": name}}
        seen = ("--calibration", tiny / "items.jsonl", "--calibration-images", tiny / "images.json")
        given = ("--model-dir", tiny / kind, "--spec", json.dumps(spec), "--out", out)
        python(ROOT / "workflow/scripts/convert_detector.py", *given, *(seen if name == "tflite-int8-full" else ()))
    return out


def exported(tiny, kind):
    out = tiny / f"{kind}-exported"
    return out, export.export(tiny / kind, SAVED, {"detector": ENTRY}, out, converted(tiny, kind, None))


def audited(tiny, kind, name, asked=None):
    """What the audit says of the file in this format, where another may have been asked for."""
    source, _ = exported(tiny, kind)
    made = tiny / f"{kind}-made-{name}"
    made.mkdir(exist_ok=True)
    shutil.copyfile(converted(tiny, kind, name) / "model.tflite", made / "model.tflite")
    shutil.copyfile(source / "detector.json", made / "detector.json")
    detector = Detector(source, 1)
    inputs = [detector.prepare(tiny / f"{number}.png")[0] for number in range(6)]
    ranges = activations.seen(source / "model.tflite", inputs, 1)
    return audit(source, made, name, {"format": asked or name}, ranges)


@pytest.mark.parametrize("kind", ["keras", "saved"])
def test_the_float_file_gives_what_tensorflow_gives(tiny, kind):
    _, record = exported(tiny, kind)
    assert record["converter"]["version"].startswith("2.")
    assert set(record["outputs"]) == {"boxes", "logits"}
    assert max(record["parity"]["max_abs_difference"].values()) < 1e-4


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["keras", "saved"])
def test_a_format_of_the_converter_passes_the_audit(tiny, kind, name):
    found = audited(tiny, kind, name)
    held = {layer["found"] for layer in found["layers"]}
    assert (
        held
        == {
            "tflite-float16": {"litert-float16"},
            "tflite-int8-dynamic": {"litert-int8-dynamic", "litert-float32"},  # small weights stay as they are
            "tflite-int8-full": {"litert-int8-full"},
        }[name]
    )
    assert found["output_errors"].keys() == found["output_limits"].keys() == {"boxes", "logits"}
    sizes = [(tiny / f"{kind}-{one}/model.tflite").stat().st_size for one in (None, name)]
    assert sizes[1] < sizes[0] * {"tflite-float16": 0.6}.get(name, 0.4)


def test_another_format_than_was_asked_for_is_refused(tiny):
    with pytest.raises(UserError, match="is not what its name says"):
        audited(tiny, "keras", "tflite-int8-dynamic", asked="tflite-int8-full")


def test_a_scale_that_no_range_explains_is_refused(tiny, monkeypatch):
    wider = {name: (3 * least, 3 * most) for name, (least, most) in _ranges(tiny).items()}
    monkeypatch.setattr(activations, "seen", lambda *_: wider)
    with pytest.raises(UserError, match=r"has the scale .*, where the range"):
        audited(tiny, "keras", "tflite-int8-full")


def _ranges(tiny):
    source, _ = exported(tiny, "keras")
    detector = Detector(source, 1)
    return activations.seen(source / "model.tflite", [detector.prepare(tiny / "0.png")[0]], 1)


def test_a_study_of_the_route_is_made_up_to_its_audits(tiny, tmp_path):
    """By the workflow: TensorFlow's jobs run in its environment, all others in the one of these tests."""
    checkout = copy_checkout(tmp_path / "checkout")
    (checkout / ".venv-tensorflow").symlink_to(ROOT / ".venv-tensorflow")
    shutil.copyfile(tiny / "keras/model.keras", checkout / "tiny.keras")
    entry = {"local": "tiny.keras", "family": "saved-model", "licence": "Apache-2.0", "detector": ENTRY}
    entry["detector"] = ENTRY | {"classes": {"ids": "names", "names": ["circle", "square", "star", "ring", "heart"]}}
    with (checkout / "config/models.yaml").open("a", encoding="utf-8") as models:
        models.write(yaml.safe_dump({"tiny-keras": entry}))
    precisions = ["litert-float32", *FORMATS]
    study = {"study": "tiny-keras", "track": "detection", "dataset": {"name": "demo-boxes", "subset": 8}}
    study |= {"models": ["tiny-keras"], "baseline": "litert-float32", "precisions": precisions}
    name = write_study(checkout, study | {"quantization": {"calibration": {"items": 8}}})
    audits = [f"results/{name}/tiny-keras/{precision}/audit.json" for precision in precisions]
    done = snakemake(checkout, "--cores", "1", "--config", f"study={name}", "--", *audits)
    assert done.returncode == 0, done.stderr[-3000:]
    assert all(files.read_json(checkout / path)["passed"] for path in audits)
    made = files.read_json(checkout / f"results/{name}/tiny-keras/tflite-int8-full/checkpoint/checkpoint.json")
    assert made["converter"]["name"] == "tf.lite.TFLiteConverter"
    assert made["calibration"]["images"] == 8
