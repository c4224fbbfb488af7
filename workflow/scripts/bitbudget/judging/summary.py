"""summary.csv: one row a model, precision and condition, with everything that was measured of it.

Units stand in the column names. An absent value is an empty cell, never 0, and `notes` says why it is absent. `remarks`
is what a reader has to know of the measurements, and of a ready checkpoint; where `disturbed` holds a reason, neither
times nor rates nor energy nor carbon may be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.judging import costs
from bitbudget.measuring import disturbances
from bitbudget.measuring.circumstances import circumstances, delegate, difference
from bitbudget.measuring.phase_names import phases_of

if TYPE_CHECKING:
    import pandas

Record = Mapping[str, Any]

# Column of the summary: metric of the measurements, key in that metric, factor from the metric's unit to the column's.
COSTS: dict[str, tuple[str, str, float]] = {
    "size_on_disk_MB": ("size_on_disk", "value", 1.0),
    "size_on_disk_MiB": ("size_on_disk", "value", 1e6 / 2**20),
    "weights_in_memory_MB": ("weights_in_memory", "value", 1.0),
    "peak_memory_MB": ("peak_memory", "value", 1.0),
    "cache_memory_MB": ("cache_memory", "value", 1.0),  # keys and values at the end of an answer
    "peak_memory_MiB": ("peak_memory", "value", 1e6 / 2**20),
    "latency_median_s": ("latency", "value", 1.0),
    "latency_median_ci_low_s": ("latency", "ci_low", 1.0),
    "latency_median_ci_high_s": ("latency", "ci_high", 1.0),
    "latency_mean_s": ("latency", "mean", 1.0),
    "latency_mean_ci_low_s": ("latency", "mean_ci_low", 1.0),
    "latency_mean_ci_high_s": ("latency", "mean_ci_high", 1.0),
    "latency_p95_s": ("latency", "p95", 1.0),
    "latency_cold_s": ("latency_cold", "value", 1.0),
    "latency_compile_s": ("latency_compile", "value", 1.0),
    "latency_preprocessing_s": ("latency_preprocessing", "value", 1.0),
    "latency_vision_s": ("latency_vision", "value", 1.0),
    "latency_prefill_s": ("latency_prefill", "value", 1.0),
    "latency_decode_s": ("latency_decode", "value", 1.0),
    "latency_invoke_s": ("latency_invoke", "value", 1.0),
    "latency_postprocessing_s": ("latency_postprocessing", "value", 1.0),
    "latency_postprocessing_evaluation_s": ("latency_postprocessing_evaluation", "value", 1.0),
    "load_time_s": ("load_time", "value", 1.0),
    "decode_per_token_s": ("decode_per_token", "value", 1.0),
    "prefill_tokens_per_s": ("prefill_rate", "value", 1.0),
    "decode_tokens_per_s": ("decode_rate", "value", 1.0),
    # what the memory's bandwidth or the arithmetic of the machine allows, and the share of it that is reached
    "floor_decode_per_token_s": ("floor_decode", "value", 1.0),
    "share_of_floor_decode": ("share_of_floor_decode", "value", 1.0),
    "floor_prefill_s": ("floor_prefill", "value", 1.0),
    "share_of_floor_prefill": ("share_of_floor_prefill", "value", 1.0),
    "floor_vision_s": ("floor_vision", "value", 1.0),
    "share_of_floor_vision": ("share_of_floor_vision", "value", 1.0),
    "energy_per_item_J": ("energy_per_item", "value", 1.0),
    "energy_per_item_ci_low_J": ("energy_per_item", "ci_low", 1.0),
    "energy_per_item_ci_high_J": ("energy_per_item", "ci_high", 1.0),
    "energy_net_per_item_J": ("energy_per_item", "net", 1.0),
    "energy_preprocessing_J": ("energy_preprocessing", "value", 1.0),
    "energy_vision_prefill_J": ("energy_vision_prefill", "value", 1.0),
    "energy_prefill_J": ("energy_prefill", "value", 1.0),
    "energy_decode_J": ("energy_decode", "value", 1.0),
    "energy_invoke_J": ("energy_invoke", "value", 1.0),
    "energy_postprocessing_J": ("energy_postprocessing", "value", 1.0),
    "idle_power_W": ("idle_power", "value", 1.0),
    # joules are the measured machine's own; kWh and CO2e hold what the building adds (PUE)
    "kwh_per_1000_items": ("electricity_per_item", "value", 1e3),
    "carbon_per_1000_items_g": ("carbon_per_item", "value", 1e3),
    "kwh_per_million_requests": ("electricity_per_item", "value", 1e6),
    "carbon_per_million_requests_kg": ("carbon_per_item", "value", 1e6 / 1e3),
}
# Columns that only a track with this phase has.
OF_PHASE = {
    "latency_preprocessing_s": "preprocessing",
    "latency_vision_s": "vision",
    "latency_prefill_s": "prefill",
    "latency_decode_s": "decode",
    "latency_invoke_s": "invoke",
    "latency_postprocessing_s": "postprocessing",
    "latency_postprocessing_evaluation_s": "postprocessing",
    "energy_preprocessing_J": "preprocessing",
    "energy_vision_prefill_J": "vision",
    "energy_prefill_J": "prefill",
    "energy_decode_J": "decode",
    "energy_invoke_J": "invoke",
    "energy_postprocessing_J": "postprocessing",
    "load_time_s": "invoke",  # of a file that LiteRT invokes; it is not measured of other models
    "decode_per_token_s": "decode",
    "prefill_tokens_per_s": "prefill",
    "decode_tokens_per_s": "decode",
    **{f"share_of_floor_{phase}": phase for phase in ("decode", "prefill", "vision")},
    "cache_memory_MB": "decode",
    "floor_decode_per_token_s": "decode",
    "floor_prefill_s": "prefill",
    "floor_vision_s": "vision",
}
# Columns that a track with this phase has not: the phase's energy is in one with another's, in another column.
NOT_OF_PHASE = {"energy_prefill_J": "vision"}
# What qualifies a cost: column, metric, key.
KINDS = {
    "peak_memory_kind": ("peak_memory", "kind"),
    "energy_source": ("energy_per_item", "source"),
    "energy_how": ("energy_per_item", "how"),  # counter, sampled or estimated
    "energy_scope": ("energy_per_item", "scope"),  # whose energy it is
    "energy_batch_size": ("energy_per_item", "batch_size"),
}
# Columns of which there is one for each batch size: what the names of the metrics begin with, and the column.
BY_BATCH = {f"{name}_": column for name, column in costs.RATES.items()}
BY_BATCH["decode_rate_at_"] = "decode_tokens_per_s_at_{}{}"  # one for each length of the context
LEFT_OUT = "left out: "  # how the notes of what could not run begin
# Columns of whole numbers, also where cells are empty.
WHOLE = ("n_items", "human_n", "threads", "energy_batch_size", "seed")
# Below this share of what a precision names, readers are told: convolutions and pooling heads of towers are less.
NEARLY_ALL = 0.9
# What people who rated a sample of the answers found.
HUMAN = ("human_accuracy", "human_agreement")


def summarize(
    spec: Mapping[str, Any],
    scores: Sequence[Record],
    measurements: Sequence[Record],
    audits: Sequence[Record],
    human: Record | None = None,
) -> pandas.DataFrame:
    """The summary, in the study's order of models, precisions and conditions.

    `spec` holds the study's `track`, `primary`, `models`, `precisions`, `conditions`, `baseline` and `machine`; what
    could not run comes last, with the reason in `notes`. `human` is the record of what people found who rated answers.
    Its columns are there where it is, or where the study has a `spot_check`. Raises `UserError` where a record is
    missing or comes twice, where quality and speed were measured on
    different checkpoints, or where scores are of different subsets.
    """
    import pandas

    track = registry.module_of("track", spec["track"])
    by_key = {
        "scores": _by_key("scores", scores, ("model", "precision", "condition")),
        "measurements": _by_key("measurements", measurements, ("model", "precision", "condition")),
        "audit": _by_key("audit", audits, ("model", "precision")),
    }
    _same_subset(scores)
    by_batch = dict(pair for start in BY_BATCH for pair in _by_batch(measurements, start))
    computed = [name for name in track.METRICS if any(name in score["metrics"] for score in scores)]
    phases = phases_of(track)
    rated = _by_key("human", human["cells"], ("model", "precision", "condition")) if human else {}
    with_human = human is not None or spec["spot_check"] > 0
    rows = []
    for model in spec["models"]:
        for condition in spec["conditions"]:
            for precision in spec["precisions"]:
                key = (model, precision, condition)
                score = _found("scores", by_key["scores"], key)
                measured = _found("measurements", by_key["measurements"], key)
                audit = _found("audit", by_key["audit"], key[:2])
                base = by_key["measurements"].get((model, spec["baseline"], condition), measured)
                _same_checkpoint(score, measured, audit)
                row = {"model": model, "precision": precision, "condition": condition}
                row["baseline"] = precision == spec["baseline"]
                row |= _quality(computed, spec["primary"], score)
                opinion = (rated[key]["metrics"] if key in rated else _unrated(score["study"])) if with_human else {}
                row |= _human(opinion) if with_human else {}
                row |= _costs(measured, by_batch) | circumstances(measured)
                row |= {"delegate": delegate(measured)} if "invoke" in phases else {}
                row |= _audited(audit)
                row |= {name: score[name] for name in ("checkpoint_hash", "subset_hash", "seed")}
                row |= disturbances.columns(measured)
                told = (
                    row["remarks"],
                    *score.get("remarks", ()),
                    _uncovered(audit),
                    *audit.get("ready", {}).get("remarks", ()),
                )
                row["remarks"] = " | ".join(filter(None, told)) or None
                reasons = (notes(score["metrics"] | opinion | measured["metrics"]), difference(measured, base))
                row["notes"] = " | ".join(reason for reason in reasons if reason)
                rows.append(row)
    table = pandas.DataFrame([*rows, *_left_out(spec)])
    others = [column for column, phase in OF_PHASE.items() if phase not in phases]
    others += [column for column, phase in NOT_OF_PHASE.items() if phase in phases]
    table = table.drop(columns=others)
    return table.astype({name: "Int64" for name in WHOLE if name in table})


def _left_out(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each cell of a precision that could not run: nothing but the reason."""
    reasons = spec["machine"]["left_out"] if "machine" in spec else {}
    return [
        {"model": model, "precision": precision, "condition": condition, "baseline": False, "notes": f"{LEFT_OUT}{why}"}
        for model in spec["models"]
        for condition in spec["conditions"]
        for precision, why in reasons.items()
    ]


