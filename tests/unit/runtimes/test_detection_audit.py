"""The audit of detectors' files: what is not what its name says is found and named, and what is right passes."""

import copy
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tiny_detectors
import tiny_tflite
from ai_edge_litert.tools import flatbuffer_utils

from bitbudget.errors import UserError
from bitbudget.models.formats.litert import FORMATS
from bitbudget.runtimes.litert import activations, audit, flatbuffer, outputs, quantizing
from bitbudget.runtimes.litert.interpreter import Detector
from bitbudget.runtimes.litert.weights import recognise, rounded

SPECS = tiny_detectors.specs()
FULL = {"format": "litert-int8-full", "operators": "weights"}


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    return tiny_detectors.exported("operators", tmp_path_factory)


@pytest.fixture(scope="module")
def yolos(tmp_path_factory):
    return tiny_detectors.exported("yolos", tmp_path_factory)


@pytest.fixture(scope="module")
def detr(tmp_path_factory):
    return tiny_detectors.exported("detr", tmp_path_factory)


@pytest.fixture(scope="module")
def rt_detr(tmp_path_factory):
    return tiny_detectors.exported("rt_detr", tmp_path_factory)


made = tiny_detectors.quantized


def changed(folder, name, change):
    """Change the tensor whose name and type begin so, by a function of its schema object and its bytes."""
    path = str(folder / "model.tflite")
    model = flatbuffer_utils.read_model(path)
    (tensor,) = [
        t for t in model.subgraphs[0].tensors if t.name.decode() == name and model.buffers[t.buffer].data is not None
    ]
    data = bytearray(bytes(model.buffers[tensor.buffer].data))
    change(tensor, data)
    model.buffers[tensor.buffer].data = np.frombuffer(bytes(data), np.uint8)
    flatbuffer_utils.write_model(model, path)
    return folder


def weights_of(folder, operator):
    """The name of the first weights of an operator."""
    return next(w.tensor.name for w in flatbuffer.read(folder / "model.tflite")[0].weights() if w.operator == operator)


def refused(exported, folder, spec):
    with pytest.raises(UserError) as caught:
        audit.audit(exported, folder, "the-precision", spec)
    return str(caught.value)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("kind", ["operators", "yolos", "detr", "rt_detr"])
def test_a_right_checkpoint_passes(kind, spec, tmp_path, request):
    exported = request.getfixturevalue(kind)
    folder = made(exported, spec, tmp_path / "made")
    found = audit.audit(exported, folder, "x", spec)
    (graph,) = flatbuffer.read(folder / "model.tflite")
    assert len(found["layers"]) == len(list(graph.weights())) > 7
    assert sum(group["bytes"] for group in found["groups"].values()) == found["weights_bytes_in_memory"]
    assert found["weights_bytes_in_memory"] == sum(found["tensor_types"].values())
    assert found["weights_bytes_in_memory"] < (folder / "model.tflite").stat().st_size
    for layer in found["layers"]:
        rounds = layer["found"].startswith(("litert-int8", "litert-int4"))
        assert (layer["relative_error"] is not None) == rounds
        if rounds:
            assert 0 < layer["relative_error"] == pytest.approx(layer["promised_error"], rel=1e-4)
    used = {FORMATS[layer["found"]].use for layer in found["layers"]}
    assert (found["dequantized_bytes"] > 0) == ("dequantized" in used)
    assert found["delegate"]["name"] == "XNNPACK"


def test_parameters_are_counted_alike_in_all_precisions(yolos, tmp_path):
    counts = {
        audit.audit(yolos, made(yolos, spec, tmp_path / str(k)), "x", spec)["groups"]["detector"]["parameters"]
        for k, spec in enumerate(SPECS)
    }
    assert len(counts) == 1


def test_kernels_say_what_xnnpack_does_not_take(yolos, tmp_path):
    """It has kernels for 8-bit weights that are dequantized, and none for such weights of 4 bits."""
    kernels = {}
    for name in ("litert-int8", "litert-int4"):
        found = audit.audit(yolos, made(yolos, {"format": name}, tmp_path / name), "x", {"format": name})
        kernels[name] = {layer["kernel"] for layer in found["layers"]}
    assert "FULLY_CONNECTED (XNNPACK)" in kernels["litert-int8"]
    assert "FULLY_CONNECTED (LiteRT)" in kernels["litert-int4"]


# --- the traps ---


