"""What flows between operators in whole numbers: which tensors may, and whether their scales fit what was seen.

The rules are LiteRT's, https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec: an
activation has one scale s and one zero point z, and a whole number q from -128 to 127 stands for s (q - z). The scale
follows from the least and the largest value seen, both stretched to reach 0: s = (largest - least) / 255, z the nearest
whole number to -128 - least / s. Some operators' kernels ask for the same scale on both sides, others have one of their
own. A bias has the product of the input's scale and the weights'.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bitbudget import registry
from bitbudget.models.formats.litert import FORMATS, PLAIN
from bitbudget.runtimes.litert import flatbuffer
from bitbudget.runtimes.litert.flatbuffer import CONVERSIONS, WEIGHTS, Graph, Operator, Tensor
from bitbudget.runtimes.litert.weights import by_definition, recognise
from bitbudget.runtimes.litert.wiring import Fault, Pair, Wiring

Span = tuple[float, float]  # the least and the largest value
Ranges = dict[str, Span]  # of tensors of the exported file, by their names

WHOLE, FLOATS = "INT8", ("FLOAT16", "FLOAT32", "FLOAT64")

LEVELS, LEAST = 255, -128
SMALLEST = 1e-9  # what AI Edge Quantizer takes for the width of a range that has none
ENDLESS = 3e38  # numbers beyond it stand for infinity, and belong to no range
EXACT = 1e-4  # relative: what float32 rounds in a range and a scale, and no more
# What a kernel makes has the scale of what goes in.
AS_INPUT = {
    "AVERAGE_POOL_2D", "BROADCAST_TO", "GATHER", "GATHER_ND", "MAX_POOL_2D", "MIRROR_PAD", "PAD", "REDUCE_MIN",
    "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SPACE_TO_DEPTH", "SPLIT", "STRIDED_SLICE",
    "TRANSPOSE", "UNPACK",
}  # fmt: skip
# All that goes in has the scale of what a kernel makes.
AS_OUTPUT = {"CONCATENATION", "DYNAMIC_UPDATE_SLICE", "MAXIMUM", "PACK", "PADV2", "SELECT", "SELECT_V2"}
# A kernel may write what it makes over what goes in. TensorFlow's calibrator takes both for one tensor, whose range is
# that of both together (seen with 2.21, to the last digit).
IN_PLACE = {"ADD", "DIV", "MUL", "SUB"}
# What a kernel makes lies between these, whatever goes in.
BY_KERNEL = {"LOGISTIC": (0.0, LEVELS / 256), "SOFTMAX": (0.0, LEVELS / 256), "TANH": (-1.0, 127 / 128)}
# Where a bias is among an operator's inputs.
BIAS = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}
DATA = {"TRANSPOSE_CONV": 2}  # and what is multiplied with the weights; 0 for the others


def seen(model: Path, images: Iterable[np.ndarray], threads: int) -> Ranges:
    """The least and the largest value of every float tensor that the file `model` computes, over all images.

    `images` are inputs as preprocessing makes them, float32.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    graph = flatbuffer.read(model)[0]
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # that it takes memory
        # the kernels that the quantizer calibrates with, so that the last digits are the same
        interpreter = Interpreter(
            os.fspath(model), num_threads=threads, experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN,
        )  # fmt: skip
        interpreter.allocate_tensors()
    made = {*graph.inputs, *(out for operator in graph.operators for out in operator.outputs)}
    floats = [index for index in sorted(made) if graph.tensors[index].type == "FLOAT32" and index >= 0]
    ends = dict.fromkeys(floats, (np.inf, -np.inf))
    for image in images:
        interpreter.set_tensor(graph.inputs[0], image)
        interpreter.invoke()
        for index in floats:
            least, largest = within(interpreter.get_tensor(index))
            ends[index] = min(ends[index][0], least), max(ends[index][1], largest)
    return {graph.tensors[index].name: found for index, found in ends.items() if found[0] <= found[1]}


def within(values: np.ndarray) -> tuple[float, float]:
    """The least and the largest value, but for those that stand for infinity; (inf, -inf) where there is none."""
    least, largest = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    if least > -ENDLESS and largest < ENDLESS:  # nearly always, and cheap
        return least, largest
    inner = values[np.abs(values) < ENDLESS]
    return (float(inner.min()), float(inner.max())) if inner.size else (least, largest)


def scale_of(span: Span) -> tuple[float, float]:
    """The scale of a range, and its zero point before that is rounded."""
    least, largest = min(span[0], 0.0), max(span[1], 0.0)
    scale = max(largest - least, SMALLEST) / LEVELS
    return scale, LEAST - least / scale


