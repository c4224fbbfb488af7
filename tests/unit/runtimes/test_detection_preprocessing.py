"""Pictures into a detector's input, and boxes back: exact in every way of resizing."""

import numpy as np
import pytest
from PIL import Image

from bitbudget.runtimes.litert.preprocessing import Placement, placement, prepare

SPEC = {
    "size": [48, 80], "resize": "stretch", "padding": 114, "layout": "NHWC", "colour": "RGB",
    "mean": [0, 0, 0], "std": [255, 255, 255],
}  # fmt: skip
RESIZES = ("stretch", "letterbox", "corner")
PICTURES = [(640, 480), (80, 48), (33, 200), (200, 33), (1000, 1), (1, 1000), (79, 48)]


def noise(size, seed=0):
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("picture", PICTURES)
def test_boxes_come_back_where_they_were(resize, picture):
    """Boxes of the original go the way of the pixels: to the prepared picture, into the input, to shares of it."""
    found = placement(picture, (80, 48), resize)
    corners = np.random.default_rng(1).uniform(size=(200, 2, 2)) * [641, 479]  # the original was larger
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    x, y = boxes[:, 0::2] / 641 * found.width + found.left, boxes[:, 1::2] / 479 * found.height + found.top
    shares = np.stack([x[:, 0] / 80, y[:, 0] / 48, x[:, 1] / 80, y[:, 1] / 48], axis=1)
    assert np.abs(found.to_original(shares, 641, 479) - boxes).max() < 1e-6
    assert found.left >= 0 and found.left + found.width <= 80
    assert found.top >= 0 and found.top + found.height <= 48


@pytest.mark.parametrize(
    ("resize", "picture", "expected"),
    [
        ("stretch", (640, 480), (0, 0, 80, 48)),
        ("letterbox", (640, 480), (8, 0, 64, 48)),
        ("corner", (640, 480), (0, 0, 64, 48)),
        ("letterbox", (480, 640), (22, 0, 36, 48)),
        ("letterbox", (40, 12), (0, 12, 80, 24)),
        ("letterbox", (79, 48), (0, 0, 79, 48)),
        ("corner", (1000, 1), (0, 0, 80, 1)),
        ("letterbox", (1, 1000), (39, 0, 1, 48)),
    ],
)
def test_placement(resize, picture, expected):
    found = placement(picture, (80, 48), resize)
    assert (found.left, found.top, found.width, found.height) == expected


def test_boxes_beyond_the_picture_are_clipped():
    found = placement((480, 640), (80, 48), "letterbox")
    boxes = np.array([[0, 0, 1, 1], [-0.5, -0.5, 0.5, 0.5], [0, 0, 0.1, 0.1], [0.9, 0.9, 2, 2]])
    expected = [[0, 0, 480, 640], [0, 0, 240, 320], [0, 0, 0, 64], [480, 576, 480, 640]]
    assert np.abs(found.to_original(boxes, 480, 640) - expected).max() < 1e-9


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("resize", RESIZES)
def test_what_is_seen_lies_where_its_box_says(resize, layout):
    """A red rectangle is found in the input, and its corners there are those of the rectangle."""
    picture = Image.new("RGB", (320, 240), "white")
    picture.paste((255, 0, 0), (64, 48, 192, 144))
    given, found = prepare(picture, SPEC | {"resize": resize, "layout": layout})
    pixels = given[0] if layout == "NHWC" else given[0].transpose(1, 2, 0)
    assert pixels.shape == (48, 80, 3)
    y, x = np.nonzero((pixels[..., 0] > 0.9) & (pixels[..., 1] < 0.5))
    shares = np.array([[x.min() / 80, y.min() / 48, (x.max() + 1) / 80, (y.max() + 1) / 48]])
    assert found.to_original(shares, 320, 240)[0] == pytest.approx([64, 48, 192, 144], abs=3)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize(("padding", "expected"), [(114, [114, 114, 114]), ([10.5, 20, 30], [10.5, 20, 30])])
@pytest.mark.parametrize(("resize", "left"), [("letterbox", 8), ("corner", 0)])
def test_the_rest_of_the_input_is_padding(layout, padding, expected, resize, left):
    mean, std = [1, 2, 3], [4, 5, 6]
    spec = SPEC | {"resize": resize, "layout": layout, "padding": padding, "mean": mean, "std": std}
    given, _ = prepare(noise((64, 48)), spec)
    pixels = given[0] if layout == "NHWC" else given[0].transpose(1, 2, 0)
    rest = np.concatenate([pixels[:, :left], pixels[:, left + 64 :]], axis=1)
    assert rest.shape[1] == 16
    assert np.abs(rest - (np.array(expected) - mean) / std).max() < 1e-5
    inside = np.asarray(noise((64, 48)), dtype=np.float64)
    assert np.abs(pixels[:, left : left + 64] - (inside - mean) / std).max() < 1e-5


def test_channels_may_be_asked_for_in_the_other_order_and_mean_and_std_are_then_in_that():
    spec = SPEC | {"mean": [10, 20, 30], "std": [1, 2, 4]}
    picture = noise((80, 48))
    pixels = np.asarray(picture, dtype=np.float64)
    for colour, order in (("RGB", [0, 1, 2]), ("BGR", [2, 1, 0])):
        given, _ = prepare(picture, spec | {"colour": colour})
        assert np.abs(given[0] - (pixels[..., order] - [10, 20, 30]) / [1, 2, 4]).max() < 1e-5
        other, _ = prepare(picture, spec | {"colour": colour, "layout": "NCHW"})
        assert other.shape == (1, 3, 48, 80)
        assert (other[0].transpose(1, 2, 0) == given[0]).all()
        assert given.dtype == other.dtype == np.float32
        assert given.flags["C_CONTIGUOUS"] and other.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("picture", [(640, 480), (31, 57), (80, 48)])
@pytest.mark.parametrize("model", ["yolos", "rt_detr"])
def test_pixels_are_those_of_transformers(picture, model):
    if model == "yolos":
        from transformers.models.yolos.image_processing_pil_yolos import YolosImageProcessorPil as Processor

        mean, std = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255
    else:
        from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil as Processor

        mean, std = [0, 0, 0], [255, 255, 255]
    expected = Processor(size={"height": 48, "width": 80}, do_pad=False)(noise(picture), return_tensors="np")
    given, found = prepare(noise(picture), SPEC | {"mean": list(mean), "std": list(std), "layout": "NCHW"})
    assert expected["pixel_values"].shape == given.shape
    assert np.abs(expected["pixel_values"] - given).max() < 2e-6
    assert found == Placement(80, 48, 0, 0, 80, 48)