@pytest.mark.parametrize(("operator", "name"), [("CONV_2D", "model.strided"), ("FULLY_CONNECTED", "model.linear")])
def test_other_weights_are_found(operators, tmp_path, operator, name):
    spec = {"format": "litert-int8"}
    folder = made(operators, spec, tmp_path / "made")
    tensor = weights_of(folder, operator)
    assert tensor.startswith(name)

    def zeros(_, data):
        data[:] = bytes(len(data))

    sentence = refused(operators, changed(folder, tensor, zeros), spec)
    assert sentence.startswith(f"precision the-precision is not what its name says: {tensor} (operator ")
    assert "has weights that are off by 1.000, where litert-int8 promises 0.00" in sentence


@pytest.mark.parametrize("spec", [{"format": "litert-int8-dynamic"}, FULL, {"format": "litert-int4"}], ids=str)
def test_other_scales_are_found(operators, tmp_path, spec):
    folder = made(operators, spec, tmp_path / "made")

    def doubled(tensor, _):
        tensor.quantization.scale = [2 * scale for scale in tensor.quantization.scale]

    sentence = refused(operators, changed(folder, weights_of(folder, "CONV_2D"), doubled), spec)
    assert f"where {spec['format']} promises" in sentence


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("litert-int8-dynamic", "has 8 scales along dimension 3, where kernels read 8 along dimension 0"),
        ("litert-int8", "where litert-int8 promises"),  # made floats along that dimension, they are other numbers
    ],
)
def test_scales_along_another_dimension_are_found(operators, tmp_path, name, fault):
    folder = made(operators, {"format": name}, tmp_path / "made")

    def turned(tensor, _):
        tensor.quantization.quantizedDimension = 3

    tensor = weights_of(folder, "TRANSPOSE_CONV")
    assert fault in refused(operators, changed(folder, tensor, turned), {"format": name})


def test_zero_points_are_found(operators, tmp_path):
    spec = {"format": "litert-int8"}
    folder = made(operators, spec, tmp_path / "made")

    def shifted(tensor, data):
        tensor.quantization.zeroPoint = [1] * len(tensor.quantization.scale)
        data[:] = (np.frombuffer(bytes(data), np.int8) + np.int8(1)).tobytes()  # 127 becomes -128

    sentence = refused(operators, changed(folder, weights_of(folder, "CONV_2D"), shifted), spec)
    assert "has zero points other than 0, which kernels do not read" in sentence


def test_an_operator_that_was_skipped_is_found(operators, tmp_path, monkeypatch):
    """The trap of skip lists: the file is smaller, runs and detects, and is not what it is called."""
    spec, fmt = {"format": "litert-int8"}, FORMATS["litert-int8"]
    whole = type(fmt).weights_of

    def spared(self, operator):
        return "litert-float32" if operator == "CONV_2D" else whole(self, operator)

    with monkeypatch.context() as patch:
        patch.setattr(type(fmt), "weights_of", spared)
        folder = made(operators, spec, tmp_path / "made")
    sentence = refused(operators, folder, spec)
    assert "holds litert-float32 (FLOAT32) where litert-int8 was asked for" in sentence
    assert sentence.count("where litert-int8 was asked for") == 2, "both convolutions, and nothing else"


def test_what_a_format_declares_to_stay_in_floats_is_no_fault(operators, tmp_path):
    spec = {"format": "litert-int8-full", "operators": "weights"}
    found = audit.audit(operators, made(operators, spec, tmp_path / "made"), "x", spec)
    held = {layer["kernel"].partition(" ")[0]: layer["found"] for layer in found["layers"]}
    assert held["BATCH_MATMUL"] == "litert-float32"
    assert held["CONV_2D"] == held["DEPTHWISE_CONV_2D"] == held["TRANSPOSE_CONV"] == "litert-int8-full"


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        ("litert-int8", "litert-int8-dynamic"),
        ("litert-int8-dynamic", "litert-int8"),
        ("litert-int4", "litert-int8"),
        ("litert-float16", "litert-float32"),
        ("litert-float32", "litert-float16"),
    ],
)
def test_another_format_is_found(yolos, tmp_path, asked, held):
    folder = made(yolos, {"format": held}, tmp_path / "made")
    assert f"where {asked} was asked for" in refused(yolos, folder, {"format": asked})


