"""From a SavedModel or Keras model to a .tflite file, by TensorFlow's own converter.

This runs in TensorFlow's own environment, where LiteRT is not installed: what the file holds is looked at elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bitbudget.errors import UserError, lacks_memory
from bitbudget.runtimes.litert.silence import silenced

OTHERWISE = "convert the model yourself, and name the .tflite file as `local` of a model of family tflite"
CONVERSION, MODEL, OUTPUTS = "conversion.json", "model.tflite", "outputs.npz"


class Source:
    """A fetched SavedModel or Keras model: `path` is its folder or file. Raises `UserError` without TensorFlow."""

    def __init__(self, fetched: Path):
        keras = next(fetched.glob("*.keras"), None)
        self.path = keras or fetched / "saved_model"
        with silenced():
            try:
                import tensorflow as tf
            except ImportError:
                raise UserError(
                    f"{self.path} is converted by TensorFlow, which is not installed here: run `make tensorflow` once, "
                    f"or Snakemake with --use-conda, or {OTHERWISE}."
                ) from None
            self.tf = tf
            with self._in_one_sentence():
                self.model = tf.keras.models.load_model(keras) if keras else tf.saved_model.load(str(self.path))
        self.keras = keras is not None

    def convert(self, name: str | None, images: Iterable[np.ndarray] = ()) -> bytes:
        """The .tflite file in the format of this name, in plain float32 for None.

        `images` are inputs as preprocessing makes them, float32, the representative data set of full integers.
        """
        tf = self.tf
        with silenced(), self._in_one_sentence():
            if self.keras:
                converter = tf.lite.TFLiteConverter.from_keras_model(self.model)
            else:
                converter = tf.lite.TFLiteConverter.from_saved_model(str(self.path))
            if name is not None:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if name == "tflite-float16":
                converter.target_spec.supported_types = [tf.float16]
            elif name == "tflite-int8-full":
                converter.representative_dataset = lambda: ([image] for image in images)
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            return converter.convert()

    def answer(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """The model's own outputs by name, which the file's signature has as well; empty where they have no names."""
        with silenced(), self._in_one_sentence():
            if self.keras:
                found = self.model(pixels, training=False)
            else:
                signature = self.model.signatures["serving_default"]
                (name,) = signature.structured_input_signature[1]
                found = signature(**{name: self.tf.constant(pixels)})
            return {key: np.asarray(value) for key, value in found.items()} if isinstance(found, dict) else {}

    @contextmanager
    def _in_one_sentence(self) -> Iterator[None]:
        """Make a `UserError` of what TensorFlow raises within the block: its converter raises what its passes raise."""
        try:
            yield
        except Exception as fault:
            if lacks_memory(fault):
                raise
            reason = " ".join(str(fault).split())[:200].rstrip(".")
            said = f"TensorFlow cannot convert {self.path} ({reason})"
            raise UserError(f"{said}: {OTHERWISE}, with LiteRT's operators alone.") from None
