"""The formats of detectors that LiteRT runs: how a .tflite file holds its weights, and what they are multiplied with.

Such a format is of a whole file, not of one layer, so it has neither `quantize` nor `state`:
`runtimes.litert.quantizing` makes the file, by AI Edge Quantizer, and `runtimes.litert.audit` says what it holds. The
formats of TensorFlow's own converter are in `tflite`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from bitbudget.models.formats import floats
from bitbudget.models.formats.base import Format

if TYPE_CHECKING:
    from torch import nn

# Operators of LiteRT's schema that have weights.
PRODUCTS = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
EMBEDDING, MATMUL = "EMBEDDING_LOOKUP", "BATCH_MATMUL"
OPERATORS = (*PRODUCTS, EMBEDDING, MATMUL)
EIGHT_BITS_AT_LEAST = ("DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")  # AI Edge Quantizer 0.10.0 has no 4-bit weights for them

PLAIN, AS_IS = "litert-float32", "litert-as-is"

_INTEGERS = (
    "LiteRT's weight-only formats",
    "store weights in 8 or 4 bits with one scale per channel and dequantize them to float32 before they are multiplied "
    "[@litert]: the file shrinks, the arithmetic stays.",
)
_DYNAMIC = (
    "Dynamic-range quantization",
    "in LiteRT rounds the inputs of each layer to 8 bits as they come, with scales worked out at run time, so that "
    "products run on integers without any calibration [@litert].",
)
ABOUT = {
    PLAIN: floats.ABOUT["float32"],
    AS_IS: (AS_IS, "is a ready .tflite file, byte for byte as it is."),
    "litert-float16": (
        "LiteRT's float16",
        "is a format of storage: the weights lie in the file in 16 bits and are made float32 again before they are "
        "multiplied, so that on a processor all arithmetic is that of float32 [@litert]. It halves the file and keeps "
        "activations from overflowing, but promises no speed.",
    ),
    "litert-int8": _INTEGERS,
    "litert-int4": _INTEGERS,
    "litert-int8-dynamic": _DYNAMIC,
    "litert-int4-dynamic": _DYNAMIC,
    "litert-int8-full": (
        "Full-integer quantization",
        "also fixes the ranges of the activations beforehand, from calibration images, so that layers compute in whole "
        "numbers only [@jacob2018integer; @litert]; an activation outside the calibrated range is cut off.",
    ),
}


class LiteRT(Format):
    """A way to hold the weights of a .tflite file.

    `type` is the tensor type that they are held in, and `use` what is done with them: `plain`; `dequantized` to
    float32 before they are multiplied; multiplied with inputs that are rounded to 8 bits as they come (`dynamic`) or
    are 8-bit integers themselves (`static`). `operators` are those whose weights are held so. Those of `otherwise` have
    the format that it names, and weights of any other operator stay in float32.
    """

    runtime = "litert"
    free_options: tuple[str, ...] = ()  # options of operators in LiteRT's schema that are part of the format

    def __init__(
        self,
        name: str,
        bits: int,
        type: str,
        use: str,
        operators: Iterable[str],
        description: str,
        otherwise: dict[str, str] | None = None,
        about: tuple[str, str] | None = None,
    ):
        self.name, self.bits, self.type, self.use, self.description = name, bits, type, use, description
        self.title, self.about = about or ABOUT[name]
        self.computes_in = "int8" if use in ("dynamic", "static") else "float32"
        self.unpacks = use == "dequantized"
        self._held = dict.fromkeys(operators, name) | (otherwise or {})

    def recognises(self, layer: nn.Module) -> bool:
        return False  # it is of files, and no layer that torch runs

    def weights_of(self, operator: str, size: int | None = None) -> str:
        """The name of the format that an operator's weights are held in under this one; `size` is how many numbers."""
        return self._held.get(operator, PLAIN)

    def everywhere(self, spec: dict[str, Any]) -> bool:
        """Whether every operator with a kernel for it computes in whole numbers, by the format's options."""
        return spec.get("operators") == "all"


class Float(LiteRT):
    is_float = True


class FullInteger(LiteRT):
    calibrated = True
    options: ClassVar[dict[str, Any]] = {
        "operators": {
            "description": "What computes in whole numbers: layers and convolutions (`weights`), or every operator "
            "that has a kernel for it, the input and the outputs as well (`all`).",
            "enum": ["weights", "all"],
            "default": "weights",
        }
    }


FORMATS: dict[str, LiteRT] = {
    f.name: f
    for f in (
        Float(PLAIN, 32, "FLOAT32", "plain", (), "single precision, as exported"),
        Float(
            "litert-float16", 16, "FLOAT16", "dequantized", (*PRODUCTS, EMBEDDING),
            "weights in half precision, made float32 again where they are used",
        ),
        Float(AS_IS, 32, "", "", (), "a ready .tflite file, byte for byte as it is"),
        LiteRT(
            "litert-int8", 8, "INT8", "dequantized", OPERATORS,
            "weights in 8-bit integers, one scale per channel, made float32 again where they are used",
        ),
        LiteRT(
            # Without MATMUL, whose products came out of XNNPACK as NaN for DETR (ai-edge-litert 2.3.0).
            "litert-int8-dynamic", 8, "INT8", "dynamic", (*PRODUCTS, EMBEDDING),
            "weights in 8-bit integers, one scale per channel; what they are multiplied with is rounded as it comes",
        ),
        FullInteger(
            # Without constants of MATMUL, of which LiteRT 2.3.0 makes zeros where each channel has a scale.
            "litert-int8-full", 8, "INT8", "static", PRODUCTS,
            "weights and what they are multiplied with in 8-bit integers, with ranges from calibration images",
        ),
        LiteRT(
            "litert-int4", 4, "INT4", "dequantized",
            [name for name in OPERATORS if name not in EIGHT_BITS_AT_LEAST],
            "weights in 4-bit integers, one scale per channel, made float32 again where they are used; depthwise and "
            "transposed convolutions in 8 bits",
            otherwise=dict.fromkeys(EIGHT_BITS_AT_LEAST, "litert-int8"),
        ),
        LiteRT(
            "litert-int4-dynamic", 4, "INT4", "dynamic", ("FULLY_CONNECTED", "CONV_2D", EMBEDDING),
            "weights in 4-bit integers, one scale per channel; what they are multiplied with is rounded to 8 bits as "
            "it comes; depthwise and transposed convolutions in 8 bits",
            otherwise=dict.fromkeys(EIGHT_BITS_AT_LEAST, "litert-int8-dynamic"),
        ),
    )
}  # fmt: skip
