"""A made-up comparison.json, as compare_precisions would write it, for the tests of verdicts and of their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget import registry
from bitbudget.telling import record as verdicts_record

HASH = "a" * 64


def metric(
    difference: float,
    half: float,
    *,
    baseline: float = 50.0,
    p: float | None = None,
    higher_is_better: bool = True,
    detectable: float | None = None,
    n: int = 160,
    family: int = 7,
    differ: int | None = None,
    stake: float = 0.0,
) -> dict[str, Any]:
    """A difference with an interval of this half width; what could have been seen is 2.8 standard errors.

    `differ` counts the units that differ; half of all do where the interval has a width. `stake` is what one unit more
    has to lose.
    """
    error = half / 1.96
    p = p if p is not None else 1.0 if half == 0 else 0.001 if abs(difference) > half else 0.5
    return {
        "value": difference,
        "unit": "score",
        "higher_is_better": higher_is_better,
        "n": n,
        "ci": [difference - half, difference + half],
        "baseline": baseline,
        "compared": baseline + difference,
        "standard_error": error,
        "stake": stake,
        "units_changed": (n // 2 if half else 0) if differ is None else differ,
        "test": "paired bootstrap",
        "p_value": p / 3,
        "p_holm": p,
        "family": family,
        "smallest_detectable": 2.8 * error if detectable is None else detectable,
    }


def one(
    precision: str,
    found: Mapping[str, Any],
    *,
    primary: str = "CIDEr",
    model: str = "m",
    condition: str = "zero-shot",
    kind: str = "precision",
    n: int = 160,
    units: int | None = None,
    answers: tuple[int, int, int] = (12, 3, 7),
) -> dict[str, Any]:
    """A comparison; `answers` are changed, better and worse."""
    changed, better, worse = answers
    return {
        "model": model,
        "condition": condition,
        "precision": precision,
        "kind": kind,
        "n": n,
        "units": units or n,
        "metrics": {primary: dict(found)},
        "answers": {"changed": changed, "better": better, "worse": worse, "same": n - better - worse},
    }


def floor(baseline: str, found: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """The baseline against itself; it does not change where nothing is given."""
    found = dict(found or metric(0.0, 0.0)) | {"p_holm": None}
    del found["family"]
    return one(baseline, found, **{"kind": "noise_floor", "answers": (0, 0, 0)} | more)


def record(
    comparisons: Sequence[Mapping[str, Any]], baseline: str = "float16", primary: str = "CIDEr"
) -> dict[str, Any]:
    about = {"study": "synthetic", "seed": 53, "subset_hash": HASH, "primary": primary, "baseline": baseline}
    settings = {"level": 0.95, "power": 0.8, "worth": "the item's own value in it", "resamples": {primary: 10_000}}
    return {"record": "comparison", **about, **settings, "comparisons": list(comparisons), "provenance": {}}


def of_scores(spec: Mapping[str, Any], scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The comparison of a study whose scores are these: of the primary metric's values, with intervals of one width."""
    primary, baseline = spec["primary"], spec["baseline"]
    about = registry.module_of("track", spec["track"]).METRICS[primary]
    value = {
        (one["model"], one["precision"], one["condition"]): one["metrics"][primary].get("value", 0.0) for one in scores
    }
    made = []
    for model in spec["models"]:
        for condition in spec["conditions"]:
            base = value[model, baseline, condition]
            for precision in (name for name in spec["precisions"] if name != baseline):
                difference = value[model, precision, condition] - base
                found = metric(difference, 0.012, baseline=base, higher_is_better=about["higher_is_better"])
                found["unit"] = about["unit"]
                worse = min(160, int(200 * abs(difference)))
                cell = {"primary": primary, "model": model, "condition": condition}
                made.append(one(precision, found, answers=(worse + 5, 2, worse), **cell))
            made.append(floor(baseline, primary=primary, model=model, condition=condition))
    return record(made, baseline, primary)


def spec(
    precisions: Sequence[str],
    *,
    models: Sequence[str] = ("m",),
    conditions: Sequence[str] = ("zero-shot",),
    track: str = "captioning",
    primary: str | None = None,
    quality: float = 0.95,
    prefer: str = "memory",
    demo: bool = True,
) -> dict[str, Any]:
    return {
        "study": "synthetic",
        "seed": 53,
        "track": track,
        "primary": primary or registry.module_of("track", track).PRIMARY,
        "models": list(models),
        "precisions": list(precisions),
        "conditions": list(conditions),
        "baseline": precisions[0],
        "accept": {"quality": quality, "prefer": prefer},
        "demo": demo,
        "note": "demo study: made-up numbers",
    }


