"""From the repeats of one measurement, each of a process of its own, to the record that all else reads.

Raw values are pooled in the order of the repeats, and what is made of them is made anew; what each repeat found alone
stands beside it as `by_repeat`, so that drift shows. The intervals of times and rates are widened to hold it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from bitbudget.errors import UserError
from bitbudget.measuring import disturbances, footprint, own_times, quantities
from bitbudget.measuring.settling import TOLERANCE

Record = dict[str, Any]
Metric = dict[str, Any]

# What a process tells only once, and what is the same whenever it is measured.
ONCE = {"latency_cold", "latency_compile", "load_time"}
FIXED = {"size_on_disk", "weights_in_memory", "cache_memory"}
# What is made of other metrics of the same record, after these have been pooled.
DERIVED = {"energy_per_item"}
# What must be the same in all repeats for their numbers to be those of one thing, and where it stands in a record.
SAME = {
    "checkpoints": ("checkpoint_hash",),
    "subsets": ("subset_hash",),
    "plans (`measure` in the study)": ("plan",),
    "packages": ("provenance", "packages"),
    "hardware": ("provenance", "hardware"),
    "devices": ("circumstances", "device"),
    "GPUs": ("circumstances", "gpu"),
    "numbers of threads": ("circumstances", "threads"),
    "delegates": ("circumstances", "delegate"),
}

# What a metric of power or energy says of where it comes from.
METER = ("source", "how", "scope")


def pooled(repeats: Sequence[Record], carbon: Record) -> tuple[Record, Record]:
    """Identity and body of the record of measurements that these repeats, in any order, make together.

    `carbon` is the study's country, PUE and intensity: where the measured energy comes from, which no process that
    measures needs to know.
    Raises `UserError` where they are not of the same model, precision and condition or not made alike, or where one is
    given twice.
    """
    repeats = sorted(repeats, key=lambda one: one["repeat"])
    first = repeats[0]
    _same(repeats)
    identity = {key: first[key] for key in ("study", "model", "precision", "condition", "seed")}
    identity |= {key: first[key] for key in ("checkpoint_hash", "subset_hash")}
    shared = {
        key: value
        for key, value in first["circumstances"].items()
        if all(one["circumstances"].get(key) == value for one in repeats)
    }
    kept = ("repeat", "started", "finished", "circumstances", "provenance")
    found = metrics([one["metrics"] for one in repeats])
    found["electricity_per_item"] = footprint.electricity(found["energy_per_item"], carbon["pue"])
    found["carbon_per_item"] = footprint.carbon(found["energy_per_item"], **carbon)
    body = {
        "metrics": found,
        "circumstances": shared,
        "repeats": [{key: one[key] for key in kept} for one in repeats],
        "remarks": remarks(repeats),
        "disturbed": disturbances.of_repeats(repeats),
    }
    return identity, body


def _same(repeats: Sequence[Record]) -> None:
    first = repeats[0]
    where = "results/{study}/{model}/{precision}/{condition}/measurements".format(**first)
    for before, one in pairwise(repeats):
        names = ("study", "model", "precision", "condition")
        if any(one[name] != first[name] for name in names):
            both = " and ".join(" / ".join(record[name] for name in names) for record in (first, one))
            raise UserError(f"the repeats are of {both}; give those of one alone.")
        if one["repeat"] == before["repeat"]:
            raise UserError(f"repeat {one['repeat']} of {where} is given twice; give each once.")
    for one in repeats[1:]:
        for what, path in SAME.items():
            _alike(what, first, one, _at(first, path), _at(one, path), where)
    metered = [one for one in repeats if _meter(one)]
    for one in metered[1:]:
        _alike("energy sources", metered[0], one, _meter(metered[0]), _meter(one), where)


def _alike(what: str, first: Record, other: Record, here: Any, there: Any, where: str) -> None:
    if here != there:
        raise UserError(
            f"repeats {first['repeat']} and {other['repeat']} in {where} were measured with different {what}"
            f"{_difference(here, there)}, so they cannot be pooled: delete that folder and measure again."
        )


def _meter(record: Record) -> dict[str, str]:
    """Where a repeat's energy figures come from: source, how and scope; empty where it has none."""
    idle = record["metrics"].get("idle_power", {})
    return {key: idle[key] for key in METER} if "value" in idle else {}


def _at(record: Record, path: tuple[str, ...]) -> Any:
    found: Any = record
    for name in path:
        found = found.get(name)
    return found


def _difference(here: Any, there: Any) -> str:
    """Which values differ, in words; nothing where they would not help, as hashes."""
    if isinstance(here, dict) and isinstance(there, dict):
        keys = [key for key in {**here, **there} if here.get(key) != there.get(key)]
        return " (" + ", ".join(f"{key}: {here.get(key)} and {there.get(key)}" for key in keys) + ")"
    return "" if isinstance(here, str) and len(here) == 64 else f" ({here} and {there})"


def metrics(found: Sequence[dict[str, Metric]]) -> dict[str, Metric]:
    """All metrics of the repeats, pooled; those that none has a value of stay absent with the first reason."""
    names = list(dict.fromkeys(name for one in found for name in one))
    pooled = {}
    for name in names:
        given = [one[name] for one in found if name in one]
        if name not in DERIVED and not any("difference" in one for one in given):
            pooled[name] = _pooled(name, given)
    return pooled | _derived(names, found, pooled)


