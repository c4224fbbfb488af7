"""The least time that a phase could take on this machine, and which share of it a measured time is.

Every token that is decoded reads all weights that it passes once, and the cache of keys and values: their bytes over
the read bandwidth of the memory are the floor of a decode step at batch 1. Prefill and vision encoding multiply their
weights with many tokens at once: their floor is their operations over the machine's matrix rate in the type that the
format computes in, or the reading of their weights where that takes longer. This is the roofline of Williams, Waterman
and Patterson 2009 (doi:10.1145/1498765.1498785), by phase. The share of the floor is known as the utilization of the
memory bandwidth in decode (MBU), and of the arithmetic in prefill (MFU).

Nothing of torch is needed: bytes and formats are those of the audit, whichever runtime multiplies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitbudget import registry
from bitbudget.measuring import disturbances
from bitbudget.measuring.circumstances import circumstances, place
from bitbudget.records import absent, metric

Record = Mapping[str, Any]
Metric = dict[str, Any]

# By phase: the metric of its measured time, and the module groups whose weights it reads.
MEASURED = {"decode": "decode_per_token", "prefill": "latency_prefill", "vision": "latency_vision"}
GROUPS = {"decode": ("language", "head"), "prefill": ("language", "head"), "vision": ("vision", "projector")}
FLOATS = ("float32", "bfloat16", "float16")
MODEL = "model"  # what formats say that compute in the dtype of the model


@dataclass(frozen=True)
class Weights:
    """What a phase multiplies with: bytes in memory, and the format and compute type of every layer."""

    bytes: int
    formats: tuple[str, ...]
    computes_in: tuple[str, ...]


def metrics(measured: Record, audit: Record, machine: Record, flops: Record) -> dict[str, Metric]:
    """`floor_{phase}` in seconds and `share_of_floor_{phase}` of a record of measurements, for each phase that it has.

    `machine` is the record of `probe_machine`, `flops` the operations of an answer. What is not known is absent with
    its reason.
    """
    found = {}
    for phase, name in MEASURED.items():
        if phase != "vision" or name in measured["metrics"]:
            found |= _of_phase(phase, measured, audit, machine, flops)
    return found


def _of_phase(phase: str, measured: Record, audit: Record, machine: Record, flops: Record) -> dict[str, Metric]:
    names = f"floor_{phase}", f"share_of_floor_{phase}"
    whole = measured["metrics"].get("latency", {})
    untimed = {"absent": whole.get("absent", f"{phase} was not timed apart from the rest of an answer.")}
    time = measured["metrics"].get(MEASURED[phase], untimed)
    reason = time.get("absent") or elsewhere(measured, machine) or loaded(machine)
    floor = {"absent": reason} if reason else _floor(phase, measured, audit, machine, flops)
    if "absent" in floor:
        return {
            names[0]: absent(floor["absent"], "s", higher_is_better=False),
            names[1]: absent(floor["absent"], "share", higher_is_better=True),
        }
    ends = time.get("ci")
    share = metric(
        floor["value"] / time["value"], "share", higher_is_better=True, n=time["n"],
        ci=(floor["value"] / ends[1], floor["value"] / ends[0]) if ends else None,
    )  # fmt: skip
    return {names[0]: floor, names[1]: share}


def elsewhere(measured: Record, machine: Record) -> str | None:
    """Why the probe is not of the machine that this was measured on, in a sentence; None where it is."""
    here = circumstances(machine)
    for one in measured.get("repeats") or [measured]:
        there = circumstances(measured | {"circumstances": one["circumstances"], "repeats": [one]})
        if there != here:
            return (
                f"the machine was probed on {place(here)} where this was measured on {place(there)}: delete "
                f"results/{machine['study']}/machine.json and run again."
            )
    return None


def loaded(machine: Record) -> str | None:
    """Why the probe is no floor, in a sentence, where other programs ran beside it; None where none did."""
    about = machine["circumstances"]
    if not disturbances.loaded(about.get("load_before", 0.0), about.get("cores", 1)):
        return None
    return (
        f"the machine was loaded when it was probed ({about['load_before']:.1f} jobs on {about['cores']} cores), so it "
        f"can do more: delete results/{machine['study']}/machine.json and run again on a quiet machine."
    )


def _floor(phase: str, measured: Record, audit: Record, machine: Record, flops: Record) -> Metric:
    """The floor with all that it is made of, or why there is none."""
    bandwidth = machine["metrics"]["read_bandwidth"]
    if "absent" in bandwidth:
        return {"absent": bandwidth["absent"]}
    weights = weights_of(phase, audit)
    if isinstance(weights, str):
        return {"absent": weights}
    cache = _cache(measured) if phase == "decode" else 0
    reading = (weights.bytes + cache) / (1e9 * bandwidth["value"])
    about: Metric = {"bytes": weights.bytes + cache, "bandwidth": bandwidth["value"], "formats": [*weights.formats]}
    if phase == "decode":
        about |= {"cache_bytes": cache, "computes_in": [*weights.computes_in]}
        return metric(reading, "s", higher_is_better=False, n=1, bound="memory", **about)
    rate = _rate(weights, machine)
    operations = flops["metrics"].get(f"flops_{phase}") or {"absent": f"the operations of {phase} were not counted."}
    for one in (rate, operations):
        if "absent" in one:
            return {"absent": one["absent"]}
    about |= {"operations": operations["value"], "rate": rate["value"], "computes_in": [*weights.computes_in]}
    multiplying = operations["value"] / (1e9 * rate["value"])
    bound = "arithmetic" if multiplying >= reading else "memory"
    return metric(max(multiplying, reading), "s", higher_is_better=False, n=1, bound=bound, **about)


def weights_of(phase: str, audit: Record) -> Weights | str:
    """What a phase multiplies with, or why that is not known, in a sentence.

    A token passes the decoder and the head; of the embeddings it reads one row, which is left out, unless the head is
    tied to them: then their largest matrix is the head's. It does not pass the encoder of a model that has one.
    """
    rows = [*audit["layers"], *audit["other_parameters"]]
    own = [row for row in rows if row["group"].split(".")[0] in GROUPS[phase]]
    if phase != "vision":
        own = [row for row in own if not (phase == "decode" and _of_encoder(row, own))]
        own += _tied_head(rows)
    if any(_of_expert(row) for row in own):
        return "a token passes only some of the experts of this model, so what it reads is not known."
    layers = [row for row in own if "found" in row]
    if not layers:
        return f"the audit names no layer that {phase} multiplies with."
    formats = tuple(dict.fromkeys(_format(row) for row in layers if row["parameters"]))
    dtype = _dtype(own) or _dtype(rows)
    computes_in = tuple(dict.fromkeys(filter(None, (computes(name, dtype) for name in formats))))
    return Weights(sum(row["bytes"] for row in own), formats, computes_in)


def _format(row: Record) -> str:
    """The format of a layer; of a file that mixes types, where one of them is no format by itself, the file's."""
    return row["found"] if row["found"] in registry.FORMATS else row["asked"]