def row(precision: str, quality: float | None = 50.0, *, baseline: bool = False, **cells: Any) -> dict[str, Any]:
    """A row of summary.csv, measured on a GPU; `cells` replace its own.

    The interval of its latency is 5 % to each side where none is given.
    """
    latency = cells.get("latency_median_s", 0.2)
    ends = {"low": None, "high": None} if latency is None else {"low": 0.95 * latency, "high": 1.05 * latency}
    return {
        "model": "m",
        "precision": precision,
        "condition": "zero-shot",
        "baseline": baseline,
        "CIDEr": quality,
        "size_on_disk_MB": 100.0,
        "weights_in_memory_MB": 90.0,
        "peak_memory_MB": 200.0,
        "peak_memory_kind": "CUDA allocated",
        "latency_median_s": latency,
        **{f"latency_median_ci_{end}_s": value for end, value in ends.items()},
        "throughput_batch_8_items_per_s": 20.0,
        "energy_per_item_J": 4.0,
        "energy_how": "counter",
        "carbon_per_1000_items_g": 0.1,
        "n_items": 160,
        "device": "cuda",
        "threads": 2,
        "hardware": "Abacus 9",
        "simulated": None,
        "audit_passed": True,
        "notes": "",
        "remarks": None,
        "disturbed": None,
    } | cells


def measurements(of: Mapping[str, Any], reason: str = "nothing was measured here.") -> dict[str, Any]:
    """The part of a record of measurements that verdicts read: why the costs that a row lacks are absent."""
    cost = {
        "size_on_disk": "size_on_disk_MB",
        "weights_in_memory": "weights_in_memory_MB",
        "latency": "latency_median_s",
    }
    cost |= {"peak_memory": "peak_memory_MB", "energy_per_item": "energy_per_item_J"}
    metrics = {
        name: {"absent": reason} if of[column] is None else {"value": of[column], "n": 5}
        for name, column in cost.items()
    }
    return {key: of[key] for key in ("model", "precision", "condition")} | {"metrics": metrics, "repeats": [{}]}


def scores(of: Mapping[str, Any], primary: str = "CIDEr") -> dict[str, Any]:
    """The part of a record of scores that verdicts read."""
    value = of[primary]
    found = {"absent": "it could not be scored."} if value is None else {"value": value, "ci": [value - 2, value + 2]}
    return {key: of[key] for key in ("model", "precision", "condition")} | {"metrics": {primary: found}}


def told(
    of: Mapping[str, Any], comparison: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], floor: float | None = None
) -> dict[str, Any]:
    """The body of verdicts.json of a study with these rows; `floor` is what answering without looking scores."""
    primary = of["primary"]
    blind = {"metrics": {} if floor is None else {primary: {"value": floor}}}
    measured, scored = [measurements(one) for one in rows], [scores(one, primary) for one in rows]
    return verdicts_record.body(of, comparison, rows, measured, scored, blind)


FORMAT = "rtn-3"
GROUPS = ("vision", "projector", "language", "language.attention", "language.mlp")
# Parameters that become the format, by group; a group's own are beside those of its parts.
PARAMETERS = {"vision": 800_000, "projector": 60_000, "language.attention": 500_000, "language.mlp": 1_200_000}


def name_of(group: str) -> str:
    """The precision that quantizes a group alone."""
    return f"every-group-{FORMAT}" if group == "every-group" else f"only-{group.replace('.', '-')}-{FORMAT}"


def ablation_spec(groups: Sequence[str] = GROUPS, baseline: str = "bfloat16", **more: Any) -> dict[str, Any]:
    named = {name_of(group): group for group in (*groups, "every-group")}
    return spec([baseline, *named], **more) | {"ablation": {"format": FORMAT, "groups": named}}


def ablation_audit(group: str, model: str = "m") -> dict[str, Any]:
    """The audit of a group's precision: two layers a group, and one that keeps its format."""
    layers = [
        {"group": name, "asked": FORMAT if _quantized(name, group) else "bfloat16", "parameters": count // 2}
        for name, count in PARAMETERS.items()
        for _ in range(2)
    ]
    layers.append({"group": "head", "asked": "bfloat16", "parameters": 150_000})
    return {"record": "audit", "model": model, "precision": name_of(group), "layers": layers}


def _quantized(name: str, group: str) -> bool:
    return group in (name, "every-group") or name.startswith(f"{group}.")