@pytest.mark.parametrize("name", ["litert-float32", "litert-float16"])
def test_another_bit_of_a_float_is_found(operators, tmp_path, name):
    folder = made(operators, {"format": name}, tmp_path / "made")

    def flipped(_, data):
        data[0] ^= 1

    sentence = refused(operators, changed(folder, weights_of(folder, "CONV_2D"), flipped), {"format": name})
    assert f"holds {name} as was asked, but other weights than the exported file" in sentence


@pytest.mark.parametrize("spec", [{"format": "litert-int8"}, FULL], ids=str)
def test_another_bias_is_found(operators, tmp_path, spec):
    """As floats to the last bit; as whole numbers, whose step is tiny, by two steps."""
    folder = made(operators, spec, tmp_path / "made")
    (graph,) = flatbuffer.read(folder / "model.tflite")
    bias = graph.tensors[next(o for o in graph.operators if o.name == "CONV_2D").inputs[2]].name

    def moved(_, data):
        kind = np.float32 if spec["format"] == "litert-int8" else np.int32
        numbers = np.frombuffer(bytes(data), kind).copy()
        numbers[0] += 2
        data[:] = numbers.tobytes()

    sentence = refused(operators, changed(folder, bias, moved), spec)
    assert re.search(r"differs from the exported file|is off by [12]\.\d steps of its scale", sentence)


@pytest.mark.parametrize(("name", "fault"), [("litert-int8", "holds INT8, one scale where FLOAT32"), (None, None)])
def test_a_constant_may_be_rounded_only_where_whole_numbers_are_computed_with(name, fault):
    """A layer norm's factors, say."""
    exact = flatbuffer.Tensor("c", "FLOAT32", (2,), 1, np.float32([1.0, 2.54]).view(np.uint8), *unscaled(), 0, False)
    held = flatbuffer.Tensor(
        "c", "INT8", (2,), 1, np.int8([50, 127]).view(np.uint8), np.float32([0.02]), np.zeros(1, np.int64), 0, False
    )
    found = audit.fault_of_other(audit.Constant(held, exact), {"format": name} if name else FULL)
    assert found == fault or found.startswith(fault)
    beyond = replace(held, data=np.int8([51, 127]).view(np.uint8))
    assert audit.fault_of_other(audit.Constant(beyond, exact), FULL).startswith("is off by 1.0 steps of its scale")


def unscaled():
    return np.zeros(0, np.float32), np.zeros(0, np.int64)


def test_a_file_of_another_model_is_found(operators, yolos, tmp_path):
    folder = made(yolos, {"format": "litert-int8"}, tmp_path / "made")
    sentence = refused(operators, folder, {"format": "litert-int8"})
    assert "does not have the operators of the exported one" in sentence


def test_weights_that_took_each_others_place_are_found(tmp_path):
    """Both have the same shape, so that the file runs."""
    from ai_edge_litert import schema_py_generated as schema

    exported = tiny_tflite.checkpoint(tmp_path / "exported", tiny_tflite.detr(classes=3))
    path = tmp_path / "made"
    shutil.copytree(exported, path)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs((path / "model.tflite").read_bytes(), 0))
    first, second = (t for t in model.subgraphs[0].tensors if t.name.endswith(b"/weights"))
    first.buffer, second.buffer = second.buffer, first.buffer
    flatbuffer_utils.write_model(model, str(path / "model.tflite"))
    assert "logits/weights (operator 1) holds litert-float32" in refused(exported, path, {"format": "litert-float32"})


def test_a_file_that_is_taken_as_it_is_is_the_same_file(operators, tmp_path):
    folder = made(operators, {"format": "litert-as-is"}, tmp_path / "made")
    path = folder / "model.tflite"
    path.write_bytes(path.read_bytes() + b"\0")
    assert "is another file than the model's" in refused(operators, folder, {"format": "litert-as-is"})


def test_a_ready_file_of_8_bits_passes_as_it_is(yolos, tmp_path):
    """Whatever it holds is said, and held against nothing but the same file."""
    ready = made(yolos, {"format": "litert-int8-full", "operators": "all"}, tmp_path / "ready")
    found = audit.audit(
        ready, made(ready, {"format": "litert-as-is"}, tmp_path / "made"), "x", {"format": "litert-as-is"}
    )
    assert {layer["found"] for layer in found["layers"]} == {"litert-as-is"}
    assert {layer["storage"].split(",")[0] for layer in found["layers"]} == {"INT8"}
    assert found["tensor_types"]["INT8"] > 10_000


