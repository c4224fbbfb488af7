"""The formats of TensorFlow's converter, as far as they can be known without it; tests/tf_route runs it."""

import pytest

from bitbudget import registry
from bitbudget.models.formats.litert import PLAIN, PRODUCTS

LIKE = {
    "tflite-float16": "litert-float16",
    "tflite-int8-dynamic": "litert-int8-dynamic",
    "tflite-int8-full": "litert-int8-full",
}


@pytest.mark.parametrize(("name", "like"), LIKE.items())
def test_weights_lie_as_in_one_of_litert_s_formats(name, like):
    fmt, other = registry.format_of(name), registry.format_of(like)
    assert (fmt.made_of, other.made_of) == ("saved-model", "")
    assert {fmt.weights_of(operator, 2000) for operator in PRODUCTS} == {like}
    assert (fmt.is_float, fmt.calibrated) == (other.is_float, other.calibrated)
    assert fmt.everywhere({}) == (name == "tflite-int8-full")


def test_the_dynamic_range_leaves_small_weights_in_float32():
    fmt = registry.format_of("tflite-int8-dynamic")
    assert fmt.weights_of("CONV_2D", 1023) == PLAIN
    assert fmt.weights_of("CONV_2D", 1024) == "litert-int8-dynamic"
    assert registry.format_of("tflite-int8-full").weights_of("CONV_2D", 9) == "litert-int8-full"