def _pooled(name: str, given: list[Metric]) -> Metric:
    """One metric, from the repeats that have a value of it; `absent_in_repeats` counts those that have none."""
    there = [one for one in given if "value" in one]
    if not there:
        return given[0]
    values = [one["value"] for one in there]
    if name in FIXED:
        return there[0]
    if name in ONCE:
        found = quantities.once(values, there[0]["unit"])
    elif name == "peak_memory":
        found = max(there, key=lambda one: one["value"]) | {"n": len(values), "raw": values}
    else:
        found = _from_raw(name, there) | {"by_repeat": values}
    missing = len(given) - len(there)
    return found | ({"absent_in_repeats": missing} if missing else {})


def _from_raw(name: str, there: list[Metric]) -> Metric:
    def joined(key: str) -> list[float]:
        return [value for one in there for value in one[key]]

    raw, first = joined("raw"), there[0]
    if name == "idle_power":
        return quantities.power(raw, {key: first[key] for key in METER})
    if name.startswith("energy_"):
        return quantities.energy(raw, joined("net_raw"), joined("window_seconds"), _origin(there))
    alone = [one["value"] for one in there]
    if name.startswith(("throughput_", "token_rate_")):
        return quantities.holding(quantities.throughput(raw, first["unit"]), alone)
    if first["higher_is_better"]:
        return quantities.holding(quantities.rate(raw, first["unit"]), alone)
    times = quantities.holding(quantities.seconds(raw), alone)
    times = quantities.holding(times, [one["mean"] for one in there], "mean_ci")
    return times | ({"drift": joined("drift")} if "drift" in first else {})


def _origin(there: list[Metric]) -> Metric:
    """What pooled energy says of itself: as each repeat does, with the mean of their idle powers."""
    watts = [one["idle_watts"] for one in there]
    return {key: there[0][key] for key in quantities.ORIGIN} | {"idle_watts": sum(watts) / len(watts)}


def _derived(names: list[str], found: Sequence[dict[str, Metric]], pooled: dict[str, Metric]) -> dict[str, Metric]:
    """The energy of an item, which is that at one of the batch sizes, and that of its parts by difference."""
    made: dict[str, Metric] = {}
    if "energy_per_item" in names:
        given = [one["energy_per_item"] for one in found if "energy_per_item" in one]
        size = next((one["batch_size"] for one in given if "value" in one), None)
        made["energy_per_item"] = given[0] if size is None else pooled[f"energy_per_item_{size}"]
    for name in names:
        given = [one[name] for one in found if "difference" in one.get(name, {})]
        if given:
            made[name] = _remainder(given)
    return made


def _remainder(given: list[Metric]) -> Metric:
    """The energy of a part by difference, from the rounds of all repeats: also of those that found none alone.

    `by_repeat` is each repeat's mean, below zero or not.
    """
    there = [one for one in given if "raw" in one]
    if not there:
        return given[0]
    raw, net_raw = ([value for one in there for value in one[key]] for key in ("raw", "net_raw"))
    found = quantities.remainder(raw, net_raw, _origin(there) | {"difference": there[0]["difference"]})
    missing = len(given) - len(there)
    by_repeat = {"by_repeat": [statistics.fmean(one["raw"]) for one in there]}
    return found | by_repeat | ({"absent_in_repeats": missing} if missing else {})


def remarks(repeats: Sequence[Record]) -> list[str]:
    """Sentences about what may have disturbed a repeat, and about repeats that do not agree."""
    said = []
    for one in repeats:
        about, name = one["circumstances"], f"repeat {one['repeat']}"
        if disturbances.loaded(about.get("load_before", 0.0), about.get("cores", 1)):
            said.append(f"{name}: the machine was loaded ({about['load_before']:.1f} jobs on {about['cores']} cores).")
        for when, key in (("before", "other_gpu_processes"), ("after", "other_gpu_processes_after")):
            if about.get(key):
                ids = ", ".join(map(str, about[key]))
                said.append(f"{name}: other processes computed on the GPU {when} it measured ({ids}).")
            elif key in about and about[key] is None:
                said.append(f"{name}: NVML did not tell which processes computed on the GPU {when} it measured.")
        if remark := about.get("compiled", {}).get("remark"):
            said.append(f"{name}: {remark}")
        if not about.get("warm_up", {"settled": True})["settled"]:
            said.append(f"{name}: the timings had not settled when the warm-up ended.")
        said += own_times.remarks(name, about.get("own_times", {}))
        drifts = [share for share in one["metrics"].get("latency", {}).get("drift", []) if abs(share) > TOLERANCE]
        if drifts:
            shares = ", ".join(f"{100 * share:+.0f} %" for share in drifts)
            said.append(f"{name}: the second half of a round was slower or faster than the first ({shares}).")
    medians = [one["metrics"]["latency"]["value"] for one in repeats if "value" in one["metrics"].get("latency", {})]
    if medians and max(medians) > (1 + TOLERANCE) * min(medians):
        shown = ", ".join(f"{1000 * one:.1f}" for one in medians)
        said.append(f"the median latency differs between the repeats by more than 10 %: {shown} ms.")
    if len({one["provenance"]["commit"] for one in repeats}) > 1:
        said.append("the repeats were made by different commits of the workflow.")
    return said
