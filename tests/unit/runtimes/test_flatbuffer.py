"""Reading .tflite files: what they hold, what the numbers stand for, and files that are not whole."""

import numpy as np
import pytest
import tiny_detectors
import tiny_tflite
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from bitbudget.errors import UserError
from bitbudget.runtimes.litert import flatbuffer, quantizing


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    return tiny_detectors.exported("operators", tmp_path_factory) / "model.tflite"


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.tflite"
    path.write_bytes(tiny_tflite.detr().bytes())
    return path


def test_every_operator_with_weights_is_found_with_the_dimension_of_its_channels(operators):
    (graph,) = flatbuffer.read(operators)
    found = [(weight.operator, weight.tensor.shape, weight.axis) for weight in graph.weights()]
    assert sorted(found) == [
        ("BATCH_MATMUL", (4, 16, 16), 2),
        ("CONV_2D", (8, 3, 3, 3), 0),
        ("CONV_2D", (16, 8, 8, 8), 0),
        ("DEPTHWISE_CONV_2D", (1, 3, 3, 8), 3),
        ("FULLY_CONNECTED", (4, 16), 0),
        ("FULLY_CONNECTED", (4, 16), 0),
        ("FULLY_CONNECTED", (16, 16), 0),
        ("TRANSPOSE_CONV", (8, 2, 2, 8), 0),
    ]
    assert {(weight.tensor.type, weight.dequantized, weight.result) for weight in graph.weights()} == {
        ("FLOAT32", False, "FLOAT32")
    }
    assert flatbuffer.operators([graph])["CONV_2D"] == 2


@pytest.mark.parametrize("name", ["litert-float16", "litert-int8", "litert-int4"])
def test_numbers_stand_for_what_litert_makes_of_them(operators, tmp_path, name):
    """LiteRT's own kernels turn the constants of these formats into floats: ours must be the same."""
    path = tmp_path / "model.tflite"
    path.write_bytes(quantizing.quantize(operators, {"format": name}))
    (graph,) = flatbuffer.read(path)
    interpreter = Interpreter(
        str(path),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    made = [operator for operator in graph.operators if operator.name == "DEQUANTIZE"]
    assert len(made) >= 7
    for operator in made:
        ours = graph.tensors[operator.inputs[0]].values()
        np.testing.assert_allclose(interpreter.get_tensor(operator.outputs[0]), ours, rtol=1e-6, atol=0)
    floats = sum(4 * graph.tensors[operator.outputs[0]].size for operator in made)
    assert flatbuffer.dequantized_bytes([graph]) == floats


def test_halves_of_bytes_are_read_lower_half_first():
    data = np.array([0x1F, 0x80, 0x07], dtype=np.uint8)
    tensor = flatbuffer.Tensor("w", "INT4", (5,), 1, data, np.float32([2.0]), np.zeros(1, np.int64), 0, False)
    assert tensor.numbers().tolist() == [-1, 1, 0, -8, 7]
    assert tensor.values().tolist() == [-2, 2, 0, -16, 14]


def test_bytes_are_those_of_the_buffers_and_shared_ones_count_once(small):
    (graph,) = flatbuffer.read(small)
    numbers = 192 * 5 * 4 * 2
    assert flatbuffer.bytes_by_type([graph]) == {"FLOAT32": 4 * numbers, "INT32": 4 * (2 + 3 + 3)}
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(small.read_bytes(), 0))
    first, second = (t for t in model.subgraphs[0].tensors if t.name.endswith(b"/weights"))
    second.buffer = first.buffer
    small.write_bytes(packed(model))
    assert flatbuffer.bytes_by_type(flatbuffer.read(small))["FLOAT32"] == 2 * numbers


def test_custom_operators_have_their_own_names(tmp_path):
    path = tmp_path / "custom.tflite"
    path.write_bytes(
        tiny_tflite.detr(extra=schema.BuiltinOperator.CUSTOM, custom=b"TFLite_Detection_PostProcess").bytes()
    )
    assert flatbuffer.operators(flatbuffer.read(path))["TFLite_Detection_PostProcess"] == 1


def packed(model):
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def behind(path, beyond=0):
    """Put the weights behind the flatbuffer, as large files have them; `beyond` moves them past the file's end."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    buffer = next(b for b in model.buffers if b.data is not None and len(b.data) > 100)
    data, buffer.data = bytes(buffer.data), None
    buffer.offset, buffer.size = 2**20, len(data)
    buffer.offset = -(-len(packed(model)) // 16) * 16 + beyond
    path.write_bytes(packed(model).ljust(buffer.offset - beyond, b"\0") + data)


def test_constants_behind_the_flatbuffer_are_read(small):
    before = [weight.tensor.values() for weight in flatbuffer.read(small)[0].weights()]
    behind(small)
    after = [weight.tensor.values() for weight in flatbuffer.read(small)[0].weights()]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_constants_beyond_the_end_are_a_cut_off_file(small):
    behind(small, beyond=4096)
    with pytest.raises(UserError, match=r"small\.tflite is cut off or damaged \(a tensor would end at byte"):
        flatbuffer.read(small)


def test_a_file_that_is_cut_off_anywhere_is_named(operators, tmp_path):
    whole, path = operators.read_bytes(), tmp_path / "cut.tflite"
    for length in range(8, len(whole), len(whole) // 40):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.tflite is cut off or damaged .*: fetch or make it again\."):
            flatbuffer.read(path)


def test_a_tensor_whose_bytes_do_not_fit_its_shape_is_damage(small):
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(small.read_bytes(), 0))
    tensor = next(t for t in model.subgraphs[0].tensors if t.name == b"logits/weights")
    tensor.shape = np.int32([7, 192])
    small.write_bytes(packed(model))
    with pytest.raises(UserError, match=r"tensor logits/weights has 15360 bytes, where its shape needs 5376"):
        flatbuffer.read(small)


@pytest.mark.parametrize("content", [b"", b"<!doctype html>"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "page.tflite"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"page\.tflite is no \.tflite file, whose bytes 4 to 8 are TFL3"):
        flatbuffer.read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.tflite does not exist"):
        flatbuffer.read(tmp_path / "none.tflite")
