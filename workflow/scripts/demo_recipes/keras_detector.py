"""The demo detector of TensorFlow's route: a small EfficientDet in Keras, with raw anchors as outputs.

A convolutional backbone, two levels of a pyramid, and heads that give each anchor class scores and a box, as in Tan et
al. 2020 (arXiv 1911.09070). It needs TensorFlow, which has an environment of its own (`make tensorflow`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from PIL import Image

from bitbudget.datasets.demo.scenes import SHAPES, Scene, box_of, draw, make_scene
from bitbudget.runtimes.litert.decoding import anchors, decode
from bitbudget.runtimes.litert.nms import iou
from bitbudget.runtimes.litert.preprocessing import prepare
from bitbudget.runtimes.litert.spec import complete
from demo_recipes.pictures import FIRST_HELD_OUT_SEED, FIRST_TRAINING_SEED, training_picture

SIDE = 96
PICTURES = 32  # in a training batch
# As `detector` of demo-keras in docs/tensorflow-detectors.md has it: anchors of 20 and 40 pixels.
DETECTOR: dict[str, Any] = {
    "input": {"size": [SIDE, SIDE], "mean": [127.5] * 3, "std": [127.5] * 3},
    "outputs": {
        "kind": "anchors", "boxes": "boxes", "scores": "scores", "min_level": 3, "max_level": 4, "num_scales": 1,
        "aspect_ratios": [1], "anchor_scale": 2.5,
    },
    "classes": {"ids": "names", "names": list(SHAPES)},
}  # fmt: skip
SPEC = complete(DETECTOR)
CENTRES, SIZES = anchors(SPEC["input"]["size"], SPEC["outputs"])


def build_model(batch: int | None = None) -> keras.Model:
    """A new, untrained model (66 232 parameters, float32) that takes this many pictures at a time."""
    given = layers.Input((SIDE, SIDE, 3), batch_size=batch, name="pixels")
    x = _convolution(given, 16, 2)
    x = _separable(_separable(x, 24, 2), 24)
    third = _separable(_separable(_separable(x, 48, 2), 48), 48)
    fourth = _separable(_separable(third, 96, 2), 64)
    merged = layers.Add()([layers.Conv2D(64, 1)(third), layers.UpSampling2D(2)(fourth)])
    levels = [_separable(merged, 64), fourth]
    # unlikely at first, so that the many empty places do not drown the rest (Lin et al. 2017, arXiv 1708.02002)
    rare = keras.initializers.Constant(-np.log(99.0))
    boxes = [_head(level, 4, "zeros") for level in levels]
    scores = [_head(level, len(SHAPES), rare) for level in levels]
    outputs = {
        "boxes": layers.Concatenate(axis=1, name="boxes")(boxes),
        "scores": layers.Concatenate(axis=1, name="scores")(scores),
    }
    return keras.Model(given, outputs, name="demo_keras")


def _convolution(x: Any, channels: int, stride: int = 1, size: int = 3) -> Any:
    x = layers.Conv2D(channels, size, stride, "same", use_bias=False)(x)
    return layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.97)(x))


def _separable(x: Any, channels: int, stride: int = 1) -> Any:
    x = layers.DepthwiseConv2D(3, stride, "same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.97)(x))
    return _convolution(x, channels, size=1)


def _head(level: Any, numbers: int, bias: Any) -> Any:
    x = layers.Conv2D(numbers, 3, padding="same", bias_initializer=bias)(_separable(level, 64))
    return layers.Reshape((-1, numbers))(x)


def pixels_of(pictures: list[Image.Image]) -> np.ndarray:
    """Pictures as the model takes them: (pictures, side, side, 3) float32."""
    return np.concatenate([prepare(picture, SPEC["input"])[0] for picture in pictures])


def truth_of(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """A scene's shapes: labels [n], and boxes x1, y1, x2, y2 [n, 4] as shares of the picture."""
    width, height = (scene.aspect, 1.0) if scene.aspect >= 1 else (1.0, 1 / scene.aspect)
    boxes = np.float64([box_of(shape, width, height) for shape in scene.shapes]) / [width, height, width, height]
    boxes[:, 2:] += boxes[:, :2]
    return np.array([SHAPES.index(shape.shape) for shape in scene.shapes]), boxes