def fault_of_scale(tensor: Tensor, span: Span) -> str | None:
    """What is wrong with the scale and the zero point of a tensor whose values have that range, or None."""
    if len(tensor.scales) != 1 or tensor.blocks:
        return f"has {len(tensor.scales)} scales, where an activation has one"
    (scale, zero_point), (wanted, exact) = (float(tensor.scales[0]), int(tensor.zero_points[0])), scale_of(span)
    said = f"where the range {span[0]:.4g} to {span[1]:.4g} gives"
    if not abs(scale - wanted) <= EXACT * wanted:
        return f"has the scale {scale:.4g}, {said} {wanted:.4g}"
    if abs(zero_point - exact) > 0.5 + LEVELS * EXACT:
        return f"has the zero point {zero_point}, {said} {exact:.1f}"
    return None


def on_grid(values: np.ndarray, span: Span) -> np.ndarray:
    """The nearest of the 256 numbers that a range's scale and zero point can stand for."""
    scale, zero_point = scale_of(span)
    zero_point = np.rint(zero_point)
    return (np.clip(np.rint(values / scale + zero_point), LEAST, LEAST + LEVELS) - zero_point) * scale


def halved(tensor: Tensor) -> np.ndarray:
    """A constant's values in half precision; infinity where they are too large for it."""
    with np.errstate(over="ignore"):
        return tensor.values().astype(np.float16)


def _tied(wiring: Wiring) -> dict[int, set[int]]:
    """Exported tensors to which TensorFlow's converter may give one scale, each with the others of its set.

    It carries the scale of what an operator makes on to what goes in, or the other way, where kernels ask for the same
    on both sides, also past several such operators.
    """
    sets: dict[int, set[int]] = {}
    for pair in wiring.pairs:
        if pair.after.name in AS_INPUT | AS_OUTPUT:
            taken = pair.before.inputs if pair.after.name in AS_OUTPUT else pair.before.inputs[:1]
            ends = {k for k in (*taken, *pair.before.outputs) if k >= 0 and wiring.original.tensors[k].type in FLOATS}
            whole = ends.union(*(sets[k] for k in ends if k in sets))
            sets |= dict.fromkeys(whole, whole)
    return sets


def _overwritten(wiring: Wiring) -> dict[int, set[int]]:
    """Exported tensors that an operator may write over, each with what these operators make."""
    found: dict[int, set[int]] = {}
    for pair in wiring.pairs:
        if pair.after.name in IN_PLACE:
            for index in pair.before.inputs:
                found.setdefault(index, set()).update(pair.before.outputs)
    return found


def _both(one: Span, other: Span | None) -> Span | None:
    """The range of two together."""
    return other and (min(one[0], other[0]), max(one[1], other[1]))


@dataclass
class Rounding:
    """Where a format rounds the numbers of the exported graph.

    `constants` are what constants become, by the place of the operator that takes them and their own among its inputs.
    `operands` are the tensors that are rounded where an operator takes them, and `made` those that are rounded where
    they are made; `spans` are the ranges of these. Those that are not `known` are the file's own, or none (0 to 0)
    where the range is that of the numbers that come.
    """

    constants: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    operands: dict[tuple[int, int], int] = field(default_factory=dict)
    made: set[int] = field(default_factory=set)
    spans: dict[int, Span] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)

    def nothing(self) -> bool:
        """Whether it leaves every number as it is."""
        return not (self.constants or self.spans)


