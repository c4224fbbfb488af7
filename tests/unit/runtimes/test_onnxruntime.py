"""Vision towers and projectors that ONNX Runtime computes: made, loaded, audited, and every planted fault named."""

import shutil

import numpy as np
import onnx
import onnxruntime
import ort_checkpoints as made
import pytest
import tiny_models as tiny
import torch

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.measuring.phases import PhaseTimer
from bitbudget.models import checkpoint
from bitbudget.models.families import parts
from bitbudget.registry import format_of
from bitbudget.runtimes.onnxruntime import quantizing, reaching, sessions
from bitbudget.runtimes.onnxruntime.audit import grid
from bitbudget.runtimes.onnxruntime.module import OrtModule
from bitbudget.system import machine
from made_once import made_once

FORMATS = ("ort-float32", "ort-int8-dynamic", "ort-int8")
FC1 = "encoder.layers.0.mlp.fc1.weight"
KERNELS = {
    "ort-float32": "MatMul", "ort-int8-dynamic": "DynamicQuantizeMatMul", "ort-int8": "MatMulIntegerToFloat",
}  # fmt: skip


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory):
    return made_once(tmp_path_factory, "ort-idefics3", lambda folder: tiny.idefics3(folder / "model")) / "model"


@pytest.fixture(scope="session")
def towers(tmp_path_factory, snapshot):
    """By format, a checkpoint whose vision tower is held in it."""

    def of(name):
        def make(folder):
            made.make(snapshot, folder / "checkpoint", tiny.IDEFICS, vision=name)

        return made_once(tmp_path_factory, f"ort-idefics3-{name}", make) / "checkpoint"

    return of


@pytest.fixture
def copied(towers, tmp_path):
    """A copy of such a checkpoint that a test may change."""
    return lambda name: shutil.copytree(towers(name), tmp_path / "checkpoint")


@pytest.mark.parametrize("name", FORMATS)
def test_a_tower_answers_like_the_original_and_passes_the_audit(snapshot, towers, name):
    folder = towers(name)
    model, original = (
        checkpoint.load(folder, tiny.IDEFICS, "cpu"),
        checkpoint.load_original(snapshot, tiny.IDEFICS, "float32"),
    )
    assert isinstance(model.model.vision_model, OrtModule)
    assert not any(value.is_meta for value in model.parameters())
    inputs = tiny.inputs_of(snapshot, tiny.IDEFICS)
    with torch.inference_mode():
        found, wanted = (one(**inputs).logits for one in (model, original))
    error = ((found - wanted).norm() / wanted.norm()).item()
    assert error < 1e-5 if name == "ort-float32" else 1e-4 < error < 0.15
    layers, others = made.audited(snapshot, folder, tiny.IDEFICS)
    assert made.faults((layers, others)) == {}
    layer = next(layer for layer in layers if layer.path.endswith(FC1.removesuffix(".weight")))
    assert (layer.found, layer.parameters) == (name, 64 * 128)
    assert KERNELS[name] in layer.kernel
    assert onnxruntime.__version__ in layer.kernel
    assert layer.storage == ("float32" if name == "ort-float32" else quantizing.weight_type())


def test_int8_makes_the_file_a_quarter_of_its_matrices(towers):
    plain, small = ((towers(name) / "vision.onnx").stat().st_size for name in FORMATS[:2])
    matrices = 2 * (4 * 64 * 64 + 2 * 64 * 128)  # of two layers
    assert plain - small == pytest.approx(3 * matrices, rel=0.15)


def test_the_manifest_tells_how_the_file_was_made(towers):
    told = files.read_json(towers("ort-int8") / checkpoint.MANIFEST)["group_files"][0]["told"]
    one = told["modules"]["model.vision_model"]
    assert told["onnxruntime"] == onnxruntime.__version__
    assert one["relative_difference"] < 1e-5
    assert one["calibration_images"] == len(reaching.SIZES)
    assert one["open_dimensions"] == {"[1]['pixel_values']": [0], "[1]['patch_attention_mask']": [0]}


def test_the_time_of_a_tower_counts_as_vision(snapshot, towers):
    model = checkpoint.load(towers("ort-int8-dynamic"), tiny.IDEFICS, "cpu")
    paths = parts.vision_modules(tiny.IDEFICS, model)
    assert paths == ("model.vision_model", "model.connector")
    inputs = tiny.inputs_of(snapshot, tiny.IDEFICS)
    timer = PhaseTimer(model, paths, "cpu")
    with torch.inference_mode():
        phases = timer.time(lambda: inputs, lambda given: model.generate(**given, max_new_tokens=2, do_sample=False))
    assert 0 < phases.vision < phases.total