def _by_key(kind: str, found: Sequence[Record], names: tuple[str, ...]) -> dict[tuple[str, ...], Record]:
    by_key: dict[tuple[str, ...], Record] = {}
    for record in found:
        key = tuple(record[name] for name in names)
        if key in by_key:
            raise UserError(f"two {kind} records are of {' / '.join(key)}; give each only once.")
        by_key[key] = record
    return by_key


def _found(kind: str, by_key: Mapping[tuple[str, ...], Record], key: tuple[str, ...]) -> Record:
    if key not in by_key:
        raise UserError(f"there is no {kind} record of {' / '.join(key)}; make it before the summary.")
    return by_key[key]


def _same_checkpoint(score: Record, *others: Record) -> None:
    for other in others:
        if other.get("checkpoint_hash", score["checkpoint_hash"]) != score["checkpoint_hash"]:
            raise UserError(
                f"the scores and the {other['record']} record of {score['model']} / {score['precision']} are of "
                "different checkpoints; make both again from the checkpoint that is there now."
            )


def _same_subset(scores: Sequence[Record]) -> None:
    hashes = {score["subset_hash"]: f"{score['model']} / {score['precision']}" for score in scores}
    if len(hashes) > 1:
        raise UserError(
            f"the scores of {' and of '.join(sorted(hashes.values())[:2])} are of different subsets, so they cannot be "
            "compared; predict and score again on the subset that is there now."
        )