def computes(name: str, dtype: str | None) -> str | None:
    """The type that the kernels of a format multiply in, beside this dtype of the model; None where it is unknown."""
    if name not in registry.FORMATS:
        return None
    said = registry.format_of(name).computes_in
    return dtype if said == MODEL else said


def _tied_head(rows: Sequence[Record]) -> Iterator[Record]:
    """The matrix of the embeddings that the head multiplies with; none where the head has weights of its own."""
    if any(row["group"] == "head" and row["parameters"] and row.get("dimensions", 2) > 1 for row in rows):
        return
    embeddings = [row for row in rows if row["group"] == "embeddings"]
    if embeddings:
        yield max(embeddings, key=lambda row: row["bytes"])


def _of_encoder(row: Record, rows: Sequence[Record]) -> bool:
    """Whether a row is of the encoder of a model that has a decoder beside it, whose weights no decoded token reads."""
    return "encoder" in _parts(row) and any("decoder" in _parts(other) for other in rows)


def _of_expert(row: Record) -> bool:
    return bool({"experts", "block_sparse_moe"} & _parts(row))


def _parts(row: Record) -> set[str]:
    return set(row["path"].split("."))


def _dtype(rows: Sequence[Record]) -> str | None:
    """The float type that most parameters beside quantized layers are held in."""
    counted = Counter(row["storage"] for row in rows if row["storage"] in FLOATS)
    return counted.most_common(1)[0][0] if counted else None


def _cache(measured: Record) -> int:
    """Bytes of keys and values that a decode step reads, on average over a measured answer; 0 where not measured."""
    found = measured["metrics"].get("cache_memory", {})
    if "value" not in found:
        return 0
    positions = found["positions"]
    return round(found["bytes"] * (positions - found["new_tokens"] / 2) / positions)


def _rate(weights: Weights, machine: Record) -> Metric:
    """The fastest matrix rate among the types that these weights are multiplied in, in GFLOP/s."""
    rates = [machine["metrics"].get(f"matrix_rate_{name}", {}) for name in weights.computes_in]
    known = [one for one in rates if "value" in one]
    if rates and len(known) == len(rates):
        return max(known, key=lambda one: one["value"])
    reasons = [one["absent"] for one in rates if "absent" in one]
    unknown = [name for name, one in zip(weights.computes_in, rates, strict=True) if "value" not in one]
    types = " and ".join(unknown) or "what it computes in"
    return {"absent": reasons[0] if reasons else f"the machine's rate in {types} was not probed."}
