"""What is made of the raw values of one process, and again of those of several: the metrics of a measurement."""

from __future__ import annotations

import statistics
from typing import Any

from bitbudget.measuring.spread import mean_interval, percentile
from bitbudget.records import absent, metric
from bitbudget.statistics import median_ci

Metric = dict[str, Any]


def seconds(raw: list[float], **more: Any) -> Metric:
    """The metric of repeated timings in seconds: their median, with its interval, and mean and 95th percentile."""
    return metric(
        statistics.median(raw), "s", higher_is_better=False, n=len(raw), raw=raw, ci=median_ci(raw),
        mean=statistics.fmean(raw), mean_ci=mean_interval(raw), p95=percentile(raw, 0.95), **more,
    )  # fmt: skip


def rate(raw: list[float], unit: str) -> Metric:
    """The metric of the rates of single answers: their median, with its interval."""
    return metric(statistics.median(raw), unit, higher_is_better=True, n=len(raw), raw=raw, ci=median_ci(raw))


def throughput(raw: list[float], unit: str) -> Metric:
    """The metric of the rates of some windows: their mean, with its interval."""
    return metric(statistics.fmean(raw), unit, higher_is_better=True, n=len(raw), raw=raw, ci=mean_interval(raw))


def once(raw: list[float], unit: str) -> Metric:
    """The metric of what a process can tell only once, as its cold call: the median of the processes."""
    return metric(statistics.median(raw), unit, higher_is_better=False, n=len(raw), raw=raw, ci=median_ci(raw))


def energy(raw: list[float], net_raw: list[float], window_seconds: list[float], about: Metric) -> Metric:
    """The metric of the joules an item took in some windows, gross (`raw`) and above the idle power (`net_raw`).

    `window_seconds` is how long the windows were; `about` holds batch size, source, how, scope and idle power.
    """
    return metric(
        statistics.fmean(raw), "J", higher_is_better=False, n=len(raw), raw=raw, ci=mean_interval(raw),
        net=statistics.fmean(net_raw), net_raw=net_raw, window_seconds=window_seconds, **about,
    )  # fmt: skip


def power(raw: list[float], about: Metric) -> Metric:
    """The metric of the watts drawn in some windows in which nothing was answered."""
    return metric(
        statistics.fmean(raw), "W", higher_is_better=False, n=len(raw), raw=raw, ci=mean_interval(raw), **about
    )


def difference(found: dict[str, Metric], names: list[str]) -> Metric:
    """The joules of a part of an answer that cannot be repeated alone: those of the first name less the others'.

    `how` says that it is a difference, and `difference` what of. Absent where one of them is, and where the difference
    is not above zero, which no part of an answer can be.
    """
    whole, *parts = (found[name] for name in names)
    mark = {"difference": names}
    for one in (whole, *parts):
        if "absent" in one:
            return absent(one["absent"], "J", higher_is_better=False) | mark
    value = whole["value"] - sum(part["value"] for part in parts)
    if value <= 0:
        reason = (
            f"{names[0]} less {' and '.join(names[1:])} is {value:.3g} J, and no part of an answer takes less than "
            "nothing: the difference is lost in the noise; raise measure.min_seconds or measure.repeats."
        )
        return absent(reason, "J", higher_is_better=False) | mark
    kept = {key: whole[key] for key in ("batch_size", "source", "scope", "idle_watts")}
    return metric(
        value, "J", higher_is_better=False, n=min(one["n"] for one in (whole, *parts)),
        net=whole["net"] - sum(part["net"] for part in parts), how=f"{whole['how']}, by difference", **kept, **mark,
    )  # fmt: skip