def test_a_model_that_yields_no_numbers_fails_with_one_sentence(tmp_path):
    folder = tiny_tflite.checkpoint(tmp_path / "nan", tiny_tflite.detr(nan=True))
    sentence = refused(folder, folder, {"format": "litert-float32"})
    assert "gives NaN or infinite numbers for image a drawn test picture" in sentence
    assert "\n" not in sentence


def test_weights_beyond_the_range_of_half_precision_fail(tmp_path):
    """They are rounded to infinity, as the format says, and nothing sensible comes out."""
    graph = tiny_tflite.detr()
    weights = next(t for t in graph.main.tensors if t.name == b"logits/weights")
    large = np.frombuffer(bytes(graph.model.buffers[weights.buffer].data), np.float32) * 1e6
    graph.model.buffers[weights.buffer].data = np.frombuffer(large.tobytes(), np.uint8)
    exported = tiny_tflite.checkpoint(tmp_path / "exported", graph)
    folder = tmp_path / "made"
    shutil.copytree(exported, folder)
    (folder / "model.tflite").write_bytes(quantizing.quantize(exported / "model.tflite", {"format": "litert-float16"}))
    assert "gives NaN or infinite numbers" in refused(exported, folder, {"format": "litert-float16"})


def test_a_ready_file_is_held_to_nothing_else_and_that_is_said(yolos, tmp_path):
    folder = made(yolos, {"format": "litert-as-is"}, tmp_path / "made")
    found = audit.audit(yolos, folder, "x", {"format": "litert-as-is"})
    assert "a file that was quantized wrongly passes" in " ".join(found["not_held"])


def test_ranges_that_nobody_recorded_are_told(operators, tmp_path):
    """Scales are held against one another and to the outputs then."""
    folder = made(operators, FULL, tmp_path / "made")
    (folder / "checkpoint.json").unlink()
    found = audit.audit(operators, folder, "x", FULL)
    assert "records no ranges" in " ".join(found["not_held"])
    assert "ranges" not in found


@pytest.mark.parametrize("operators_", ["weights", "all"])
def test_ranges_that_were_wrong_from_the_start_are_found_where_images_are_seen_again(
    operators, tmp_path, monkeypatch, operators_
):
    """The file and its record agree, and both are wrong."""
    spec = {"format": "litert-int8-full", "operators": operators_}
    right = quantizing.calibrate

    def narrow(*given):
        return {name: {key: part * 0.25 for key, part in one.items()} for name, one in right(*given).items()}

    with monkeypatch.context() as patch:
        patch.setattr(quantizing, "calibrate", narrow)
        folder = made(operators, spec, tmp_path / "made")
    images = tiny_detectors.images()
    ranges = activations.seen(operators / "model.tflite", images, 1)
    with pytest.raises(UserError, match=r"has the scale .*, where the range -1 to 1 gives 0\.007843"):
        audit.audit(operators, folder, "x", spec, ranges)


@pytest.mark.parametrize("kind", ["operators", "detr", "rt_detr"])
def test_ranges_are_those_that_the_quantizer_sees(kind, request):
    """Worked out apart from it, in the same kernels, also where numbers stand for infinity."""
    path = request.getfixturevalue(kind) / "model.tflite"
    graphs, images = flatbuffer.read(path), tiny_detectors.images()
    steps = quantizing.recipe(FORMATS["litert-int8-full"], {"operators": "all"}, graphs)
    theirs = quantizing.calibrate(path, path.read_bytes(), steps, images)
    ours = activations.seen(path, images, 1)
    names = flatbuffer.computed(graphs[0]) & theirs.keys() & ours.keys()
    assert len(names) > 30
    for name in names:
        assert ours[name] == pytest.approx(quantizing.ends_of(theirs[name]), rel=1e-5)


def test_another_specification_is_found(operators, tmp_path):
    folder = made(operators, {"format": "litert-int8"}, tmp_path / "made")
    given = (folder / "detector.json").read_text()
    (folder / "detector.json").write_text(given.replace("127.5", "0"))
    assert "detector.json is another file than the model's" in refused(operators, folder, {"format": "litert-int8"})


