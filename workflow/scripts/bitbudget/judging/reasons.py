"""Why a precision is faster or slower than the baseline: the phase that decides, and what its kernels do in it.

A precision's time is compared phase by phase. Of the phases that its formats touch, the one that moved the latency most
decides. What explains it comes from what the formats say of their kernels, from the bytes that a token reads, and from
how much of the machine's floor (`measuring.floor`) is reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bitbudget import registry
from bitbudget.judging import costs
from bitbudget.judging.costs import Relation
from bitbudget.measuring.floor import GROUPS

Record = Mapping[str, Any]
Formats = Mapping[str, str]  # by module group

OF_THE_MACHINE = ("preprocessing", "postprocessing")  # phases that no format touches
NOT_READING = 0.1  # of the floor: where the baseline's decode reaches less, its time is not spent on reading weights
LARGE = 0.3  # of the baseline's latency: a phase that keeps its format is worth a word from here on

OTHER_RUNTIME = "other runtime"
READS_LESS = "reads less"
MULTIPLIES_FASTER = "multiplies faster"
NOT_NATIVE = "type not native"
STARTING = "starting kernels"
UNPACKS = "unpacks"
ROUNDS_INPUTS = "rounds inputs"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Reason:
    """What explains a latency against the baseline's; factors are multiples of the baseline's value."""

    relation: Relation
    kind: str
    phase: str  # the one that decides: decode, vision …; empty where none does
    factor: float | None = None  # of its time
    share: float | None = None  # of the baseline's latency that it takes
    runtimes: tuple[str, ...] = ()  # other than the baseline's
    computes_in: tuple[str, ...] = ()
    base_computes_in: tuple[str, ...] = ()
    bytes: float | None = None  # factor of the bytes read
    rate: float | None = None  # factor of the machine's matrix rate in the types that are computed in
    reach: float | None = None  # share of the floor
    base_reach: float | None = None
    unpacks: bool = False
    untouched: tuple[tuple[str, float], ...] = ()  # long phases in the baseline's formats, and their shares of latency


def explain(
    relation: Relation,
    own: Record,
    base: Record,
    phases: Sequence[str],
    formats: Formats | None = None,
    base_formats: Formats | None = None,
    on_gpu: bool = False,
) -> Reason | None:
    """The reason of a latency, from the metrics of both measurements; None where nothing is compared.

    `phases` are those of the track; `formats` those of the precision and of the baseline by group, where the
    measurements do not name what was found. Only a GPU waits for kernels to be started: on a processor, little of the
    floor is reached where arithmetic is slow.
    """
    if relation.kind == costs.INCOMPARABLE:
        return None
    times = {name: (_value(own, f"latency_{name}"), _value(base, f"latency_{name}")) for name in phases}
    times = {name: pair for name, pair in times.items() if None not in pair and pair[1]}
    whole = sum(pair[1] for pair in times.values())
    if not whole:
        return Reason(relation, UNKNOWN, "")
    held = {name: (_formats(name, own, formats), _formats(name, base, base_formats)) for name in times}
    touched = [name for name in times if name not in OF_THE_MACHINE and (not held[name][0] or len(set(held[name])) > 1)]
    untouched = tuple((name, times[name][1] / whole) for name in times if name not in touched)
    untouched = tuple(pair for pair in untouched if pair[1] >= LARGE)
    phase = _deciding({name: times[name] for name in touched}, relation)
    if not phase:
        return Reason(relation, UNKNOWN, "", untouched=untouched)
    return _of_phase(relation, phase, times[phase], whole, own, base, held[phase], untouched, on_gpu)


def _deciding(times: Mapping[str, tuple[float, float]], relation: Relation) -> str:
    """The phase that moved most the way the latency moved; where this did not move, the longest."""
    if relation.kind in (costs.SAME_COST, costs.UNCLEAR):
        return max(times, key=lambda name: times[name][1], default="")
    sign = 1 if relation.kind == costs.MORE else -1
    moved = {name: sign * (after - before) for name, (after, before) in times.items()}
    moved = {name: seconds for name, seconds in moved.items() if seconds > 0}
    return max(moved, key=lambda name: moved[name], default="")


def _of_phase(
    relation: Relation,
    phase: str,
    times: tuple[float, float],
    whole: float,
    own: Record,
    base: Record,
    held: tuple[tuple[str, ...], tuple[str, ...]],
    untouched: tuple[tuple[str, float], ...],
    on_gpu: bool,
) -> Reason:
    floors = own.get(f"floor_{phase}", {}), base.get(f"floor_{phase}", {})
    # a decode step has no rate of its own: what multiplies is what multiplies in prefill
    rates = [one.get("floor_prefill" if phase == "decode" else f"floor_{phase}", {}).get("rate") for one in (own, base)]
    known, runtimes = [[registry.format_of(name) for name in names if name in registry.FORMATS] for names in held], ()
    if all(known):
        there = {one.runtime for one in known[1]}
        runtimes = tuple(dict.fromkeys(one.runtime for one in known[0] if one.runtime not in there))
    changed = [one for one in known[0] if one.name not in held[1]]
    found = Reason(
        relation=relation,
        kind=UNKNOWN,
        phase=phase,
        factor=times[0] / times[1],
        share=times[1] / whole,
        runtimes=runtimes,
        computes_in=tuple(floors[0].get("computes_in") or dict.fromkeys(one.computes_in for one in changed)),
        base_computes_in=tuple(floors[1].get("computes_in") or dict.fromkeys(one.computes_in for one in known[1])),
        bytes=_quotient(*_read(floors)),
        rate=_quotient(*rates),
        reach=_value(own, f"share_of_floor_{phase}"),
        base_reach=_value(base, f"share_of_floor_{phase}"),
        unpacks=any(one.unpacks for one in changed),
        untouched=untouched,
    )
    return replace(found, kind=_kind(found, {one.computes_in for one in changed}, on_gpu))


def _kind(found: Reason, computes_in: set[str], on_gpu: bool) -> str:
    """What explains the deciding phase, the most certain first."""
    if abs(found.factor - 1) < costs.ALIKE:
        return UNKNOWN
    if found.factor < 1:
        if found.runtimes:
            return OTHER_RUNTIME
        if found.phase == "decode":
            return READS_LESS if found.bytes is not None and found.bytes < 1 - costs.ALIKE else UNKNOWN
        return MULTIPLIES_FASTER if found.rate is not None and found.rate > 1 + costs.ALIKE else UNKNOWN
    other = set(found.computes_in) != set(found.base_computes_in)
    if other and found.rate is not None and found.rate < 1 - costs.ALIKE:
        return NOT_NATIVE
    if on_gpu and found.phase == "decode" and found.base_reach is not None and found.base_reach < NOT_READING:
        return STARTING
    if found.unpacks:
        return UNPACKS
    if "int8" in computes_in:
        return ROUNDS_INPUTS
    return OTHER_RUNTIME if found.runtimes else UNKNOWN


def _read(floors: Sequence[Record]) -> list[float | None]:
    """The bytes that a step reads; the cache of keys and values counts for both, or for neither."""
    both = all(one.get("cache_bytes") for one in floors)
    return [one["bytes"] - (0 if both else one.get("cache_bytes", 0)) if "bytes" in one else None for one in floors]


def _formats(phase: str, metrics: Record, assigned: Formats | None) -> tuple[str, ...]:
    """The formats that a phase multiplies with: those that the audit found, or else those that were asked for."""
    found = metrics.get(f"floor_{phase}", {}).get("formats")
    if found is not None or assigned is None:
        return tuple(sorted(found or ()))
    groups = GROUPS.get(phase)
    return tuple(sorted({name for group, name in assigned.items() if not groups or group.split(".")[0] in groups}))


def _value(metrics: Record, name: str) -> float | None:
    return metrics.get(name, {}).get("value")


def _quotient(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None
