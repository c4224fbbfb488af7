"""Detectors in LiteRT: what runs, what goes in and comes out, and every file that cannot be run in one sentence."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_tflite as tiny
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from bitbudget.errors import UserError
from bitbudget.runtimes.litert.interpreter import Detector, dequantized, manifest, quantized, threads_for

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
Op = tiny.Op
COPY = tiny.DETR | {"input": tiny.DETR["input"] | {"size": [4, 6]}}


def picture_of(folder, size=(64, 48), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "picture.png")
    return folder / "picture.png"


# --- what runs ---

# Of these XNNPACK has a kernel for COS, not for SIGN or ZEROS_LIKE, which part the graph in two.
GRAPHS = {"whole": {}, "cosine": {"extra": Op.COS}, "sign": {"extra": Op.SIGN}, "zeros": {"extra": Op.ZEROS_LIKE}}
OPERATORS = {"whole": (6, 6), "cosine": (7, 7), "sign": (7, 6), "zeros": (7, 6)}


@pytest.mark.parametrize("name", GRAPHS)
def test_operators_that_the_delegate_took_are_counted(tmp_path, name):
    folder = tiny.checkpoint(tmp_path, tiny.detr(**GRAPHS[name]))
    operators, delegated = OPERATORS[name]
    detector = Detector(folder, 1)
    assert detector.delegated() == set(range(operators)) - ({2} if delegated < operators else set())
    assert detector.delegates() == {"name": "XNNPACK", "operators": operators, "delegated": delegated}
    # where parts may not be joined, LiteRT makes a node of the delegate for each operator that it takes
    single = Interpreter(str(folder / "model.tflite"), experimental_disable_delegate_node_fusion=True)
    before = len(single._get_ops_details())
    single.allocate_tensors()
    nodes = single._get_ops_details()[before:]
    assert ([node["op_name"] for node in nodes], before) == (["DELEGATE"] * delegated, operators)


def test_with_built_in_kernels_no_delegate_runs_and_results_are_the_same(tmp_path):
    folder = tiny.checkpoint(tmp_path, tiny.detr())
    given = np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)
    own, theirs = Detector(folder, 1, "builtin"), Detector(folder, 1)
    assert own.delegates() == {"name": "none", "operators": 6, "delegated": 0}
    for a, b in zip(own.invoke(given), theirs.invoke(given), strict=True):
        assert np.abs(a - b).max() < 1e-4


def test_the_note_of_the_delegate_is_kept_out_of_the_log(tmp_path):
    """In fresh processes, because LiteRT writes it once."""
    folder = tiny.checkpoint(tmp_path, tiny.detr())
    model = str(folder / "model.tflite")
    loud = f"from ai_edge_litert.interpreter import Interpreter as I; I({model!r}).allocate_tensors()"
    assert "Created TensorFlow Lite XNNPACK delegate" in python(loud).stderr
    quiet = "from pathlib import Path; from bitbudget.runtimes.litert.interpreter import Detector"
    assert python(f"{quiet}; Detector(Path({str(folder)!r}), 1)").stderr == ""


def python(code):
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=600, check=True
    )


def test_warnings_of_native_code_are_passed_on(caplog):
    from bitbudget.runtimes.litert.interpreter import _native_messages

    with caplog.at_level(logging.INFO), _native_messages():
        os.write(2, b"INFO: nothing new\nWARNING: look here\n")
    assert [record.message for record in caplog.records] == ["WARNING: look here"]


def test_detecting_imports_neither_torch_nor_transformers(tmp_path):
    """They would count as the detector's memory."""
    folder = tiny.checkpoint(tmp_path, tiny.detr())
    picture = picture_of(tmp_path)
    code = f"""
import sys
from pathlib import Path
from bitbudget.runtimes.litert.interpreter import Detector
from bitbudget.measuring import detector, machine, footprint, energy
boxes, scores, labels = Detector(Path({str(folder)!r}), 1).detect(Path({str(picture)!r}), 640, 480)
assert len(boxes) == 5
print(sorted({{"torch", "transformers", "tensorflow", "pandas", "scipy"}} & sys.modules.keys()))
"""
    assert python(code).stdout.strip() == "[]"


