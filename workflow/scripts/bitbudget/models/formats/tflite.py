"""The formats of TensorFlow's own converter, `tf.lite.TFLiteConverter`, for a SavedModel or Keras model.

`convert_detector` makes the file, in an environment of its own, and `runtimes.litert.audit` holds it against the same
model's float32 file. The weights lie as in one of LiteRT's formats, `like`.
"""

from __future__ import annotations

from typing import Any

from bitbudget.models.formats import litert
from bitbudget.models.formats.litert import PLAIN, PRODUCTS, LiteRT

SMALL = 1024  # weights with fewer numbers stay in float32 in the dynamic range, by the converter's default

ABOUT = (
    "TensorFlow's converter",
    "quantizes a SavedModel or Keras model while it makes a .tflite file of it [@litert]. In float16 biases are in "
    "half precision, too; dynamic range leaves weights of fewer than 1024 numbers in float32; full integer computes "
    "every operator in 8 bits, by ranges seen on calibration images.",
)


class Converted(LiteRT):
    """A format that the converter makes: `like` is how its weights lie, but for those of fewer than `least` numbers."""

    made_of = "saved-model"
    free_options = ("asymmetricQuantizeInputs",)  # how inputs are rounded as they come

    def __init__(self, name: str, like: str, description: str, least: int = 0):
        base = litert.FORMATS[like]
        super().__init__(
            name, base.bits, base.type, base.use, (), description, otherwise=dict.fromkeys(PRODUCTS, like), about=ABOUT
        )
        self.is_float, self.calibrated, self.least = base.is_float, base.calibrated, least

    def weights_of(self, operator: str, size: int | None = None) -> str:
        return PLAIN if size is not None and size < self.least else super().weights_of(operator)

    def everywhere(self, spec: dict[str, Any]) -> bool:
        return self.calibrated


FORMATS: dict[str, LiteRT] = {
    f.name: f
    for f in (
        Converted(
            "tflite-float16", "litert-float16",
            "all constants in half precision, made float32 again where they are used, by TensorFlow's converter",
        ),
        Converted(
            "tflite-int8-dynamic", "litert-int8-dynamic",
            "weights in 8-bit integers, what they are multiplied with rounded as it comes, by TensorFlow's converter",
            least=SMALL,
        ),
        Converted(
            "tflite-int8-full", "litert-int8-full",
            "every operator in 8-bit integers, with ranges from calibration images, by TensorFlow's converter",
        ),
    )
}  # fmt: skip
