"""Exporting detectors: the file gives what the model gives, and says what goes in and what comes out."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import tiny_detectors
import tiny_tflite
import torch
from asked import asked

from bitbudget import files, registry
from bitbudget.errors import UserError
from bitbudget.runtimes.litert import export, flatbuffer, probe, tensorflow_export, torch_export
from bitbudget.runtimes.litert.interpreter import Detector
from bitbudget.runtimes.litert.preprocessing import prepare

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
WITHOUT_TORCH = Path(__file__).parents[1] / "helpers" / "without_torch"
TFLITE, SAVED = (registry.module_of("family", name) for name in ("tflite", "saved-model"))


@pytest.fixture(scope="module", params=["yolos", "detr", "rt_detr"])
def exported(request, tmp_path_factory):
    return request.param, tiny_detectors.exported(request.param, tmp_path_factory)


@pytest.fixture(scope="module")
def yolos(tmp_path_factory):
    return tiny_detectors.exported("yolos", tmp_path_factory)


# --- models of transformers


def test_the_file_gives_what_the_model_gives(exported):
    kind, folder = exported
    found = files.read_json(folder / "export.json")
    assert found["parity"]["stray_queries"] == 0
    assert all(gap < 1e-4 for gap in found["parity"]["max_abs_difference"].values())
    assert list(found["outputs"]) == ["logits", "boxes"]
    queries = 10 if kind == "rt_detr" else 8
    assert found["outputs"] == {"logits": [1, queries, 3 if kind == "rt_detr" else 4], "boxes": [1, queries, 4]}
    assert found["files"]["model.tflite"]["sha256"] == files.sha256_of(folder / "model.tflite")
    assert found["tensor_types"]["FLOAT32"] > 4 * found["weights"] > 10_000


def test_the_specification_is_that_of_the_models_own_files(exported):
    kind, folder = exported
    found = files.read_json(folder / "detector.json")
    assert found["input"]["size"] == tiny_detectors.SIZE
    assert found["input"]["mean"] == ([0.0] * 3 if kind == "rt_detr" else [127.5] * 3)
    assert found["input"]["std"] == ([255.0] * 3 if kind == "rt_detr" else [127.5] * 3)
    assert found["outputs"]["activation"] == ("sigmoid" if kind == "rt_detr" else "softmax")
    assert found["classes"]["names"] == list(tiny_detectors.NAMES.values())
    assert found["nms"] is None


def test_the_models_answer_depends_on_the_picture(exported):
    """A constant in a wrong place would make a file that agrees with itself on one picture."""
    _, folder = exported
    detector = Detector(folder, 1)
    one, other = (
        detector.invoke(prepare(picture, detector.spec["input"])[0])
        for picture in (probe.picture(), probe.picture().rotate(180))
    )
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(one, other, strict=True))


def test_stretched_position_embeddings_are_constants(yolos):
    """The tiny YOLOS has them for 48 x 48 pixels; for 64 x 96 they are stretched once, and not for every picture."""
    found = files.read_json(yolos / "export.json")["operators"]
    assert not {"GATHER_ND", "RESIZE_BILINEAR", "BROADCAST_TO", "GATHER"} & set(found)
    (graph,) = flatbuffer.read(yolos / "model.tflite")
    tokens = 1 + 4 * 6 + 8
    assert any(t.data is not None and t.shape == (1, tokens, 32) for t in graph.tensors)


def test_tensors_have_short_names(yolos):
    (graph,) = flatbuffer.read(yolos / "model.tflite")
    names = [tensor.name for tensor in graph.tensors]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) < 80
    assert "model.bbox_predictor.2" in {name.partition(";")[0] for name in names}


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("arith.constant4", "arith.constant4"),
        ("serving_default_logits_output", "serving_default_logits_output"),
        ("efficientnet/block2a/depthwise;1", "efficientnet/block2a/depthwise;1"),
        (
            "bitbudget.runtimes.litert.torch_export.Detections_wrapped/a.b.YolosModel_vit/torch.nn.Norm_n;;"
            "bitbudget.runtimes.litert.torch_export.Detections_wrapped/a.b.YolosModel_vit/torch.nn.Linear_fc;3",
            "vit.fc",
        ),
    ],
)
def test_short_names(name, short):
    assert torch_export.short_name(name) == short


@pytest.fixture
def family(monkeypatch):
    """A family of a model that exports quickly."""
    torch.manual_seed(0)
    model = tiny_detectors.Operators().eval()
    model.config = SimpleNamespace(to_dict=dict)
    monkeypatch.setattr(torch_export, "load", lambda *_: model)
    return SimpleNamespace(
        SOURCE="transformers", PIXEL_MASK=False, FROZEN=(), detector=lambda *_: tiny_detectors.OPERATORS
    )


def test_the_input_can_have_another_size_and_way(tmp_path, family):
    entry = {"detector": {"input": {"size": [64, 64], "resize": "letterbox", "layout": "NCHW"}, "max_detections": 5}}
    found = export.export(tmp_path, family, entry, tmp_path / "out")
    assert found["detector"]["input"]["size"] == [64, 64]
    assert found["detector"]["input"]["resize"] == "letterbox"
    assert found["detector"]["input"]["mean"] == [127.5] * 3, "the rest is the model's own"
    assert found["detector"]["max_detections"] == 5
    assert found["parity"]["stray_queries"] == 0
    (graph,) = flatbuffer.read(tmp_path / "out" / "model.tflite")
    assert (1, 3, 64, 64) in {tensor.shape for tensor in graph.tensors}


def test_what_was_made_constant_wrongly_shows(tmp_path, family):
    """The model is asked before anything in it is changed."""
    family.FROZEN = ("Conv2d",)
    with pytest.raises(UserError, match="so the export has gone wrong"):
        export.export(tmp_path, family, {}, tmp_path / "out")


def test_only_what_is_the_same_throughout_a_run_is_made_constant():
    class Steady(torch.nn.Module):
        def forward(self, x):
            return torch.arange(3.0)

    class Changing(Steady):
        def forward(self, x):
            return x.sum(-1, keepdim=True)

    model = torch.nn.ModuleDict({"steady": Steady(), "changing": Changing(), "unused": Steady()})

    def run():
        for number in (1.0, 2.0):
            model["steady"](torch.full((2,), number))
            model["changing"](torch.full((2,), number))

    assert torch_export.freeze(model, ("Steady", "Changing"), run) == ["steady"]
    assert torch.equal(model["steady"](torch.zeros(9)), torch.arange(3.0))
    assert isinstance(model["unused"], Steady)


def queries(count=40, seed=0):
    generator = np.random.default_rng(seed)
    return {"logits": generator.normal(size=(1, count, 4)), "boxes": generator.uniform(size=(1, count, 4))}


def test_queries_are_compared_whatever_their_order():
    wanted = queries()
    found = {name: value[:, ::-1] + 1e-5 for name, value in wanted.items()}
    compared = export.compare(wanted, found, Path("x.tflite"))
    assert compared["stray_queries"] == 0
    assert compared["max_abs_difference"]["boxes"] == pytest.approx(1e-5, rel=1e-3)


def test_a_stray_query_is_told_and_many_are_refused(caplog):
    wanted, found = queries(), queries()
    found["boxes"][0, 3] += 0.5
    with caplog.at_level(logging.WARNING, "bitbudget"):
        assert export.compare(wanted, found, Path("x.tflite"))["stray_queries"] == 1 / 40
    assert (
        "2.5% of the queries that the model gives for a drawn test picture are not among those of x.tflite"
        in caplog.text
    )
    found["logits"][0, 10:20] += 1
    with pytest.raises(UserError, match=r"27\.5% of the queries .* so the export has gone wrong"):
        export.compare(wanted, found, Path("x.tflite"))


def test_a_file_that_gives_no_numbers_is_refused():
    wanted, found = queries(), queries()
    found["logits"][:] = np.nan
    with pytest.raises(UserError, match=r"100\.0% of the queries"):
        export.compare(wanted, found, Path("x.tflite"))


def test_a_backbone_of_timm_is_named(tmp_path):
    pytest.importorskip("transformers")
    try:
        import timm  # noqa: F401

        pytest.skip("timm is installed here")
    except ImportError:
        pass
    folder = tmp_path / "detr"
    folder.mkdir()
    config = {"model_type": "detr", "use_timm_backbone": True, "backbone": "resnet50"}
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["DetrForObjectDetection"]}))
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"has a backbone of the library timm, which is not installed: name a `branch`"):
        torch_export.load(folder, registry.module_of("family", "detr"))


# --- files that are there already


def ready(folder, content):
    folder.mkdir()
    (folder / "model.tflite").write_bytes(content)
    return folder


def test_a_ready_file_is_taken_as_it_is(tmp_path):
    source = ready(tmp_path / "source", tiny_tflite.detr().bytes())
    found = export.export(source, TFLITE, {"detector": tiny_tflite.DETR}, tmp_path / "out")
    assert (tmp_path / "out" / "model.tflite").read_bytes() == (source / "model.tflite").read_bytes()
    assert found["parity"] is None
    assert files.read_json(tmp_path / "out" / "detector.json") == found["detector"]


def test_a_ready_file_that_is_cut_off_is_named(tmp_path):
    source = ready(tmp_path / "source", tiny_tflite.detr().bytes()[:-100])
    cut = source / "model.tflite"
    facts = {"bytes": cut.stat().st_size, "sha256": files.sha256_of(cut)}
    files.write_json(source / "model.json", {"source": "mine.tflite", "files": {cut.name: facts}})
    with pytest.raises(UserError, match=r"source/model\.tflite is cut off or damaged.*\(it came from mine\.tflite\)\."):
        export.export(source, TFLITE, {"detector": tiny_tflite.DETR}, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"outputs": {"kind": "yolo", "objectness": True}}, r"does not fit `outputs\.kind: yolo`"),
        ({"input": {"size": [16, 8]}}, r"takes an input 1x8x8x3, and its specification says 1x16x8x3"),
        ({"outputs": {"kind": "detr", "logits": "scores"}}, r"`outputs\.logits` .* is 'scores'"),
    ],
)
def test_a_specification_that_does_not_fit_the_file_is_refused(tmp_path, change, sentence):
    source = ready(tmp_path / "source", tiny_tflite.detr().bytes())
    with pytest.raises(UserError, match=sentence):
        export.export(source, TFLITE, {"detector": tiny_tflite.DETR | change}, tmp_path / "out")


# --- what TensorFlow makes: tests/tf_route really runs it


def saved_model(folder):
    (folder / "saved_model").mkdir(parents=True)
    (folder / "saved_model" / "saved_model.pb").write_bytes(b"")
    return folder


def test_a_saved_model_needs_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(
        UserError, match=r"saved_model is converted by TensorFlow, .* run `make tensorflow` once, .*tflite"
    ):
        tensorflow_export.Source(saved_model(tmp_path / "source"))


def test_what_tensorflow_cannot_convert_is_one_sentence(tmp_path, monkeypatch):
    def refuses(path):
        raise RuntimeError("Some ops\nare not supported.\n" + "x" * 900)

    module = ModuleType("tensorflow")
    module.saved_model = SimpleNamespace(load=refuses)
    monkeypatch.setitem(sys.modules, "tensorflow", module)
    with pytest.raises(UserError, match=r"cannot convert .*saved_model \(Some ops are not supported") as caught:
        tensorflow_export.Source(saved_model(tmp_path / "source"))
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def converted(folder, outputs):
    """What convert_detector leaves of the tiny DETR, whose model gave these outputs for the test picture."""
    folder.mkdir()
    (folder / "model.tflite").write_bytes(tiny_tflite.detr().bytes())
    np.savez(folder / "outputs.npz", **outputs)
    facts = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": files.sha256_of(folder / name)}
        for name in ("model.tflite", "outputs.npz")
    }
    files.write_json(folder / "conversion.json", {"files": facts, "converter": {"name": "c", "version": "1"}})
    return folder


def test_a_converted_file_is_held_against_its_model(tmp_path):
    source = saved_model(tmp_path / "source")
    files.write_json(
        source / "model.json",
        {
            "source": "mine",
            "files": {
                "saved_model/saved_model.pb": {
                    "bytes": 0,
                    "sha256": files.sha256_of(source / "saved_model" / "saved_model.pb"),
                }
            },
        },
    )
    entry = {"detector": tiny_tflite.DETR}
    first = export.export(source, SAVED, entry, tmp_path / "out", converted(tmp_path / "unnamed", {}))
    assert (first["parity"], first["converter"]) == (None, {"name": "c", "version": "1"})
    detector = Detector(tmp_path / "out", 1)
    pixels, _ = prepare(probe.picture(), detector.spec["input"])
    exact = dict(zip(detector.names, detector.invoke(pixels), strict=True))
    made = converted(tmp_path / "right", exact)
    assert set(
        export.export(source, SAVED, entry, tmp_path / "out", made)["parity"]["max_abs_difference"].values()
    ) == {0}
    name = detector.names[0]
    other = converted(tmp_path / "wrong", exact | {name: exact[name] + 1})
    with pytest.raises(UserError, match=rf"output {name} of .* is off by 1 from what TensorFlow gives"):
        export.export(source, SAVED, entry, tmp_path / "out", other)


# --- the scripts, one after the other


def run(script, *arguments, cwd):
    """Run a script; those of envs/detection.yaml as they run there, without torch."""
    words = [argument if isinstance(argument, str) else asked(script, argument) for argument in arguments]
    path = (
        Path(__file__).parents[1] / "helpers" / "without_torch"
        if script in ("quantize_detector", "audit_detector")
        else ""
    )
    return subprocess.run(
        [sys.executable, SCRIPTS / f"{script}.py", *words],
        capture_output=True, text=True, cwd=cwd, check=False, env=os.environ | {"PYTHONPATH": str(path)},
    )  # fmt: skip


def test_from_a_file_to_an_audited_checkpoint(tmp_path):
    """Fetched, exported, calibrated on pictures, quantized and audited; every record fits its schema."""
    graph = tiny_tflite.detr()
    graph.signature(logits=0, boxes=1)
    graph.model.signatureDefs[0].inputs = [named("image", graph.main.inputs[0])]
    (tmp_path / "mine.tflite").write_bytes(graph.bytes())
    entry = {"local": "mine.tflite", "family": "tflite", "licence": "MIT", "detector": tiny_tflite.DETR}
    spec = {
        "study": "s", "model": "m", "precision": "p", "family": "tflite", "device": "cpu", "simulated": [],
        "assignment": {"detector": {"format": "litert-int8-full", "operators": "weights"}}, "dtype": "litert-float32",
    }  # fmt: skip
    pictures(tmp_path)
    shown = ("--calibration", "items.jsonl", "--calibration-images", "images.json")
    steps = [
        ("fetch_model", "--model", "m", "--spec", {"entry": entry, "templated": False}, "--out", "fetched",
         "--partial", "partial"),
        ("export_detector", "--model-dir", "fetched", "--spec", entry | {"model": "m"}, "--out", "exported"),
        ("quantize_detector", "--exported", "exported", "--spec", spec, *shown, "--out", "made"),
        ("audit_detector", "--checkpoint", "made", "--exported", "exported", "--spec", spec, *shown,
         "--out", "seen_again.json"),
        ("audit_detector", "--checkpoint", "made", "--exported", "exported", "--spec", spec, "--out", "audit.json"),
    ]  # fmt: skip
    for step in steps:
        done = run(*step, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert len(done.stderr.splitlines()) <= 2, done.stderr
    manifest, audited = (files.read_json(tmp_path / name) for name in ("made/checkpoint.json", "audit.json"))
    assert manifest["calibration"] == {
        "calibration_hash": manifest["calibration"]["calibration_hash"],
        "n": 3,
        "images": 2,
        "ranges": manifest["calibration"]["ranges"],
    }
    assert manifest["calibration"]["ranges"].keys() == {"row", "logits/product", "boxes/product"}
    assert audited["ranges"].endswith("as the checkpoint's record has them")
    assert files.read_json(tmp_path / "seen_again.json")["ranges"].endswith("seen again")
    assert manifest["dtype"] == "litert"
    assert audited["checkpoint_hash"] == manifest["checkpoint_hash"]
    assert {layer["found"] for layer in audited["layers"]} == {"litert-int8-full"}
    assert sorted(p.name for p in (tmp_path / "exported").iterdir()) == ["detector.json", "export.json", "model.tflite"]

    # whole, and not what it is called
    path = tmp_path / "made" / "model.tflite"
    path.write_bytes((tmp_path / "exported" / "model.tflite").read_bytes())
    manifest["files"] = {path.name: {"bytes": path.stat().st_size, "sha256": files.sha256_of(path)}}
    contents = {"files": manifest["files"], "detector": files.read_json(tmp_path / "made" / "detector.json")}
    files.write_json(tmp_path / "made" / "checkpoint.json", manifest | {"checkpoint_hash": files.hash_of(contents)})
    failed = run(*steps[-1], cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: precision p is not what its name says: ")
    assert len(failed.stderr.splitlines()) == 1


def named(name, index):
    from ai_edge_litert import schema_py_generated as schema

    found = schema.TensorMapT()
    found.name, found.tensorIndex = name.encode(), index
    return found


def pictures(folder):
    """Three items to calibrate on, of which one picture could not be read."""
    records = {}
    rows = []
    for number in range(3):
        path = folder / f"{number}.png"
        probe.picture().rotate(10 * number).resize((20, 10)).save(path)
        rows.append(
            {"id": str(number), "images": [{"id": str(number), "source": f"http://x/{number}"}], "question": None,
             "references": [], "extra": {"width": 20, "height": 10, "objects": []}}
        )  # fmt: skip
        records[str(number)] = {"file": path.name, "source_size": [20, 10], "size": [20, 10], "action": "kept"}
    del records["2"]
    files.write_jsonl(folder / "items.jsonl", rows)
    files.write_json(folder / "images.json", {"images": records, "skipped": [{"id": "2"}]})