def test_threads_are_those_asked_for_or_those_of_the_environment(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(5)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert (threads_for(None), threads_for(2)) == (3, 2)
    for nothing in ("", "0", "all"):
        monkeypatch.setenv("OMP_NUM_THREADS", nothing)
        assert threads_for(None) == 5


# --- what goes in and comes out ---


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "within"),
    [("float32", None, 0, 0), ("int8", 0.02, 3, 0.0101), ("uint8", 2 / 255, 127, 0.004), ("int8", 0.001, 0, None)],
)
def test_quantized_inputs_and_outputs_go_by_their_own_scale(tmp_path, dtype, scale, zero_point, within):
    graph = tiny.copying((1, 4, 6, 3), dtype, scale, zero_point)
    detector = Detector(tiny.checkpoint(tmp_path, graph, COPY), 1)
    given = np.linspace(-1, 1, 72, dtype=np.float32).reshape(1, 4, 6, 3)
    (found,) = detector.invoke(given)
    assert found.dtype == np.float32
    if within is None:  # values beyond what the type holds are clipped, not wrapped around
        assert found.ravel() == pytest.approx(np.clip(given.ravel(), -0.128, 0.127), abs=0.0006)
    else:
        assert np.abs(found - given.reshape(1, 72)).max() <= within


def test_whole_numbers_without_a_scale_are_the_pixels_themselves(tmp_path):
    detector = Detector(tiny.checkpoint(tmp_path, tiny.copying((1, 4, 6, 3), "uint8"), COPY), 1)
    given = np.arange(72, dtype=np.float32).reshape(1, 4, 6, 3) * 4
    assert detector.invoke(given)[0].ravel().tolist() == np.clip(given.ravel(), 0, 255).tolist()


def test_rounding_is_to_the_nearest():
    tensor = {"dtype": np.int8, "quantization": (0.5, -2)}
    assert quantized(np.float32([0.3, -0.3, 0.2, 100]), tensor).tolist() == [-1, -3, -2, 127]
    assert dequantized(np.int8([-1, -3]), tensor).tolist() == [0.5, -0.5]


def test_an_input_of_open_size_gets_the_size_that_is_specified(tmp_path):
    graph = tiny.copying((1, 1, 1, 3), open_shape=(-1, -1, -1, 3))
    detector = Detector(tiny.checkpoint(tmp_path, graph, COPY), 1)
    assert detector.invoke(np.zeros((1, 4, 6, 3), dtype=np.float32))[0].shape == (1, 72)


def test_outputs_are_called_as_the_files_signature_calls_them(tmp_path):
    graph = tiny.detr()
    assert Detector(tiny.checkpoint(tmp_path, graph), 1).names == ["logits", "boxes"]
    graph = tiny.detr()
    graph.signature(where=1, what=0)
    spec = tiny.DETR | {"outputs": tiny.DETR["outputs"] | {"logits": "what", "boxes": "where"}}
    detector = Detector(tiny.checkpoint(tmp_path, graph, spec), 1)
    assert detector.names == ["what", "where"]
    assert len(detector.detect(picture_of(tmp_path), 640, 480)[0]) == 5


def test_boxes_are_in_pixels_of_the_original_and_inside_it(tmp_path):
    """The queries' boxes, computed by hand from the weights' outputs."""
    detector = Detector(tiny.checkpoint(tmp_path, tiny.detr(queries=40)), 1)
    picture = picture_of(tmp_path)
    boxes, scores, labels = detector.detect(picture, 640, 480)
    logits, shares = detector.invoke(detector.prepare(picture)[0])
    cx, cy, w, h = shares[0].astype(np.float64).T
    left, top = np.clip(cx - w / 2, 0, 1) * 640, np.clip(cy - h / 2, 0, 1) * 480
    right, bottom = np.clip(cx + w / 2, 0, 1) * 640, np.clip(cy + h / 2, 0, 1) * 480
    likely = np.exp(logits[0]) / np.exp(logits[0]).sum(axis=1, keepdims=True)
    order = np.argsort(-likely[:, :-1].max(axis=1), kind="stable")
    assert np.abs(boxes - np.stack([left, top, right - left, bottom - top], axis=1)[order]).max() < 1e-3
    assert np.abs(scores - likely[:, :-1].max(axis=1)[order]).max() < 1e-6
    assert labels.tolist() == likely[:, :-1].argmax(axis=1)[order].tolist()
    assert boxes.min() >= 0
    assert (boxes[:, 0] + boxes[:, 2]).max() <= 640 + 1e-9 and (boxes[:, 1] + boxes[:, 3]).max() <= 480 + 1e-9