class Activations:
    """What flows between a graph's operators, held against what the format promises.

    `ranges` are those that were seen on calibration images, None where nobody knows them: then scales are held against
    one another alone.
    """

    def __init__(self, wiring: Wiring, spec: dict[str, Any], ranges: Ranges | None):
        self.wiring, self.original, self.graph, self.ranges = wiring, wiring.original, wiring.graph, ranges
        self.format = registry.format_of(spec["format"])
        self.everywhere = self.format.everywhere(spec)
        self.takers: dict[int, set[str]] = {index: {"output"} for index in self.graph.outputs}
        for operator in self.graph.operators:
            for index in operator.inputs:
                self.takers.setdefault(index, set()).add(operator.name)
        # what the exported file holds in whole numbers itself
        self.own = {
            self._held(self.original, index) for index, one in enumerate(self.original.tensors) if len(one.scales)
        }
        self.tied = _tied(wiring) if self.format.made_of else {}
        self.overwritten = _overwritten(wiring) if self.format.made_of else {}
        self.spans: dict[int, Span | None] = {}  # of exported tensors, where they are not what was seen
        for pair in wiring.pairs:
            for wanted, found in zip(pair.before.outputs, pair.after.outputs, strict=False):
                if self._rounds(wanted, found):
                    self.spans[wanted] = self._span_by_kernel(pair, wanted)

    def faults(self) -> Iterator[Fault]:
        """What is held in other numbers than the format says, or scaled otherwise than its range says."""
        for pair in self.wiring.pairs:
            yield from self._of_operator(pair)
        for operator in self.graph.operators:
            if operator.name in CONVERSIONS:
                yield from self._of_conversion(operator)
        for kind in ("inputs", "outputs"):
            ends = zip(getattr(self.original, kind), getattr(self.graph, kind), strict=False)
            for wanted, found in ends:
                fault = self._fault(wanted, found, self.everywhere, self._span(wanted))
                if fault:
                    yield self.original.tensors[wanted].name, fault

    def rounding(self) -> Rounding:
        """Where the format rounds, and how, by its definition; for a graph without faults."""
        found = Rounding()
        weights = {(one.place, one.operand): one for one in self.graph.weights()}
        for pair in self.wiring.pairs:
            ends = list(zip(pair.before.outputs, pair.after.outputs, strict=True))
            held = {operand: weights.get((pair.place, operand)) for operand in range(len(pair.after.inputs))}
            formats = {operand: FORMATS[recognise(weight)] for operand, weight in held.items() if weight}
            dynamic = any(one.use == "dynamic" for one in formats.values())
            for operand, (wanted, given) in enumerate(zip(pair.before.inputs, pair.after.inputs, strict=False)):
                place, constant = (pair.origin, operand), self.original.constant(wanted)
                if operand in formats and formats[operand].name == PLAIN:
                    continue
                if operand in formats and constant:
                    exact = self.original.tensors[constant[0]]
                    found.constants[place] = by_definition(exact, held[operand], formats[operand])
                elif constant and self._halves(wanted, given):
                    found.constants[place] = halved(self.original.tensors[constant[0]])
                elif constant and self._rounds(wanted, given):
                    asked = self._span(pair.before.outputs[0]) if pair.after.name in AS_OUTPUT else None
                    span = asked or self._span(wanted)
                    found.constants[place] = on_grid(self.original.tensors[constant[0]].values(), span)
                elif not constant and (self._rounds(wanted, given) or (dynamic and self._is_float(wanted))):
                    found.operands[place] = wanted
                    self._reach(found, wanted, None if dynamic else given)
            for wanted, made in ends:
                if self._rounds(wanted, made):
                    found.made.add(wanted)
                    self._reach(found, wanted, made)
        return found

    def _reach(self, rounding: Rounding, wanted: int, held: int | None) -> None:
        """Note the range of an exported tensor, which the tensor `held` has in whole numbers."""
        span = None if held is None else self._span(wanted)
        if span is not None:
            rounding.known.add(wanted)
        if held is not None and (span is None or wanted in self.tied or wanted in self.overwritten):
            tensor = self.graph.tensors[held]
            ends = (np.array([LEAST, LEAST + LEVELS]) - tensor.zero_points[0]) * float(tensor.scales[0])
            span = float(ends[0]), float(ends[1])
        rounding.spans[wanted] = span or (0.0, 0.0)

    def _rounds(self, wanted: int, found: int) -> bool:
        """Whether a tensor is in whole numbers where the exported one is not."""
        return found >= 0 and self.graph.tensors[found].type == WHOLE and self._is_float(wanted)

    def _halves(self, wanted: int, found: int) -> bool:
        """Whether a constant is in half precision where the exported one is not."""
        held = self.graph.constant(found)
        return held is not None and self.graph.tensors[held[0]].type == "FLOAT16" and self._is_float(wanted)

    def _is_float(self, wanted: int) -> bool:
        return wanted >= 0 and self.original.tensors[wanted].type == "FLOAT32"

    def _of_operator(self, pair: Pair) -> Iterator[Fault]:
        may = self.format.calibrated and (
            self.everywhere or FORMATS[self.format.weights_of(pair.after.name)].use == "static"
        )
        before, after = pair.before, pair.after
        free = after.name not in AS_INPUT | AS_OUTPUT | BY_KERNEL.keys()
        for number, (wanted, found) in enumerate(zip(before.outputs, after.outputs, strict=False)):
            if free and self.takers.get(found, set()) <= AS_OUTPUT and found in self.takers:
                continue  # it was made in the scale of its takers, where it is held against that
            if fault := self._fault(wanted, found, may, self._span(wanted)):
                yield self.wiring.called(pair), f"{fault} (output {number})"
        asked = before.outputs[0] if after.name in AS_OUTPUT else None
        for number, (wanted, found) in enumerate(zip(before.inputs, after.inputs, strict=False)):
            if min(wanted, found) < 0 or self._is_weights(pair, number):
                continue
            if number == BIAS.get(after.name) and self.graph.tensors[found].type == "INT32":
                fault = self._fault_of_bias(pair, found)
            else:
                fault = self._fault(wanted, found, may, self._span(wanted if asked is None else asked))
            if fault:
                yield f"{self.original.tensors[wanted].name} (operator {pair.number})", fault

    def _is_weights(self, pair: Pair, operand: int) -> bool:
        """Whether an operand is weights, which have their own rules."""
        return (
            operand in WEIGHTS.get(pair.after.name, ()) and self.graph.constant(pair.after.inputs[operand]) is not None
        )

    def _fault(self, wanted: int, found: int, may: bool, span: Span | None) -> str | None:
        """What is wrong with how a tensor is held in the place of the exported one, or None.

        `may` says whether it may be in whole numbers, and `span` what range they have to reach.
        """
        before, after = self.original.tensors[wanted], self.graph.tensors[found]
        if after.type == before.type:
            if not len(after.scales) or after.type in FLOATS or after.data is not None:
                return None  # constants are held against each other elsewhere
            same = self._held(self.graph, found) in self.own
            return None if same else f"has another scale or zero point ({after.storage}) than the exported file"
        if not (may and (before.type, after.type) == ("FLOAT32", WHOLE)):
            return f"is {after.type} where it should be {before.type}"
        if span is None:
            return None if self.ranges is None else "is in whole numbers, and no range was seen of it"
        fault = fault_of_scale(after, span)
        others = [self._span(one) for one in self.tied.get(wanted, ())]
        others += [_both(span, self._span(one)) for one in self.overwritten.get(wanted, ())]
        return fault and (None if any(one and not fault_of_scale(after, one) for one in others) else fault)

    def _fault_of_bias(self, pair: Pair, bias: int) -> str | None:
        """Kernels take a bias to have the scale of what goes in times that of the weights, whatever it says itself."""
        given, weights = (self.graph.tensors[pair.after.inputs[k]] for k in (DATA.get(pair.after.name, 0), 1))
        tensor = self.graph.tensors[bias]
        wanted = given.scales * weights.scales
        if len(tensor.scales) != len(wanted) or not np.allclose(tensor.scales, wanted, rtol=EXACT, atol=0):
            return "has other scales than its input's times those of the weights"
        return "has zero points other than 0" if tensor.zero_points.any() else None

    def _of_conversion(self, operator: Operator) -> Iterator[Fault]:
        """A conversion of what was converted before rounds once more than the format says.

        What makes floats must make those that the operators of the exported file take.
        """
        given, made = operator.inputs[0], operator.outputs[0]
        if operator.name == "DEQUANTIZE" and self.graph.tensors[made].type != "FLOAT32":
            yield self.graph.tensors[made].name, f"is {self.graph.tensors[made].type} where it should be FLOAT32"
        source = self.graph.source(given)
        again = source != given if self.graph.tensors[source].data is None else operator.name == "QUANTIZE"
        if again and self._held(self.graph, made) not in self.own:
            of = self.graph.tensors[source].name
            yield self.graph.tensors[made].name, f"is {of} converted once more ({operator.name}) than the format says"

    def _span(self, index: int) -> Span | None:
        """The range of an exported tensor: a constant's own, what its kernel says, or what was seen."""
        tensor = self.original.tensors[index]
        if tensor.data is not None:
            if tensor.type not in FLOATS:
                return None
            values = tensor.values()
            return float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
        return self.spans[index] if index in self.spans else (self.ranges or {}).get(tensor.name)

    def _span_by_kernel(self, pair: Pair, made: int) -> Span | None:
        """The range of what an operator makes in whole numbers."""
        if pair.after.name in BY_KERNEL:
            return BY_KERNEL[pair.after.name]
        if pair.after.name in AS_INPUT:
            floats = (k for k in pair.before.inputs if k >= 0 and self.original.tensors[k].type == "FLOAT32")
            given = next(floats, None)
            if given is not None:
                return self._span(given)
        return self._span(made)

    def _held(self, graph: Graph, index: int) -> tuple[Any, ...]:
        """What a tensor stands for and how it is held, to be found among those of the exported file."""
        tensor, source = graph.tensors[index], graph.source(index)
        stands = source if graph is self.original else self.wiring.stands.get(source)
        return stands, tensor.type, tensor.scales.tobytes(), tensor.zero_points.tobytes()
