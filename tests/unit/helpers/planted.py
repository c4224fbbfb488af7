"""Mis-quantizations planted in .tflite files, each a small change of what a right checkpoint holds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

FLOATS = ("float32", "float16")
INTEGERS = ("int8", "int8-dynamic", "int8-full", "int8-full-all", "int4", "int4-dynamic")
FULL = ("int8-full", "int8-full-all")
EVERY = (*FLOATS, *INTEGERS)
OTHERS = tuple(name for name in EVERY if name not in FULL)

TYPES = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.FLOAT16: np.float16, schema.TensorType.INT8: np.int8}
TYPES |= {schema.TensorType.INT32: np.int32}
Options = schema.BuiltinOptions


class File:
    """A .tflite file that is changed in place."""

    def __init__(self, path: Path):
        self.path, self.model = path, flatbuffer_utils.read_model(str(path))
        self.main = self.model.subgraphs[0]
        self.tensors = self.main.tensors
        for operator in self.main.operators:
            operator.inputs, operator.outputs = (list(map(int, s)) for s in (operator.inputs, operator.outputs))

    def write(self) -> None:
        flatbuffer_utils.write_model(self.model, str(self.path))

    def code(self, name: str) -> int:
        """The number of an operator's code in this file, added where it has none."""
        wanted = getattr(schema.BuiltinOperator, name)
        for number, code in enumerate(self.model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == wanted:
                return number
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = wanted, min(wanted, 127), 1
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def all(self, name: str) -> list[Any]:
        """The operators of this name, in order."""
        number = self.code(name)
        return [operator for operator in self.main.operators if operator.opcodeIndex == number]

    def one(self, name: str, which: int = 0) -> Any:
        return self.all(name)[which]

    def constant(self, index: int) -> Any:
        """The tensor of a constant, also where an operator takes a dequantized copy of it."""
        if self.data(self.tensors[index]) is None:
            (maker,) = (o for o in self.main.operators if index in o.outputs)
            index = maker.inputs[0]
        return self.tensors[index]

    def weights(self, name: str, which: int = 0) -> Any:
        return self.constant(self.one(name, which).inputs[1])

    def bias(self, name: str, which: int = 0) -> Any:
        return self.constant(self.one(name, which).inputs[3 if name == "TRANSPOSE_CONV" else 2])

    def data(self, tensor: Any) -> Any:
        return self.model.buffers[tensor.buffer].data

    def numbers(self, tensor: Any) -> np.ndarray:
        """A constant's numbers, in its shape."""
        data = np.frombuffer(bytes(self.data(tensor)), np.uint8)
        if tensor.type == schema.TensorType.INT4:
            halves = np.stack([data & 15, data >> 4], -1).reshape(-1)[: np.prod(tensor.shape)].astype(np.int8)
            return np.where(halves > 7, halves - 16, halves).reshape(tensor.shape)
        return data.view(TYPES[tensor.type]).reshape(tensor.shape).copy()

    def hold(self, tensor: Any, numbers: np.ndarray) -> None:
        """Let a constant hold other numbers."""
        if tensor.type == schema.TensorType.INT4:
            halves = numbers.reshape(-1).astype(np.int8).view(np.uint8) & 15
            halves = np.concatenate([halves, np.zeros(len(halves) % 2, np.uint8)]).reshape(-1, 2)
            data = halves[:, 0] | halves[:, 1] << 4
        else:
            data = np.frombuffer(numbers.astype(TYPES[tensor.type]).tobytes(), np.uint8)
        self.model.buffers[tensor.buffer].data = data

    def quantized(self) -> list[Any]:
        """What flows between operators in whole numbers."""
        made = [index for operator in self.main.operators for index in operator.outputs]
        found = [self.tensors[k] for k in dict.fromkeys([*map(int, self.main.inputs), *made])]
        return [tensor for tensor in found if tensor.type == schema.TensorType.INT8 and self.data(tensor) is None]

    def convert(self, index: int, name: str, like: Any) -> int:
        """Add a conversion of a tensor, right behind the operator that makes it; returns what it makes."""
        self.tensors.append(copy.deepcopy(like))
        self.tensors[-1].name, self.tensors[-1].shape = b"converted", self.tensors[index].shape
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.code(name), [index], [len(self.tensors) - 1]
        makers = [place for place, one in enumerate(self.main.operators) if index in one.outputs]
        self.main.operators.insert(makers[0] + 1 if makers else 0, operator)
        return len(self.tensors) - 1


def scaled(tensor: Any, factor: float) -> None:
    tensor.quantization.scale = (np.float32(tensor.quantization.scale) * np.float32(factor)).astype(np.float32)


@dataclass(frozen=True)
class Plant:
    """A change of a file: in which formats it can be made, and what of the file the audit must name.

    `seen` are the formats in which the audit found it already when it compared norms of weights, operators and the bits
    of constants alone.
    """

    name: str
    formats: tuple[str, ...]
    change: Callable[[File], None]
    named: str
    seen: tuple[str, ...] = field(default=())


PLANTS: list[Plant] = []


def plant(named: str, formats: tuple[str, ...] = EVERY, seen: tuple[str, ...] = ()) -> Callable[[Any], Any]:
    def register(change: Callable[[File], None]) -> Callable[[File], None]:
        PLANTS.append(Plant(change.__name__, formats, change, named, seen))
        return change

    return register


# --- weights ---


@plant("model.patches", seen=EVERY)
def a_row_of_zeros(file: File) -> None:
    tensor = file.weights("CONV_2D", 1)
    numbers = file.numbers(tensor)
    numbers[3] = 0
    file.hold(tensor, numbers)


@plant("model.patches", seen=EVERY)
def two_rows_in_each_others_place(file: File) -> None:
    tensor = file.weights("CONV_2D", 1)
    numbers = file.numbers(tensor)
    file.hold(tensor, numbers[[1, 0, *range(2, len(numbers))]])


@plant("model.linear", seen=EVERY)
def inputs_in_another_order(file: File) -> None:
    tensor = file.weights("FULLY_CONNECTED")
    file.hold(tensor, file.numbers(tensor)[:, ::-1])


@plant("model.linear", seen=EVERY)
def another_sign_in_one_row(file: File) -> None:
    tensor = file.weights("FULLY_CONNECTED")
    numbers = file.numbers(tensor)
    numbers[5] = -numbers[5]
    file.hold(tensor, numbers)


@plant("model.strided", INTEGERS)
def one_whole_number_more_by_one(file: File) -> None:
    tensor = file.weights("CONV_2D")
    numbers = file.numbers(tensor)
    numbers[2, 1, 1, 1] += 1 if numbers[2, 1, 1, 1] < 7 else -1
    file.hold(tensor, numbers)


@plant("model.linear", INTEGERS, seen=INTEGERS)
def all_whole_numbers_more_by_one(file: File) -> None:
    tensor = file.weights("FULLY_CONNECTED")
    top = 7 if tensor.type == schema.TensorType.INT4 else 127
    file.hold(tensor, np.minimum(file.numbers(tensor) + 1, top))


@plant("model.depthwise", INTEGERS, seen=INTEGERS)
def whole_numbers_towards_zero(file: File) -> None:
    """Truncated, where they are to be rounded."""
    tensor = file.weights("DEPTHWISE_CONV_2D")
    numbers = file.numbers(tensor).astype(int)
    file.hold(tensor, numbers - np.sign(numbers) * (np.arange(numbers.size).reshape(numbers.shape) % 2))


@plant("model.patches", INTEGERS, seen=INTEGERS)
def scales_of_five_per_cent_more(file: File) -> None:
    scaled(file.weights("CONV_2D", 1), 1.05)


@plant("model.patches", INTEGERS, seen=("int8", "int8-dynamic", "int8-full", "int8-full-all"))
def scales_of_one_per_cent_more(file: File) -> None:
    scaled(file.weights("CONV_2D", 1), 1.01)


@plant("model.patches", INTEGERS, seen=("int8", "int8-dynamic", "int8-full", "int8-full-all"))
def one_scale_of_five_per_cent_more(file: File) -> None:
    scale = file.weights("CONV_2D", 1).quantization.scale = np.float32(file.weights("CONV_2D", 1).quantization.scale)
    scale[4] *= 1.05


@plant("model.transposed", INTEGERS, seen=INTEGERS)
def scales_of_other_channels(file: File) -> None:
    tensor = file.weights("TRANSPOSE_CONV")
    tensor.quantization.scale = np.roll(tensor.quantization.scale, 1)


@plant("model.patches", INTEGERS, seen=INTEGERS)
def a_coarser_grid(file: File) -> None:
    """Twice the step, and the whole numbers that fit it: half of the levels are not used."""
    tensor = file.weights("CONV_2D", 1)
    scaled(tensor, 2)
    file.hold(tensor, np.rint(file.numbers(tensor) / 2))


@plant("model.linear", INTEGERS, seen=INTEGERS)
def zero_points_of_one(file: File) -> None:
    tensor = file.weights("FULLY_CONNECTED")
    tensor.quantization.zeroPoint = np.ones(len(tensor.quantization.scale), np.int64)


@plant("model.linear", INTEGERS, seen=INTEGERS)
def scales_along_the_other_dimension(file: File) -> None:
    file.weights("FULLY_CONNECTED").quantization.quantizedDimension = 1


@plant("model.linear", INTEGERS, seen=INTEGERS)
def one_scale_for_all_channels(file: File) -> None:
    quantization = file.weights("FULLY_CONNECTED").quantization
    quantization.scale, quantization.zeroPoint = np.float32([max(quantization.scale)]), np.int64([0])


@plant("model.linear", INTEGERS, seen=("int8-dynamic", "int8-full", "int8-full-all", "int4", "int4-dynamic"))
def scales_for_blocks(file: File) -> None:
    quantization = file.weights("FULLY_CONNECTED").quantization
    quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
    quantization.details = schema.BlockwiseQuantizationT()
    quantization.details.blockSize = 8
    quantization.details.scales = file.one("FULLY_CONNECTED").inputs[2]


@plant("model.patches", FLOATS, seen=FLOATS)
def one_float_off_by_one_bit(file: File) -> None:
    tensor = file.weights("CONV_2D", 1)
    data = bytearray(bytes(file.data(tensor)))
    data[40] ^= 1
    file.model.buffers[tensor.buffer].data = np.frombuffer(bytes(data), np.uint8)


@plant("model.patches", FLOATS, seen=FLOATS)
def floats_with_a_shorter_mantissa(file: File) -> None:
    """As if they had been bfloat16 on their way."""
    tensor = file.weights("CONV_2D", 1)
    bits = file.numbers(tensor).astype(np.float32).view(np.uint32) & 0xFFFF0000
    file.hold(tensor, bits.view(np.float32))


@plant("model.linear|model.named|model.where", seen=EVERY)
def weights_of_another_layer(file: File) -> None:
    """Both have the same shape."""
    first, second = file.all("FULLY_CONNECTED")[1:3]
    first.inputs[1], second.inputs[1] = second.inputs[1], first.inputs[1]


@plant("matrices|model;", seen=EVERY)
def a_product_with_the_transposed_matrix(file: File) -> None:
    tensor = file.weights("BATCH_MATMUL")
    file.hold(tensor, np.swapaxes(file.numbers(tensor), 1, 2))


# --- other constants ---


@plant("model.strided", seen=EVERY)
def another_bias(file: File) -> None:
    tensor = file.bias("CONV_2D")
    numbers = file.numbers(tensor)
    numbers[1] += 2 if numbers.dtype == np.int32 else 1e-3
    file.hold(tensor, numbers)


@plant("model.transposed", seen=EVERY)
def biases_in_another_order(file: File) -> None:
    tensor = file.bias("TRANSPOSE_CONV")
    file.hold(tensor, file.numbers(tensor)[::-1])


@plant("model.strided", FULL, seen=FULL)
def a_bias_in_another_scale(file: File) -> None:
    """What it says to stand for is right, and what kernels take it for is half of that."""
    tensor = file.bias("CONV_2D")
    scaled(tensor, 2)
    file.hold(tensor, np.rint(file.numbers(tensor) / 2))


@plant("model.strided", FULL, seen=FULL)
def a_bias_in_scales_of_other_channels(file: File) -> None:
    tensor = file.bias("CONV_2D")
    old = np.float32(tensor.quantization.scale)
    tensor.quantization.scale = np.roll(old, 1)
    file.hold(tensor, np.rint(file.numbers(tensor) * old / tensor.quantization.scale))


@plant("constant|model", seen=EVERY)
def another_constant_of_the_layer_norm(file: File) -> None:
    """Its small number before the square root."""
    tensor = next(
        file.tensors[k]
        for k in (file.one("RSQRT").inputs[0],)
        for operator in file.main.operators
        if k in operator.outputs
        for k in operator.inputs
        if file.data(file.tensors[k]) is not None
    )
    numbers = file.numbers(tensor)
    file.hold(tensor, numbers + (50 if numbers.dtype == np.int8 else 0.1))


@plant("constant|model", seen=EVERY)
def another_transposition(file: File) -> None:
    tensor = file.tensors[file.one("TRANSPOSE").inputs[1]]
    numbers = file.numbers(tensor)
    numbers[[-1, -2]] = numbers[[-2, -1]]
    file.hold(tensor, numbers)


@plant("constant|model", seen=EVERY)
def another_shape(file: File) -> None:
    operator = next(o for o in file.all("RESHAPE") if len(file.tensors[o.outputs[0]].shape) > 2)
    tensor = file.tensors[operator.inputs[1]]
    numbers = file.numbers(tensor)
    numbers[[-1, -2]] = numbers[[-2, -1]]
    file.hold(tensor, numbers)


@plant("constant|model", seen=EVERY)
def another_padding_of_the_picture(file: File) -> None:
    tensor = file.tensors[file.one("PAD").inputs[1]]
    numbers = file.numbers(tensor)
    numbers[1] += [1, -1]
    file.hold(tensor, numbers)


# --- options ---


@plant("model.patches")
def a_fused_relu(file: File) -> None:
    file.one("CONV_2D", 1).builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU


@plant("model.linear")
def a_fused_relu_of_a_layer(file: File) -> None:
    file.one("FULLY_CONNECTED").builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU6


@plant("model")
def an_activation_left_out(file: File) -> None:
    operator = next(o for o in file.main.operators if getattr(o.builtinOptions, "fusedActivationFunction", 0))
    operator.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE


@plant("model.strided", seen=EVERY)
def another_stride(file: File) -> None:
    options = file.one("CONV_2D").builtinOptions
    options.strideW, options.strideH = options.strideW // 2, options.strideH // 2


@plant("model.depthwise")
def a_dilation(file: File) -> None:
    file.one("DEPTHWISE_CONV_2D").builtinOptions.dilationWFactor = 2


@plant("model.depthwise", seen=EVERY)
def the_other_padding(file: File) -> None:
    options = file.one("DEPTHWISE_CONV_2D").builtinOptions
    options.padding = schema.Padding.VALID if options.padding == schema.Padding.SAME else schema.Padding.SAME


@plant("model")
def a_product_with_the_other_side_transposed(file: File) -> None:
    options = file.one("BATCH_MATMUL").builtinOptions
    options.adjY = not options.adjY


@plant("model.linear", ("int8-dynamic", "int4-dynamic"))
def another_rounding_of_what_comes(file: File) -> None:
    options = file.one("FULLY_CONNECTED").builtinOptions
    options.asymmetricQuantizeInputs = not options.asymmetricQuantizeInputs


@plant("model.linear", seen=EVERY)
def weights_in_another_layout(file: File) -> None:
    file.one("FULLY_CONNECTED").builtinOptions.weightsFormat = 1


# --- wiring ---


@plant("model|operator", seen=EVERY)
def sides_of_a_difference_exchanged(file: File) -> None:
    operator = file.one("SUB")
    operator.inputs = operator.inputs[::-1]


@plant("model")
def a_layer_that_takes_another_tensor(file: File) -> None:
    """One of the same shape, from before the layer norm."""
    first, last = file.one("FULLY_CONNECTED"), file.all("FULLY_CONNECTED")[-1]
    last.inputs[0] = first.inputs[0]


@plant("operator", seen=EVERY)
def a_sum_where_a_product_stands(file: File) -> None:
    operator = file.one("MUL")
    operator.opcodeIndex = file.code("ADD")
    operator.builtinOptionsType, operator.builtinOptions = Options.AddOptions, schema.AddOptionsT()


@plant("operator", seen=EVERY)
def an_operator_left_out(file: File) -> None:
    """What it made is taken from before it."""
    gone = file.one("MUL")
    file.main.operators.remove(gone)
    for operator in file.main.operators:
        operator.inputs = [gone.inputs[0] if k == gone.outputs[0] else k for k in operator.inputs]


@plant("output")
def outputs_in_another_order(file: File) -> None:
    file.main.outputs = list(file.main.outputs)[::-1]


@plant("signature")
def outputs_by_each_others_names(file: File) -> None:
    first, second = file.model.signatureDefs[0].outputs
    first.name, second.name = second.name, first.name


@plant("converted", OTHERS)
def numbers_rounded_on_their_way(file: File) -> None:
    """To whole numbers and back, between two operators that compute in floats."""
    layer = file.one("FULLY_CONNECTED")
    coarse, plain = copy.deepcopy(file.tensors[layer.inputs[0]]), file.tensors[layer.inputs[0]]
    coarse.type, coarse.quantization = schema.TensorType.INT8, schema.QuantizationParametersT()
    coarse.quantization.scale, coarse.quantization.zeroPoint = np.float32([0.5]), np.int64([0])
    whole = file.convert(layer.inputs[0], "QUANTIZE", coarse)
    layer.inputs[0] = file.convert(whole, "DEQUANTIZE", plain)


@plant("converted", FULL)
def numbers_rounded_once_more(file: File) -> None:
    layer = file.one("FULLY_CONNECTED")
    given = file.tensors[layer.inputs[0]]
    coarse = copy.deepcopy(given)
    scaled(coarse, 8)
    layer.inputs[0] = file.convert(file.convert(layer.inputs[0], "QUANTIZE", coarse), "QUANTIZE", given)


@plant("model.*where it should be FLOAT32", ("float16", "int8", "int4"))
def a_conversion_to_another_type(file: File) -> None:
    """XNNPACK takes no notice, and other kernels do."""
    file.tensors[file.one("DEQUANTIZE").outputs[0]].type = schema.TensorType.FLOAT16


@plant("before it is made", ("float16", "int8", "int8-full", "int4"))
def a_conversion_at_the_wrong_place(file: File) -> None:
    """LiteRT runs what stands first, so that the operator computes with what was there before."""
    operator = file.one("DEQUANTIZE")
    file.main.operators.remove(operator)
    file.main.operators.append(operator)


@plant("shape", seen=EVERY)
def another_size_of_the_picture(file: File) -> None:
    file.tensors[int(file.main.inputs[0])].shape = np.int32([1, 96, 64, 3])


# --- what flows between operators ---


@plant("model|serving", FULL)
def all_ranges_a_quarter(file: File) -> None:
    for tensor in file.quantized():
        scaled(tensor, 0.25)


@plant("model|serving", FULL)
def all_ranges_four_times(file: File) -> None:
    for tensor in file.quantized():
        scaled(tensor, 4)


@plant("model.linear", FULL)
def one_range_a_quarter(file: File) -> None:
    scaled(file.tensors[file.one("FULLY_CONNECTED").outputs[0]], 0.25)


@plant("model.linear", FULL)
def one_range_of_five_per_cent_more(file: File) -> None:
    scaled(file.tensors[file.one("FULLY_CONNECTED").outputs[0]], 1.05)


@plant("model.strided;3|serving", FULL, seen=("int8-full-all",))
def a_range_of_the_picture_that_is_too_small(file: File) -> None:
    scaled(file.quantized()[0], 0.5)


@plant("model.strided", FULL)
def another_zero_point(file: File) -> None:
    tensor = file.tensors[file.one("CONV_2D").outputs[0]]
    tensor.quantization.zeroPoint = np.int64(tensor.quantization.zeroPoint) + 1


@plant("model", FULL, seen=("int8-full-all",))
def ranges_of_each_other(file: File) -> None:
    first, second = (file.tensors[o.outputs[0]] for o in file.all("CONV_2D"))
    first.quantization, second.quantization = second.quantization, first.quantization


@plant("model.linear", FULL)
def a_scale_for_each_channel_of_what_flows(file: File) -> None:
    tensor = file.tensors[file.one("FULLY_CONNECTED").outputs[0]]
    quantization = tensor.quantization
    quantization.scale = np.full(16, quantization.scale[0], np.float32)
    quantization.zeroPoint = np.full(16, quantization.zeroPoint[0], np.int64)
    quantization.quantizedDimension = len(tensor.shape) - 1


@plant("boxes|LOGISTIC", ("int8-full-all",))
def another_scale_than_its_kernel_has(file: File) -> None:
    scaled(file.tensors[file.one("LOGISTIC").outputs[0]], 0.9)


@plant("model|constant", ("int8-full-all",))
def a_constant_in_another_scale(file: File) -> None:
    """A layer norm's factors, or what is added: coarser, with the whole numbers that fit."""
    operator = next(
        o for o in file.main.operators
        if len(o.inputs) == 2 and o.opcodeIndex in (file.code("ADD"), file.code("MUL"))
        and file.data(file.tensors[o.inputs[1]]) is not None
    )  # fmt: skip
    tensor = file.tensors[operator.inputs[1]]
    zero_point = int(tensor.quantization.zeroPoint[0])
    scaled(tensor, 3)
    file.hold(tensor, np.rint((file.numbers(tensor).astype(float) - zero_point) / 3) + zero_point)
