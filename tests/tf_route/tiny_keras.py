"""Run by TensorFlow's Python: a tiny Keras detector with operators of all kinds, as .keras and as SavedModel."""

import sys
from pathlib import Path

import keras
from keras import layers

CLASSES, QUERIES = 5, 10


def build() -> keras.Model:
    """Random weights; among them weights of fewer and of more than 1024 numbers of every kind."""
    keras.utils.set_random_seed(1)
    given = layers.Input((64, 64, 3), batch_size=1)
    x = layers.Conv2D(16, 3, 2, "same", activation="silu")(given)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x)
    x = layers.DepthwiseConv2D(5, 2, "same", depth_multiplier=8)(x)
    x = layers.Activation("hard_silu")(layers.BatchNormalization()(x))
    x = layers.MaxPooling2D(2)(layers.Conv2D(64, 1)(x))
    gate = layers.Conv2D(16, 1, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, layers.Conv2D(64, 1, activation="sigmoid")(gate)])
    up, wide = layers.Conv2DTranspose(64, 2, 2)(x), layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.Add()([layers.Conv2D(64, 1)(up), wide])
    x = layers.Conv2D(32, 3, padding="same", activation="leaky_relu")(layers.Concatenate()([x, up]))
    flat = layers.Flatten()(layers.AveragePooling2D(2)(x))
    boxes = layers.Dense(QUERIES * 4, activation="sigmoid")(layers.Dense(96, activation="relu")(flat))
    logits = layers.Dense(QUERIES * CLASSES)(layers.Dense(20, activation="tanh")(flat))
    outputs = {"boxes": layers.Reshape((QUERIES, 4))(boxes), "logits": layers.Reshape((QUERIES, CLASSES))(logits)}
    return keras.Model(given, outputs)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    model = build()
    model.save(folder / "model.keras")
    model.export(folder / "saved_model")