def test_only_boxes_of_the_labels_asked_for_come_back(tmp_path):
    detector = Detector(tiny.checkpoint(tmp_path, tiny.detr(queries=40)), 1)
    picture = picture_of(tmp_path)
    every = detector.detect(picture, 640, 480)[2]
    assert set(every) == {0, 1, 2}
    assert detector.detect(picture, 640, 480, {1})[2].tolist() == [1] * (every == 1).sum()


# --- what cannot be run ---


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (b"", "is no whole .tflite file (mmap of size 0 requested"),
        (b"hello world" * 100, "is no whole .tflite file (The model is not a valid Flatbuffer buffer)"),
        (tiny.detr().bytes()[:900], "is no whole .tflite file (The model is not a valid Flatbuffer buffer)"),
        (tiny.detr().bytes()[:-10], "is no whole .tflite file"),
        (tiny.detr(extra=Op.CUSTOM, custom=b"FlexSin"), "LiteRT has no kernel for operator FlexSin of "),
        (tiny.detr(extra=200), "LiteRT has no kernel for operator STABLEHLO_WHILE of "),
        (tiny.detr(extra=Op.CONV_2D), "(CONV_2D) failed to prepare): convert the model again"),
        (
            tiny.copying((1, 3, 8, 8)),
            "takes an input 1x3x8x8, and its specification says 1x8x8x3: set `input.size: [8, 8]` and "
            "`input.layout: NCHW` of the model's `detector` in config/models.yaml.",
        ),
        (tiny.copying((1, 6, 4, 3)), "says 1x8x8x3: set `input.size: [6, 4]` and `input.layout: NHWC` of"),
        (tiny.copying((1, 1, 9, 3), open_shape=(1, -1, 9, 3)), "says 1x8x8x3: set `input.size: [1, 9]`"),
        (tiny.copying((1, 64, 3)), "convert the model so that it takes one RGB image."),
        (tiny.copying((2, 8, 8, 3)), "convert the model so that it takes one RGB image."),
    ],
)
def test_a_file_that_cannot_be_run_is_one_sentence_that_names_it(tmp_path, graph, reason):
    folder = tiny.checkpoint(tmp_path, graph)
    with pytest.raises(UserError) as fault:
        Detector(folder, 1)
    assert reason in str(fault.value)
    assert str(folder / "model.tflite") in str(fault.value)
    assert "\n" not in str(fault.value)
    assert str(fault.value).endswith(".")


def test_a_model_that_asks_for_more_than_the_image_is_refused(tmp_path):
    graph = tiny.detr()
    graph.main.inputs.append(graph.tensor("mask", (1, 8, 8)))
    with pytest.raises(UserError, match=r"has 2 inputs \(`image` 1x8x8x3, `mask` 1x8x8\), and a detector here has one"):
        Detector(tiny.checkpoint(tmp_path, graph), 1)


@pytest.mark.parametrize("name", ["model.tflite", "detector.json", "checkpoint.json"])
def test_a_folder_that_is_no_whole_checkpoint_names_what_is_missing(tmp_path, name):
    folder = tiny.checkpoint(tmp_path, tiny.detr())
    assert manifest(folder)["files"].keys() == {"model.tflite"}
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"is not a whole checkpoint \({name} is missing\): delete it"):
        manifest(folder)
    if name != "checkpoint.json":
        with pytest.raises(UserError, match=rf"{name} does not exist"):
            Detector(folder, 1)


@pytest.mark.parametrize("name", ["model.tflite", "detector.json"])
def test_a_checkpoint_that_has_changed_since_it_was_made_is_told(tmp_path, name):
    folder = tiny.checkpoint(tmp_path / "checkpoint", tiny.detr())
    manifest(folder)
    content = bytearray((folder / name).read_bytes())
    place = len(content) // 2 if name == "model.tflite" else content.index(b"127.5") + 1
    content[place] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"has changed since it was made .*: delete {folder} and run the same command"):
        manifest(folder)


def test_numbers_that_are_none_and_images_that_are_none_are_named(tmp_path):
    detector = Detector(tiny.checkpoint(tmp_path, tiny.detr(nan=True)), 1)
    picture = picture_of(tmp_path)
    with pytest.raises(UserError, match=r"model\.tflite gives NaN or infinite numbers for image .*picture\.png"):
        detector.detect(picture, 640, 480)
    picture.write_bytes(picture.read_bytes()[:300])
    with pytest.raises(UserError, match=r"the prepared image .*picture\.png cannot be read .*: delete it"):
        detector.detect(picture, 640, 480)