def targets_of(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each anchor is to say: classes [n, classes], box [n, 4], and how much it counts [n, 1].

    An anchor stands for the shape that it overlaps by half, and each shape has at least its nearest anchor. Anchors
    that overlap one by .3 to .5 do not count, for nobody could say which they are.
    """
    labels, boxes = truth_of(scene)
    corners = np.concatenate([CENTRES - SIZES / 2, CENTRES + SIZES / 2], axis=1)[:, [1, 0, 3, 2]]
    shared = np.stack([iou(box, corners) for box in boxes], axis=1)
    owner = np.where(shared.max(axis=1) >= 0.5, shared.argmax(axis=1), -1)
    owner[shared.argmax(axis=0)] = np.arange(len(boxes))
    counts = ((owner >= 0) | (shared.max(axis=1) < 0.3)).astype(np.float32)
    mine = np.flatnonzero(owner >= 0)
    classes, wanted = np.zeros((len(owner), len(SHAPES)), np.float32), np.zeros((len(owner), 4), np.float32)
    classes[mine, labels[owner[mine]]] = 1
    theirs = boxes[owner[mine]]
    size = (theirs[:, 2:] - theirs[:, :2])[:, ::-1]
    centre = ((theirs[:, 2:] + theirs[:, :2]) / 2)[:, ::-1]
    wanted[mine] = np.concatenate([(centre - CENTRES[mine]) / SIZES[mine], np.log(size / SIZES[mine])], axis=1)
    return classes, wanted, counts[:, None]


def batch_of(step: int, seed: int) -> tuple[np.ndarray, ...]:
    """The pictures of a training step, always the same for a seed, and what is to be said of each."""
    first = FIRST_TRAINING_SEED + 700_000_000 + seed * 10_000_000 + step * PICTURES
    shown = [training_picture(number) for number in range(first, first + PICTURES)]
    targets = zip(*(targets_of(scene) for scene, _ in shown), strict=True)
    return pixels_of([picture for _, picture in shown]), *(np.stack(part) for part in targets)


def loss_of(found: dict[str, Any], classes: Any, boxes: Any, counts: Any) -> Any:
    """The focal loss of all anchors that count and the Huber loss of those with a shape, per shape's anchor."""
    owned = tf.reduce_max(classes, axis=-1, keepdims=True)
    number = tf.maximum(tf.reduce_sum(owned), 1.0)
    said = tf.sigmoid(found["scores"])
    right = classes * said + (1 - classes) * (1 - said)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(classes, found["scores"])
    named = tf.reduce_sum(counts * (1 - right) ** 2 * entropy) / (2 * number)
    off = tf.abs(found["boxes"] - boxes)
    near = tf.reduce_sum(owned * tf.where(off < 0.1, 5 * off**2, off - 0.05)) / number
    return named + 2 * near


def held_out(model: keras.Model, count: int = 200) -> dict[str, float]:
    """The shares of the shapes of held-out scenes that are found, with an IoU of 0.5 and of 0.75.

    In a scene of n shapes the n surest boxes count; a shape is found if one of these has its kind and such a box.
    """
    scenes = [make_scene(FIRST_HELD_OUT_SEED + k) for k in range(count)]
    outputs = model.predict_on_batch(pixels_of([draw(scene, 256) for scene in scenes]))
    found, total = {0.5: 0, 0.75: 0}, 0
    for row, scene in enumerate(scenes):
        arrays = [outputs["boxes"][row][None], outputs["scores"][row][None]]
        boxes, _, kinds = decode(arrays, ["boxes", "scores"], SPEC, "the model", "a held-out scene")
        labels, truth = truth_of(scene)
        total += len(labels)
        for label, box in zip(labels, truth, strict=True):
            mine = boxes[: len(labels)][kinds[: len(labels)] == label]
            best = float(iou(box, mine).max(initial=0.0))
            for least in found:
                found[least] += best >= least
    return {f"found_at_{least}": round(number / total, 4) for least, number in found.items()}


def save(model: keras.Model, path: Path) -> None:
    """Write the model as a .keras file that takes one picture at a time."""
    single = build_model(batch=1)
    single.set_weights(model.get_weights())
    path.parent.mkdir(parents=True, exist_ok=True)
    single.save(path)