def test_a_model_in_bfloat16_is_given_bfloat16(tmp_path):
    source = tiny.llava(tmp_path / "model")
    folder = made.make(source, tmp_path / "made", tiny.LLAVA, "bfloat16", projector="ort-int8-dynamic")
    model = checkpoint.load(folder, tiny.LLAVA, "cpu")
    projector = model.model.multi_modal_projector
    assert projector(torch.ones(1, 4, 64, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert made.faults(made.audited(source, folder, tiny.LLAVA, "bfloat16")) == {}
    assert (projector.dtype, projector.device) == (torch.bfloat16, torch.device("cpu"))


def zeroed(codes):
    codes[:, 3] = 0
    return codes


def off_by_one(codes):
    codes[5, 7] += 1 if codes[5, 7] < 0 else -1
    return codes


def doubled(scale):
    scale[2] *= 2
    return scale


def nudged(values):
    values.flat[0] += 1e-3
    return values


@pytest.mark.parametrize(
    ("name", "constant", "plant", "path"),
    [
        ("ort-int8-dynamic", f"{FC1}^T_quantized", zeroed, FC1),
        ("ort-int8-dynamic", f"{FC1}^T_quantized", off_by_one, FC1),
        ("ort-int8-dynamic", f"{FC1}^T_scale", doubled, FC1),
        ("ort-int8", f"{FC1}^T_quantized", zeroed, FC1),
        ("ort-int8", f"{FC1}^T_scale", doubled, FC1),
        ("ort-int8-dynamic", "embeddings.patch_embedding.weight", nudged, "embeddings.patch_embedding.weight"),
        ("ort-float32", f"{FC1}^T", nudged, FC1),
    ],
)
def test_a_planted_fault_is_named(snapshot, copied, name, constant, plant, path):
    folder = copied(name)
    made.change(folder / "vision.onnx", constant, plant)
    assert f"model.vision_model.{path.removesuffix('.weight')}" in {
        found.removesuffix(".weight") for found in made.faults(made.audited(snapshot, folder, tiny.IDEFICS))
    }


def test_a_graph_that_computes_something_else_is_named(snapshot, copied):
    """Its weights are all right, and a constant that belongs to none of them is not."""
    folder = copied("ort-float32")
    graph = onnx.load(folder / "vision.onnx")
    next(node for node in graph.graph.node if node.op_type == "Softmax").attribute[0].i = 1
    onnx.save(graph, folder / "vision.onnx")
    found = made.faults(made.audited(snapshot, folder, tiny.IDEFICS))
    assert list(found) == ["model.vision_model"]
    assert "where rounding explains 1.00e-04" in found["model.vision_model"]


def test_ranges_that_cut_everything_off_are_named(snapshot, copied):
    folder = copied("ort-int8")
    names = [one.name for one in onnx.load(folder / "vision.onnx").graph.initializer]
    for name in [name for name in names if name.endswith("_scale") and "weight" not in name]:
        made.change(folder / "vision.onnx", name, lambda scale: scale / np.float32(50))
    assert "model.vision_model" in made.faults(made.audited(snapshot, folder, tiny.IDEFICS))


def test_processors_that_overflow_get_unsigned_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "look", lambda: machine.Machine("a processor", False, int8_overflows=True))
    source = tiny.llava(tmp_path / "model")
    folder = made.make(source, tmp_path / "made", tiny.LLAVA, projector="ort-int8-dynamic")
    found = made.audited(source, folder, tiny.LLAVA)
    assert made.faults(found) == {}
    assert {layer.storage for layer in found[0]} == {"uint8"}


def test_the_grid_is_the_quantizers_own():
    """By hand: a row of -2 to 1 has steps of 3 / 255 with zero at 170; about zero, of 2 / 127."""
    row = torch.tensor([[-2.0, 0.5, 1.0]])
    assert [value.item() if hasattr(value, "item") else value for value in grid(row, "uint8")] == [
        pytest.approx(3 / 255), 170, 0, 255,
    ]  # fmt: skip
    assert grid(row, "int8")[0].item() == pytest.approx(2 / 127)


def test_another_call_than_the_exported_one_is_refused(towers):
    tower = checkpoint.load(towers("ort-float32"), tiny.IDEFICS, "cpu").model.vision_model
    with pytest.raises(UserError, match=r"is called in another way than when vision\.onnx was exported"):
        tower(pixel_values=torch.zeros(1, 3, 32, 32), output_hidden_states=True)


def test_another_number_of_threads_is_followed(towers, monkeypatch):
    tower = checkpoint.load(towers("ort-float32"), tiny.IDEFICS, "cpu").model.vision_model
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    tower(
        pixel_values=torch.zeros(1, 3, 32, 32), patch_attention_mask=torch.ones(1, 4, 4, dtype=torch.bool),
        return_dict=True,
    )  # fmt: skip
    assert tower.session.get_session_options().intra_op_num_threads == tower.threads == 2


def test_a_build_without_a_provider_for_the_gpu_is_told(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UserError, match=r"no execution provider for cuda .* install onnxruntime-gpu"):
        sessions.providers("cuda")


def test_a_study_on_a_gpu_leaves_it_out_where_the_build_is_for_processors():
    gpu = machine.Machine("a processor", True, gpu=machine.Gpu("a GPU", (9, 0)))
    fmt = format_of("ort-int8-dynamic")
    assert "install onnxruntime-gpu in its place" in fmt.unfit({}, "float16", gpu, "cuda")
    assert fmt.unfit({}, "float16", gpu, "cpu") is None


def test_a_decoder_is_refused(snapshot, tmp_path):
    with pytest.raises(UserError, match="holds vision and projector, which a model calls once for a picture"):
        made.make(snapshot, tmp_path / "made", tiny.IDEFICS, language="ort-int8-dynamic")


def test_a_tower_with_the_projector_in_it_is_refused(tmp_path):
    source = tiny.qwen2_vl(tmp_path / "model")
    with pytest.raises(UserError, match=r"cannot hold the group vision by itself: model.visual.merger"):
        made.make(source, tmp_path / "made", tiny.QWEN, vision="ort-int8-dynamic")


def test_made_up_pictures_reach_the_tower_in_calls_of_different_sizes(snapshot):
    model = checkpoint.original(snapshot, tiny.IDEFICS, "float32")
    (path,) = reaching.modules_of("vision", tiny.IDEFICS, model.model)
    calls = reaching.calls(model, tiny.IDEFICS, [path], reaching.made_up(snapshot, tiny.IDEFICS))[path]
    tiles = [call.kwargs["pixel_values"].shape[0] for call in calls]
    assert len(tiles) == len(reaching.SIZES)
    assert tiles[0] < tiles[1]
    assert all(value.is_meta for value in model.model.model.vision_model.parameters())
