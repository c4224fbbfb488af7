"""How a file's operators are wired, held against the exported one.

A format changes how numbers are held, and puts conversions between operators. Everything else is the model: the
operators in their order, their options (stride, padding, fused activation), what each takes and makes, the shapes of
what flows between them, and what goes into the graph and comes out of it, under which names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from bitbudget.runtimes.litert.flatbuffer import CONVERSIONS, Graph, Operator, Tensor

Fault = tuple[str, str]  # what an operator or tensor is called, and what is wrong with it


@dataclass(frozen=True)
class Pair:
    """An operator that computes, beside the exported one: its number among those, and its place in either file."""

    number: int
    origin: int
    place: int
    before: Operator
    after: Operator


class OtherOperatorsError(Exception):
    """A file has other operators than the exported one, so that they cannot be held against each other."""


class Wiring:
    """A graph beside the exported one.

    `stands` says for every tensor that is computed which exported one it stands for; conversions stand for what they
    convert. `free` are options that belong to the format. Raises `OtherOperatorsError`, which says where, if the
    operators are not the same.
    """

    def __init__(self, original: Graph, graph: Graph, free: Collection[str] = ()):
        self.original, self.graph, self.free = original, graph, free
        self.pairs = [
            Pair(number, *pair) for number, pair in enumerate(_same_operators(original.computing(), graph.computing()))
        ]
        self.stands = dict(zip(graph.inputs, original.inputs, strict=False))
        for pair in self.pairs:
            self.stands |= dict(zip(pair.after.outputs, pair.before.outputs, strict=False))
        for operator in graph.operators:
            if operator.name in CONVERSIONS:
                source = graph.source(operator.outputs[0])
                if source in self.stands:
                    self.stands[operator.outputs[0]] = self.stands[source]

    def called(self, pair: Pair) -> str:
        """What records call an operator: by what it makes in the exported file."""
        return f"{self.original.tensors[pair.before.outputs[0]].name} (operator {pair.number}, {pair.after.name})"

    def faults(self) -> Iterator[Fault]:
        """What is wired otherwise than in the exported file."""
        for pair in self.pairs:
            yield from ((self.called(pair), fault) for fault in self._of_operator(pair))
        for index, stands in self.stands.items():
            for fault in _of_shape(self.graph.tensors[index], self.original.tensors[stands]):
                yield self.original.tensors[stands].name, fault
        yield from self._of_order()
        yield from self._of_ends()
        yield from self._of_signatures()

    def _of_operator(self, pair: Pair) -> Iterator[str]:
        before, after = pair.before, pair.after
        for key in sorted(before.options.keys() | after.options.keys()):
            wanted, found = before.options.get(key), after.options.get(key)
            if wanted != found and key not in self.free:
                yield f"has the option {key} {_shown(found)}, where the exported file has {_shown(wanted)}"
        if len(before.outputs) != len(after.outputs):
            yield f"makes {len(after.outputs)} tensors, where the exported file has {len(before.outputs)}"
        for operand, ends in enumerate(zip_longest(before.inputs, after.inputs, fillvalue=-1)):
            if fault := self._of_end(*ends):
                yield f"takes as its input {operand} {fault}"

    def _of_end(self, wanted: int, found: int) -> str | None:
        """What is wrong with a tensor in the place of an exported one; constants are held against each other elsewhere.

        Both are places in their files, -1 for none.
        """
        wanted, found = self.original.source(wanted), self.graph.source(found)
        constant = found >= 0 and self.graph.tensors[found].data is not None
        if wanted >= 0 and self.original.tensors[wanted].data is not None:
            right = constant
        else:
            right = not constant and (self.stands.get(found) == wanted if found >= 0 else wanted < 0)
        if right:
            return None
        here = "nothing"
        if found >= 0:
            stands = self.stands.get(found)
            here = self.graph.tensors[found].name if stands is None else self.original.tensors[stands].name
        there = "nothing" if wanted < 0 else self.original.tensors[wanted].name
        return f"{here}, where the exported file has {there}"

    def _of_order(self) -> Iterator[Fault]:
        """LiteRT runs operators in their order; a tensor that is not made yet holds numbers of another image."""
        there = {-1, *self.graph.inputs}
        there |= {k for k, one in enumerate(self.graph.tensors) if one.data is not None or one.others.get("isVariable")}

        def called(index: int) -> str:
            return self.graph.tensors[index].name

        for place, operator in enumerate(self.graph.operators):
            for index in operator.inputs:
                if index not in there:
                    yield (
                        self.graph.tensors[index].name,
                        f"is taken by {operator.name} at place {place}, before it is made",
                    )
            for index in operator.outputs:
                if index >= 0 and index in there:
                    yield (
                        self.graph.tensors[index].name,
                        f"is made by {operator.name} at place {place}, and is there already",
                    )
            there |= set(operator.outputs)

    def _of_ends(self) -> Iterator[Fault]:
        """What goes in and comes out. Names without signatures matter only where two have changed places."""
        for kind in ("inputs", "outputs"):
            wanted, found = getattr(self.original, kind), getattr(self.graph, kind)
            if len(wanted) != len(found):
                yield f"the {kind}", f"are {len(found)}, where the exported file has {len(wanted)}"
            for place, ends in enumerate(zip(wanted, found, strict=False)):
                if fault := self._of_end(*ends):
                    yield f"{kind[:-1]} {place}", f"is {fault}"
        names = [[graph.tensors[index].name for index in graph.outputs] for graph in (self.original, self.graph)]
        if names[0] != names[1] and sorted(names[0]) == sorted(names[1]):
            yield "the outputs", f"are called {', '.join(names[1])}, where the exported file has {', '.join(names[0])}"

    def _of_signatures(self) -> Iterator[Fault]:
        wanted, found = _ends_by_name(self.original), _ends_by_name(self.graph)
        for signature in sorted(wanted.keys() | found.keys()):
            if signature not in wanted or signature not in found:
                yield (
                    f"signature {signature}",
                    f"is in {'this file' if signature in found else 'the exported file'} alone",
                )
                continue
            here, there = wanted[signature], found[signature]
            for end in sorted(here.keys() | there.keys()):
                if here.get(end) != there.get(end):
                    yield (
                        f"signature {signature}",
                        f"has {there.get(end, 'nothing')} for {end}, where the exported file has "
                        f"{here.get(end, 'nothing')}",
                    )


def _same_operators(
    wanted: list[tuple[int, Operator]], found: list[tuple[int, Operator]]
) -> Iterator[tuple[int, int, Operator, Operator]]:
    for number, (before, after) in enumerate(zip_longest(wanted, found)):
        names = [one[1].name if one else "nothing" for one in (before, after)]
        if before is None or after is None or names[0] != names[1]:
            raise OtherOperatorsError(f"operator {number} is {names[1]}, where it has {names[0]}")
        yield before[0], after[0], before[1], after[1]


def _of_shape(tensor: Tensor, wanted: Tensor) -> Iterator[str]:
    if tensor.shape != wanted.shape:
        yield f"has the shape {tensor.shape}, where the exported file has {wanted.shape}"
    if tensor.open_shape and tensor.open_shape != (wanted.open_shape or wanted.shape):
        yield f"has the open shape {tensor.open_shape}, where the exported file has {wanted.open_shape or wanted.shape}"
    if tensor.others != wanted.others:
        yield f"is {_shown(tensor.others)}, where the exported file has {_shown(wanted.others)}"


def _ends_by_name(graph: Graph) -> dict[str, dict[str, str]]:
    """For each signature, which of the graph's inputs and outputs each of its names is."""
    places = {index: f"input {place}" for place, index in enumerate(graph.inputs)}
    places |= {index: f"output {place}" for place, index in enumerate(graph.outputs)}
    return {
        name: {end: places.get(index, "no input or output") for end, index in ends.items()}
        for name, ends in graph.signatures.items()
    }


def _shown(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) < 80 else f"{text[:77]}..."
