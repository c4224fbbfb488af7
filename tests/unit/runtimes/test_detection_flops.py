"""The operations of a detector, held against numbers worked out by hand and against torch's counter."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_detectors
import tiny_tflite
import torch
from torch.utils.flop_counter import FlopCounterMode

import count_detector_flops
from bitbudget.runtimes.litert import flatbuffer, flops

SPEC = {"study": "s", "model": "m", "precision": "float32", "condition": "zero-shot", "seed": 53}
HASH = "a" * 64


def counted(folder: Path, spec=None):
    file = folder / "model.tflite"
    shapes = flops.shapes_of(file, spec or json.loads((folder / "detector.json").read_text())["input"])
    return flops.count(flatbuffer.read(file)[0], shapes)


def test_a_linear_layer_takes_two_operations_for_each_weight(tmp_path):
    folder = tiny_tflite.checkpoint(tmp_path, tiny_tflite.detr(size=8, queries=5, classes=3))
    found, others = counted(folder)
    assert found == {"FULLY_CONNECTED": 2 * (8 * 8 * 3) * (5 * 4) + 2 * (8 * 8 * 3) * (5 * 4)}
    assert others == {"RESHAPE": 3, "LOGISTIC": 1}


def test_every_operator_that_multiplies_is_counted_as_torch_counts_it(tmp_path_factory):
    """Convolutions strided, depthwise and transposed, linear layers and products of matrices."""
    found, others = counted(tiny_detectors.exported("operators", tmp_path_factory))
    height, width = tiny_detectors.SIZE
    model = tiny_detectors.Operators().eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, height, width))
    assert set(found) | set(others) >= {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"}
    assert sum(found.values()) == counter.get_total_flops()
    by_hand = 2 * (16 * 24) * 8 * 27 + 2 * (4 * 6) * 16 * (8 * 8 * 8)
    assert found["CONV_2D"] == by_hand
    assert found["DEPTHWISE_CONV_2D"] == 2 * (16 * 24 * 8) * 9
    assert found["TRANSPOSE_CONV"] == 2 * (16 * 24 * 8) * 4 * 8


# DETR's decoder begins with the same 8 queries for every picture: its first three projections (32 x 32) are constants.
@pytest.mark.parametrize(("kind", "folded"), [("yolos", 0), ("detr", 3 * 2 * 8 * 32 * 32), ("rt_detr", 0)])
def test_an_exported_detector_takes_the_operations_that_torch_counts(kind, folded, tmp_path_factory):
    from transformers import AutoModelForObjectDetection

    from bitbudget.measuring.flops import OF_PROCESSORS

    folder = tiny_detectors.exported(kind, tmp_path_factory)
    found, _ = counted(folder)
    source = tmp_path_factory.mktemp("again")
    torch.manual_seed(0)
    model = (
        AutoModelForObjectDetection.from_pretrained(tiny_detectors.snapshot(kind, source)).eval().requires_grad_(False)
    )
    with FlopCounterMode(display=False, custom_mapping=OF_PROCESSORS) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, *tiny_detectors.SIZE))
    assert sum(found.values()) + folded == counter.get_total_flops()


def test_an_open_input_is_counted_at_the_size_of_the_specification(tmp_path):
    graph = tiny_tflite.Graph()
    graph.main.inputs = [graph.tensor("image", (1, 1, 1, 3), open_shape=(1, -1, -1, 3))]
    weights = graph.tensor("weights", (4, 1, 1, 3), data=np.ones((4, 1, 1, 3)))
    bias = graph.tensor("bias", (4,), data=np.zeros(4))
    out = graph.tensor("out", (1, 1, 1, 4), open_shape=(1, -1, -1, 4))
    options = tiny_tflite.schema.Conv2DOptionsT()
    options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
    graph.main.outputs = [graph.op(tiny_tflite.Op.CONV_2D, [*graph.main.inputs, weights, bias], out, "Conv2DOptions")]
    graph.main.operators[0].builtinOptions = options
    (tmp_path / "model.tflite").write_bytes(graph.bytes())
    found, _ = counted(tmp_path, {"size": [6, 10], "layout": "NHWC"})
    assert found == {"CONV_2D": 2 * 60 * 4 * 3}


def run(tmp_path, monkeypatch, checkpoint):
    for name, content in (("audit", {"checkpoint_hash": HASH}), ("subset", {"subset_hash": HASH})):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    given = {"checkpoint": checkpoint, "audit": tmp_path / "audit.json", "subset": tmp_path / "subset.json",
             "spec": json.dumps(SPEC), "out": tmp_path / "flops.json"}  # fmt: skip
    arguments = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["count_detector_flops", *arguments])
    count_detector_flops.main()
    return json.loads((tmp_path / "flops.json").read_text())


def test_the_record_says_what_was_counted_and_what_was_not(tmp_path, monkeypatch):
    record = run(tmp_path, monkeypatch, tiny_tflite.checkpoint(tmp_path / "checkpoint", tiny_tflite.detr()))
    assert record["metrics"]["flops_per_item"]["value"] == 4 * 192 * 20
    assert record["not_counted"] == {"RESHAPE": 3, "LOGISTIC": 1}
    assert record["checkpoint_hash"] == HASH


def test_what_a_loop_would_multiply_has_no_number(tmp_path, monkeypatch):
    graph = tiny_tflite.detr()
    graph.model.subgraphs = [graph.main, graph.main]
    record = run(tmp_path, monkeypatch, tiny_tflite.checkpoint(tmp_path / "checkpoint", graph))
    assert "FULLY_CONNECTED" in record["metrics"]["flops_per_item"]["absent"]