@pytest.mark.parametrize("spec", [one for one in SPECS if one["format"] != "litert-as-is"], ids=str)
def test_outputs_that_rounding_does_not_explain_are_found(operators, tmp_path, monkeypatch, spec):
    """As of kernels that make zeros of a layer."""
    folder = made(operators, spec, tmp_path / "made")
    right = Detector.invoke

    def wrong(self, given):
        found = right(self, given)
        return [0 * found[0], *found[1:]] if self.file.parent == folder else found

    monkeypatch.setattr(Detector, "invoke", wrong)
    sentence = refused(operators, folder, spec)
    assert re.search(r"output \w+ is off by [01][.\d]*, where the format's rounding explains 0\.\d+\.$", sentence)


def test_rows_that_were_chosen_are_held_against_the_nearest():
    """One query of five was chosen in another's place, and two stand in another order."""
    generator = np.random.default_rng(0)
    logits, boxes = generator.normal(size=(1, 5, 4)), generator.uniform(size=(1, 5, 4))
    order = [0, 2, 1, 3, 4]
    other = boxes[:, order].copy()
    other[0, 4] = generator.uniform(size=4)
    wanted = {"logits": [logits] * 4, "boxes": [boxes] * 4, "count": [np.float32([5])] * 4}
    found = {"a": [logits[:, order]] * 4, "b": [other * 1.01] * 4, "c": [np.float32([4])] * 4}
    errors = outputs.compare(found, wanted, "detr")
    assert errors["a"] == 0 and errors["b"] == pytest.approx(0.01, rel=0.5) and errors.keys() == {"a", "b"}
    assert outputs.compare(found, wanted, "yolo")["a"] > 0.5


def test_two_formats_that_both_say_mine_are_an_error(monkeypatch):
    """Whichever comes first in the registry."""
    other = copy.copy(FORMATS["litert-int8"])
    other.name = "mine-too"
    tensor = flatbuffer.Tensor("w", "INT8", (1,), 1, np.int8([1]).view(np.uint8), np.ones(1), np.zeros(1), 0, False)
    weight = flatbuffer.Weight("CONV_2D", 0, 1, tensor, True, "FLOAT32", 0)
    assert recognise(weight) == "litert-int8"
    monkeypatch.setitem(FORMATS, "mine-too", other)
    with pytest.raises(UserError, match=r"litert-int8 and mine-too both say that the weights w are theirs"):
        recognise(weight)


@pytest.mark.parametrize("name", ["litert-float16", "litert-int8", "litert-int8-dynamic", "litert-int4"])
@pytest.mark.parametrize("size", [0, 1e-12, 1e-7, 1e3])
def test_channels_of_any_size_pass(tmp_path, name, size):
    """The step of zeros is not 0."""
    graph = tiny_tflite.detr()
    tensor = next(t for t in graph.main.tensors if t.name == b"logits/weights")
    values = np.frombuffer(bytes(graph.model.buffers[tensor.buffer].data), np.float32).reshape(tensor.shape).copy()
    values[[0, 3]] *= np.float32(size)
    graph.model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
    exported = tiny_tflite.checkpoint(tmp_path / "exported", graph)
    folder = made(exported, {"format": name}, tmp_path / "made")
    assert audit.audit(exported, folder, "x", {"format": name})["layers"][0]["fault"] is None


# --- what the definition says, worked out by hand ---


@pytest.mark.parametrize(
    ("span", "scale", "zero_point"),
    [
        ((-1, 1.55), 0.01, -28),
        ((0, 255), 1, -128),
        ((-255, 0), 1, 127),
        ((2.55, 5.1), 0.02, -128),
        ((0, 0), None, -128),
    ],
)
def test_the_scale_of_a_range(span, scale, zero_point):
    """A range is stretched to reach 0, which must have a whole number of its own."""
    found = activations.scale_of(span)
    assert found == pytest.approx((scale or 1e-9 / 255, zero_point))


def test_numbers_that_stand_for_infinity_belong_to_no_range():
    assert activations.within(np.float32([-np.inf, -2, 3, 3.4e38])) == (-2, 3)
    assert activations.within(np.float32([1, 2])) == (1, 2)


def test_rounding_by_the_definition():
    weights = np.float32([[1.0, -0.5, 0.1], [0.0, 0.0, 0.0], [-14.0, 7.0, 3.1]])
    found = rounded(weights, 4, 0)
    np.testing.assert_allclose(found, [[1.0, -4 / 7, 1 / 7], [0, 0, 0], [-14, 8, 4]], rtol=1e-6)
    np.testing.assert_array_equal(rounded(weights.T, 4, 1), found.T)
