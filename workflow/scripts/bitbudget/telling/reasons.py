"""In words: how much of what the machine allows is reached, and why a precision is faster or slower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.judging import costs, reasons
from bitbudget.judging.reasons import Reason
from bitbudget.measuring.floor import MEASURED, MODEL
from bitbudget.measuring.phase_names import PHASES
from bitbudget.telling import costs as told_costs
from bitbudget.telling import wording
from bitbudget.telling.costs import TIMES

Record = Mapping[str, Any]


def reaches(metrics: Record) -> str:
    """The shares of the floors, without a full stop: "decode reaches 47 % of what the memory's bandwidth allows".

    Empty where no floor is known.
    """
    told = []
    for phase in MEASURED:
        share, floor = metrics.get(f"share_of_floor_{phase}", {}), metrics.get(f"floor_{phase}", {})
        if "value" not in share:
            continue
        if share["value"] > 1:
            cached = floor["bound"] == "memory"
            why = "as where weights stay in a cache" if cached else "which torch's own products were seen to reach"
            told.append(f"{_named(phase)} is faster than {_limit(floor)} allows, {why}")
        else:
            told.append(f"{_named(phase)} reaches {wording.percent(share['value'])} of what {_limit(floor)} allows")
    return wording.listed(told)


def _limit(floor: Record) -> str:
    if floor["bound"] == "memory":
        return f"the memory's bandwidth ({wording.number(floor['bandwidth'])} GB/s)"
    return f"arithmetic in {wording.listed(floor['computes_in'])} ({wording.number(floor['rate'])} GFLOP/s)"


def sentence(reason: Reason | None, baseline: str) -> str:
    """Why a precision is faster or slower than the baseline, without a full stop; empty where nothing is compared."""
    if reason is None:
        return ""
    stands = reason.relation
    start = f"{told_costs.word(costs.LATENCY, stands)} ({told_costs.times(stands)})"
    parts = [_decided(reason, baseline), _reached(reason, baseline), *_kept(reason, baseline)]
    said = "; ".join(filter(None, parts))
    return f"{start}: {said}" if said else f"{start}, which its phases do not explain"


def _decided(reason: Reason, baseline: str) -> str:
    """The phase that decides, and its cause."""
    if not reason.phase:
        return ""
    share = wording.percent(reason.share)
    alike = abs(reason.factor - 1) < costs.ALIKE
    time = "about the same time" if alike else f"{reason.factor:.2f}{TIMES} the time"
    said = f"{_named(reason.phase)}, {share} of {baseline}'s latency, takes {time}"
    cause = _cause(reason, baseline)
    return f"{said}, because {cause}" if cause else said


def _cause(reason: Reason, baseline: str) -> str:
    types = wording.listed(["the model's type" if one == MODEL else one for one in reason.computes_in])
    others = wording.listed(reason.base_computes_in) or baseline
    rate = "" if reason.rate is None else f"{reason.rate:.2f}{TIMES} the rate of {others}"
    less = reason.bytes is not None and reason.bytes < 1 - costs.ALIKE
    read = f"{reason.bytes:.2f}{TIMES} the bytes" if less else ""
    runs = f"{wording.listed(reason.runtimes)} runs it"
    if reason.kind == reasons.OTHER_RUNTIME:
        more = f" and a token reads {read}" if read and reason.phase == "decode" and reason.factor < 1 else ""
        return runs + more
    if reason.kind == reasons.READS_LESS:
        return f"a token reads {read}"
    if reason.kind == reasons.MULTIPLIES_FASTER:
        return f"this machine multiplies {types} at {rate}"
    if reason.kind == reasons.NOT_NATIVE:
        return f"this machine has no fast arithmetic in {types}, which it multiplies at {rate}"
    if reason.kind == reasons.STARTING:
        steps = "unpacking weights" if reason.unpacks else "rounding inputs" if "int8" in reason.computes_in else ""
        further = f", and {steps} adds to them" if steps else ""
        return f"at batch 1 a step spends its time on starting kernels and not on reading weights{further}"
    if reason.kind == reasons.UNPACKS:
        saved = f", so that reading {read} does not pay" if read else ""
        return f"its kernels unpack weights to {types} at every product{saved}"
    if reason.kind == reasons.ROUNDS_INPUTS:
        return "it multiplies in int8, to which its kernels round the inputs of every product"
    return ""


def _reached(reason: Reason, baseline: str) -> str:
    """How much of the floor of this phase is reached, beside the baseline's share."""
    if reason.reach is None or reason.base_reach is None:
        return ""
    limit = "the memory's bandwidth" if reason.phase == "decode" else "this machine"
    own, other = wording.percent(reason.reach), wording.percent(reason.base_reach)
    return f"it reaches {own} of what {limit} allows, {baseline} {other}"


def _kept(reason: Reason, baseline: str) -> Sequence[str]:
    """Long phases that the formats do not touch."""
    return [
        f"{_named(phase)}, {wording.percent(share)} of {baseline}'s latency, "
        + ("has no number format" if phase in reasons.OF_THE_MACHINE else "keeps its format")
        for phase, share in reason.untouched
    ]


def _named(phase: str) -> str:
    return PHASES[f"latency_{phase}"].partition(" (")[0]
