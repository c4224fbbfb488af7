"""What is made of the raw values of one process, and again of those of several: the metrics of a measurement."""

from __future__ import annotations

import statistics
from typing import Any

from bitbudget.measuring.spread import mean_interval, percentile
from bitbudget.records import absent, metric
from bitbudget.stats.bootstrap import median_ci

Metric = dict[str, Any]

# What a metric of energy says of itself beside its values.
ORIGIN = ("batch_size", "source", "how", "scope", "idle_watts")


def seconds(raw: list[float], **more: Any) -> Metric:
    """The metric of repeated timings in seconds: their median, with its interval, and mean and 95th percentile."""
    return metric(
        statistics.median(raw), "s", higher_is_better=False, n=len(raw), raw=raw, ci=median_ci(raw),
        mean=statistics.fmean(raw), mean_ci=mean_interval(raw), p95=percentile(raw, 0.95), **more,
    )  # fmt: skip


def holding(found: Metric, values: list[float], key: str = "ci") -> Metric:
    """The metric with its interval widened to hold these values, which are what several processes found alone.

    The interval takes all calls for independent ones. Those of one process are not: it runs as a whole faster or slower
    than another, by where its memory lies and what the machine does meanwhile. A metric without an interval stays so.
    """
    if not found.get(key):
        return found
    low, high = found[key]
    return found | {key: [min(low, *values), max(high, *values)]}


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

    One value a round, each from that round's windows. Absent where one of the metrics is, else what `remainder` says.
    """
    whole, *parts = (found[name] for name in names)
    for one in (whole, *parts):
        if "absent" in one:
            return absent(one["absent"], "J", higher_is_better=False) | {"difference": names}

    def left(key: str) -> list[float]:
        return [first - sum(others) for first, *others in zip(whole[key], *(one[key] for one in parts), strict=True)]

    about = {key: whole[key] for key in ORIGIN} | {"how": f"{whole['how']}, by difference", "difference": names}
    return remainder(left("raw"), left("net_raw"), about)


def remainder(raw: list[float], net_raw: list[float], about: Metric) -> Metric:
    """The metric of differences of joules, one a round, negative ones included; `about` as that of `energy`.

    Absent where they are not clearly above zero, which any part of an answer is: the differences stay in the record as
    `raw`. `net` is given where that holds of `net_raw` too, and `net_absent` says why else.
    """
    lost = _not_clear(raw, about["difference"], "")
    kept = about | {"net_raw": net_raw}
    if lost:
        return absent(lost, "J", higher_is_better=False) | {"raw": raw} | kept
    no_net = _not_clear(net_raw, about["difference"], "above the idle machine, ")
    net = {"net_absent": no_net} if no_net else {"net": statistics.fmean(net_raw)}
    return metric(
        statistics.fmean(raw), "J", higher_is_better=False, n=len(raw), raw=raw, ci=mean_interval(raw), **net, **kept
    )


def _not_clear(raw: list[float], names: list[str], where: str) -> str:
    """Why these differences are not clearly above zero, in a sentence; empty where they are.

    They are where their interval is, or, being too few to have one, where all of them are.
    """
    ends = mean_interval(raw)
    if min(ends or raw) > 0:
        return ""
    if ends:
        found = f"{statistics.fmean(raw):.3g} J with a 95 % interval of {ends[0]:.3g} to {ends[1]:.3g} J"
    else:
        found = " and ".join(f"{one:.3g} J" for one in raw)
    return (
        f"{where}{names[0]} less {' and '.join(names[1:])} is {found}, and no part of an answer takes less than "
        "nothing: the difference is lost in the noise; raise measure.min_seconds or measure.repeats."
    )
