"""The formats of .tflite files: every file holds what its format says, and still detects."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_detectors
import tiny_tflite

from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.models.formats.litert import FORMATS, OPERATORS, PLAIN
from bitbudget.runtimes.litert import flatbuffer, quantizing
from bitbudget.runtimes.litert.interpreter import Detector
from bitbudget.runtimes.litert.weights import recognise

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
SPECS = [
    {"format": name} | options
    for name in FORMATS
    for options in ([{"operators": "weights"}, {"operators": "all"}] if name == "litert-int8-full" else [{}])
]


def images(count=4, height=64, width=96, seed=0):
    return list(np.random.default_rng(seed).uniform(-1, 1, (count, 1, height, width, 3)).astype(np.float32))


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    return tiny_detectors.exported("operators", tmp_path_factory)


@pytest.fixture(scope="module")
def detr(tmp_path_factory):
    return tiny_detectors.exported("detr", tmp_path_factory)


def quantized(exported, spec, folder, given=None):
    """A folder with the exported file in a format."""
    calibrated = FORMATS[spec["format"]].calibrated
    content = quantizing.quantize(exported / "model.tflite", spec, images() if calibrated and given is None else given)
    return tiny_tflite.checkpoint(folder, content, spec=Detector(exported, 1).spec)


def outputs(folder, kernel="xnnpack"):
    detector = Detector(folder, 1, kernel)
    return [
        np.concatenate(found) for found in zip(*(detector.invoke(image) for image in images(3, seed=9)), strict=True)
    ]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_file_holds_what_its_format_says(operators, tmp_path, spec):
    (graph,) = flatbuffer.read(quantized(operators, spec, tmp_path / "made") / "model.tflite")
    fmt = FORMATS[spec["format"]]
    found = {weight.operator: recognise(weight) for weight in graph.weights()}
    assert found == {operator: fmt.weights_of(operator) for operator in found}
    assert set(found) == set(OPERATORS) - {"EMBEDDING_LOOKUP"}
    if fmt.name in ("litert-float16", "litert-int8", "litert-int4"):
        assert fmt.name in found.values()


@pytest.mark.parametrize("kernel", ["xnnpack", "builtin"])
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_what_comes_out_is_near_the_exported_models(operators, tmp_path, spec, kernel):
    """Rounding to 8 bits and to half precision moves outputs by less than their spread; 4 bits by about that."""
    most = {"FLOAT32": 1e-5, "": 1e-5, "FLOAT16": 3e-3, "INT8": 0.12, "INT4": 0.5}[FORMATS[spec["format"]].type]
    for exact, found in zip(
        outputs(operators), outputs(quantized(operators, spec, tmp_path / "made"), kernel), strict=True
    ):
        assert np.linalg.norm(found - exact) < most * np.linalg.norm(exact - exact.mean())


def test_bits_save_bytes(operators, tmp_path):
    sizes = []
    for name in ("litert-float32", "litert-float16", "litert-int8", "litert-int4"):
        graphs = flatbuffer.read(quantized(operators, {"format": name}, tmp_path / name) / "model.tflite")
        sizes.append(sum(flatbuffer.bytes_by_type(graphs).values()))
    assert sizes == sorted(set(sizes), reverse=True)


@pytest.mark.parametrize("name", ["litert-float32", "litert-as-is"])
def test_formats_that_change_nothing_leave_every_byte(operators, name):
    path = operators / "model.tflite"
    assert quantizing.quantize(path, {"format": name}) == path.read_bytes()


def test_all_operators_in_whole_numbers_means_the_input_and_the_outputs_too(operators, tmp_path):
    """But for matrix products of constants: LiteRT makes zeros of those whose whole numbers have a scale a channel."""
    folder = quantized(operators, {"format": "litert-int8-full", "operators": "all"}, tmp_path / "made")
    (graph,) = flatbuffer.read(folder / "model.tflite")
    types = {graph.tensors[operator.outputs[0]].type: set() for operator in graph.operators}
    for operator in graph.operators:
        types[graph.tensors[operator.outputs[0]].type].add(operator.name)
    assert types.keys() == {"INT8", "FLOAT32"}
    assert types["FLOAT32"] == {"DEQUANTIZE", "BATCH_MATMUL"}
    made = {out for operator in graph.operators for out in operator.outputs}
    given = {index for operator in graph.operators for index in operator.inputs}
    ends = {t.type for k, t in enumerate(graph.tensors) if t.data is None and (k in made) != (k in given)}
    assert ends == {"INT8"}


def test_rounding_the_input_as_it_comes_does_not_break_detr(detr, tmp_path):
    """With its matrix products in int8 as well, XNNPACK gives NaN."""
    folder = quantized(detr, {"format": "litert-int8-dynamic"}, tmp_path / "made")
    assert all(np.isfinite(output).all() for output in outputs(folder))


def test_ranges_are_those_of_all_images_in_any_order(operators):
    path = operators / "model.tflite"
    steps = quantizing.recipe(FORMATS["litert-int8-full"], {"operators": "all"}, flatbuffer.read(path))
    given = images(3)
    given[0] *= 3
    found = [quantizing.calibrate(path, path.read_bytes(), steps, order) for order in (given, given[::-1])]
    (name,) = [n for n in found[0] if n.startswith("serving_default_args_0")]
    assert found[0][name]["max"].max() == pytest.approx(max(image.max() for image in given))
    assert len(found[0]) > 20
    for tensor, ranges in found[0].items():
        assert all(np.array_equal(ranges[end], found[1][tensor][end]) for end in ("min", "max"))


def test_a_file_that_is_quantized_already_stays_as_it_is(operators, tmp_path):
    held = quantized(operators, {"format": "litert-int4"}, tmp_path / "held") / "model.tflite"
    assert quantizing.quantize(held, {"format": "litert-as-is"}) == held.read_bytes()
    for name in ("litert-float32", "litert-float16", "litert-int8"):
        with pytest.raises(UserError, match=rf"holds weights in INT4 and INT8 already, so {name} .* litert-as-is"):
            quantizing.quantize(held, {"format": name})


def test_calibrating_needs_images(operators):
    with pytest.raises(UserError, match="litert-int8-full needs images to calibrate on"):
        quantizing.quantize(operators / "model.tflite", {"format": "litert-int8-full", "operators": "weights"})


def test_calibrating_needs_a_signature(tmp_path):
    path = tmp_path / "old.tflite"
    path.write_bytes(tiny_tflite.detr().bytes())
    with pytest.raises(UserError, match=r"old\.tflite has no signatures, where calibrating needs one"):
        quantizing.quantize(path, {"format": "litert-int8-full", "operators": "weights"}, images(1, 8, 8))


def test_a_file_without_signature_can_have_the_other_formats(tmp_path):
    """As files of older TensorFlow are."""
    exported = tiny_tflite.checkpoint(tmp_path / "old", tiny_tflite.detr())
    folder = quantized(exported, {"format": "litert-int8"}, tmp_path / "made")
    (graph,) = flatbuffer.read(folder / "model.tflite")
    assert {recognise(weight) for weight in graph.weights()} == {"litert-int8"}


def test_nothing_that_libraries_print_reaches_the_log(operators, capfd):
    quantizing.quantize(operators / "model.tflite", {"format": "litert-int8-full", "operators": "all"}, images(2))
    assert capfd.readouterr() == ("", "")


def test_every_format_is_told_apart_from_the_others():
    uses = [(fmt.type, fmt.use) for fmt in FORMATS.values()]
    assert len(set(uses)) == len(uses)
    for fmt in FORMATS.values():
        assert {fmt.weights_of(operator) for operator in OPERATORS} <= {*FORMATS, PLAIN}
        assert fmt.runtime == "litert"
        assert fmt.description


def test_registered_formats_are_there():
    listed = {name for name, module in registry.FORMATS.items() if module.endswith(".litert")}
    assert listed <= set(FORMATS)
    assert {name for name in listed if registry.format_of(name).is_float} == {
        "litert-float32",
        "litert-float16",
        "litert-as-is",
    }
    assert [name for name in listed if registry.format_of(name).calibrated] == ["litert-int8-full"]


def test_the_formats_can_be_read_without_the_libraries():
    """The workflow reads them while it is parsed."""
    code = (
        "import sys; from bitbudget import registry; registry.format_of('litert-int8').weights_of('CONV_2D')\n"
        "heavy = {'torch', 'numpy', 'ai_edge_litert', 'ai_edge_quantizer'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(SCRIPTS)})