def _quality(names: Sequence[str], primary: str, score: Record) -> dict[str, Any]:
    """Value and interval of each of these metrics, and the number of items that the primary one rests on."""
    row: dict[str, Any] = {"n_items": score["metrics"][primary].get("n")}
    for name in names:
        row |= _with_interval(name, score["metrics"].get(name, {}))
    return row


def _with_interval(name: str, metric: Mapping[str, Any]) -> dict[str, Any]:
    low, high = metric.get("ci", (None, None))
    return {name: metric.get("value"), f"{name}_ci_low": low, f"{name}_ci_high": high}


def _human(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What people found of a cell's answers, and how many of these were rated."""
    accuracy, agreement = (metrics.get(name, {}) for name in HUMAN)
    row = _with_interval("human_accuracy", accuracy)
    return row | {"human_agreement": agreement.get("value"), "human_n": accuracy.get("n")}


def _unrated(study: str) -> dict[str, dict[str, str]]:
    reason = f"nobody has rated these answers yet; results/{study}/spot_check.html asks for it"
    return {name: {"absent": reason} for name in HUMAN}


def _costs(measured: Record, by_batch: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    metrics = measured["metrics"]
    row: dict[str, Any] = {}
    for column, (name, key, factor) in COSTS.items():
        value = _part_of(metrics.get(name, {}), key)
        row[column] = None if value is None else value * factor
    for (name, key), column in by_batch.items():
        row[column] = _part_of(metrics.get(name, {}), key)
    for column, (name, key) in KINDS.items():
        row[column] = metrics.get(name, {}).get(key)
    return row


def _part_of(metric: Mapping[str, Any], part: str) -> float | None:
    """One number of a metric: its `value`, an end of an interval (`ci_low`: the first of `ci`), or another key."""
    if "value" not in metric:
        return None
    name, _, end = part.rpartition("_")
    if end in ("low", "high"):
        return metric[name][end == "high"] if metric.get(name) else None
    return metric.get(part)


def batch_sizes(measurements: Sequence[Record], start: str) -> list[int]:
    """The batch sizes N at which any of the measurements has a metric named `start` + N."""
    names = {name for record in measurements for name in record["metrics"] if name.startswith(start)}
    return sorted(int(name.removeprefix(start)) for name in names)


def _by_batch(measurements: Sequence[Record], start: str) -> list[tuple[tuple[str, str], str]]:
    """The metrics of which there is one for each batch size, their value and interval, and the columns of these."""
    parts = {"value": "", "ci_low": "_ci_low", "ci_high": "_ci_high"}
    return [
        ((f"{start}{size}", key), BY_BATCH[start].format(size, end))
        for size in batch_sizes(measurements, start)
        for key, end in parts.items()
    ]


def _audited(audit: Record) -> dict[str, Any]:
    """What the audit found: the bits that a weight really takes, unless the format is only simulated.

    These are bits in memory but for a detector: LiteRT does not tell how it unpacks weights, so they are those of the
    file. `kernels` are those of the quantized layers, to which a format promises an error.
    """
    groups = audit["groups"].values()
    parameters = sum(group["parameters"] for group in groups)
    stored = sum(group["bytes"] for group in groups)
    packed = parameters and not audit["simulated"]
    kernels = dict.fromkeys(layer["kernel"] for layer in audit["layers"] if layer["promised_error"] is not None)
    return {
        "bits_per_weight": 8 * stored / parameters if packed else None,
        "kernels": ", ".join(kernels) or None,
        "simulated": ", ".join(audit["simulated"]) or None,
        "audit_passed": audit["passed"],
        "coverage": audit.get("coverage"),
    }


def _uncovered(audit: Record) -> str | None:
    """What to know where a precision's formats do not reach all that it names."""
    share = audit.get("coverage")
    if share is None or share > NEARLY_ALL:
        return None
    return f"only {share:.0%} of the weights that it names are quantized, because no format reaches the others"


def notes(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Why values are absent: each reason once, after the names of the metrics that it holds for."""
    names: dict[str, list[str]] = {}
    for name, metric in metrics.items():
        if "absent" in metric:
            names.setdefault(metric["absent"], []).append(name)
    return " | ".join(f"{', '.join(absent)}: {reason}" for reason, absent in names.items())
