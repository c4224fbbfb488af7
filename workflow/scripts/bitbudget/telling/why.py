"""Why costs and quality are what they are: where the time goes, how many bits a weight really takes, how boxes fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bitbudget import registry
from bitbudget.measuring.phase_names import PHASES, phases_of
from bitbudget.telling import wording
from bitbudget.telling.costs import TIMES
from bitbudget.telling.evidence import Evidence

Record = Mapping[str, Any]

CONTROL = "latency_preprocessing"  # reading and scaling the input is the same for every number format
APART = 1.5  # so many times the baseline's, a part that formats do not touch is disturbed
TIGHT = 1.5  # so many times the relative fall of AP50 has AP75 where boxes fit worse rather than are missed


def phases(evidence: Evidence, cell: Record) -> list[str]:
    """Which part of an answer takes most of the time, and what the formats do to it, in sentences.

    Nothing where the parts were not timed or timings cannot be compared.
    """
    times = _times(evidence, cell)
    own = times[evidence.baseline]
    whole = sum(own.values())
    if cell["disturbed"] or not whole:
        return []
    ordered = sorted(own, key=lambda name: -own[name])
    rest = [f"{PHASES[name]} {wording.percent(own[name] / whole)}" for name in ordered[1:]]
    beside = f" ({', '.join(rest)})" if rest else ""
    share = wording.percent(own[ordered[0]] / whole)
    said = [f"{wording.capital(PHASES[ordered[0]])} takes {share} of {evidence.baseline}'s latency{beside}."]
    touched = _touched(own)
    if factors := _factors(times, touched, evidence.baseline):
        told = [f"{factor:.2f}{TIMES} under {name}" for name, factor in sorted(factors.items(), key=lambda one: one[1])]
        longest = f"Of the parts that formats touch, {PHASES[touched]} is the longest. "
        start = "" if touched == ordered[0] else longest
        said.append(f"{start}Against {evidence.baseline}'s, its time is {wording.named(told)}.")
    moved = {
        name: factor
        for name, factor in _factors(times, CONTROL, evidence.baseline).items()
        if not 1 / APART < factor < APART
    }
    if moved:
        told = wording.named([f"{factor:.1f}{TIMES} under {name}" for name, factor in moved.items()])
        said.append(
            f"The time of preprocessing, which number formats do not touch, is {told}: so much of such differences is "
            "due to the machine."
        )
    return said


def _times(evidence: Evidence, cell: Record) -> dict[str, dict[str, float]]:
    """The parts' times of the baseline and of every precision whose latency can be held against its."""
    names = [f"latency_{name}" for name in phases_of(registry.module_of("track", evidence.track))]
    return {
        entry["precision"]: {
            name: found["value"]
            for name in names
            if "value" in (found := _measured(evidence, cell, entry["precision"]).get(name, {}))
        }
        for entry in cell["entries"]
        if entry["baseline"] or "incomparable" not in entry["costs"]["latency"]
    }


def _touched(own: Mapping[str, float]) -> str:
    """The longest part that a number format can change."""
    return max(own, key=lambda name: (name != CONTROL, own[name]))


def _measured(evidence: Evidence, cell: Record, precision: str) -> Record:
    return evidence.measurements[cell["model"], precision, cell["condition"]]["metrics"]


def _factors(times: Mapping[str, Mapping[str, float]], phase: str, baseline: str) -> dict[str, float]:
    """A phase's time under each other precision, as a multiple of the baseline's."""
    own = times[baseline].get(phase)
    if not own:
        return {}
    return {name: parts[phase] / own for name, parts in times.items() if name != baseline and phase in parts}


def bits(evidence: Evidence, cell: Record) -> str:
    """How many bits a weight takes over the whole model, scales included; empty where it is known of one precision."""
    rows = [evidence.row(cell["model"], name, cell["condition"]) for name in evidence.precisions]
    known = {row["precision"]: row["bits_per_weight"] for row in rows if row.get("bits_per_weight") is not None}
    if len(known) < 2:
        return ""
    ordered = sorted(known.items(), key=lambda one: -one[1])
    told = [f"{wording.number(value)}{' bits' * (i == 0)} under {name}" for i, (name, value) in enumerate(ordered)]
    return (
        f"Over the whole model, a weight takes {wording.named(told, 8)}: scales, and what stays in the baseline's "
        "format, count as well, so a format's name is not what is saved."
    )


def speeds(cell: Record, most: int = 4) -> list[str]:
    """Why precisions are faster or slower than the baseline, and what the baseline reaches of what the machine allows.

    Of many, what is recommended comes first, and then those whose latency differs most.
    """
    base = next(entry for entry in cell["entries"] if entry["baseline"])
    said = [f"Under {base['precision']}, {base['reaches']}."] if base["reaches"] else []
    told = [entry for entry in cell["entries"] if entry.get("why")]
    chosen = cell["recommendation"]["precision"]
    apart = {entry["precision"]: abs(math.log(entry["costs"]["latency"]["factor"])) for entry in told}
    first = sorted(told, key=lambda entry: (entry["precision"] != chosen, -apart[entry["precision"]]))[:most]
    return [*said, *(f"{entry['precision']} is {entry['why']}." for entry in told if entry in first)]


def contexts(evidence: Evidence, cell: Record) -> str:
    """How fast tokens follow prompts of the lengths that the study asks for; empty where it asks for none."""
    lengths = evidence.study["measure"].get("context", [])
    told = []
    for entry in cell["entries"]:
        metrics = _measured(evidence, cell, entry["precision"])
        rates = [metrics.get(f"decode_rate_at_{length}", {}).get("value") for length in lengths]
        if rates and None not in rates:
            told.append(f"{wording.listed([wording.number(one) for one in rates])} tokens/s under {entry['precision']}")
    if cell["disturbed"] or not told:
        return ""
    after = wording.listed([str(length) for length in lengths])
    return f"After prompts of {after} tokens of text, decode makes {wording.named(told)}."


def boxes(evidence: Evidence, cell: Record, precision: str) -> str:
    """Whether a detector's boxes fit worse or objects are missed, and objects of what size lose; empty for others."""
    entries = {entry["precision"]: entry["metrics"] for entry in cell["entries"]}
    base, own = entries[evidence.baseline], entries[precision]

    def both(name: str) -> tuple[Record, Record] | None:
        pair = base.get(name, {}), own.get(name, {})
        return pair if all("value" in one for one in pair) else None

    said = []
    loose, tight = both("AP50"), both("AP75")
    if loose and tight and loose[0]["value"] > 0 and tight[0]["value"] > 0:
        falls = [1 - after["value"] / before["value"] for before, after in (loose, tight)]
        told = f"AP50 goes {_from_to(loose)} and AP75 {_from_to(tight)}"
        if falls[1] > 0 and falls[1] >= TIGHT * max(falls[0], 0):
            told += ": objects are still found, but their boxes fit worse"
        elif falls[0] > 0 and falls[0] >= falls[1]:
            told += ": objects are missed or taken for others"
        said.append(f"Under {precision}, {told}.")
    sizes = {size: pair for size in ("small", "medium", "large") if (pair := both(f"AP_{size}"))}
    if len(sizes) > 1:
        told = [f"{_from_to(pair)} for {size} objects" for size, pair in sizes.items()]
        said.append(f"AP goes {wording.listed(told)}.")
    return " ".join(said)


def _from_to(pair: tuple[Record, Record]) -> str:
    return f"from {pair[0]['text']} to {pair[1]['text']}"
