"""What the page says of one model under one condition: what is recommended, what it trades, and every verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.judging import verdicts
from bitbudget.telling.evidence import Evidence

Record = Mapping[str, Any]

UP, DOWN = "\N{BLACK UP-POINTING TRIANGLE}", "\N{BLACK DOWN-POINTING TRIANGLE}"
# Of kinds of verdict: a mark that needs no colour, the tone, and what the kind means.
KINDS = {
    verdicts.LOSS: (
        DOWN,
        "bad",
        "The 95 % interval of the difference lies on the worse side of 0, and p is below .05 after Holm's correction.",
    ),
    verdicts.GAIN: (
        UP,
        "good",
        "The 95 % interval of the difference lies on the better side of 0, and p is below .05 after Holm's correction.",
    ),
    verdicts.IDENTICAL: ("=", "good", "No item's answer or value differs from the baseline's."),
    verdicts.NO_LOSS: (
        "\N{WHITE CIRCLE}",
        "good",
        "The difference is 0, or for the worse but not clear. A loss may be there and too small to be seen: "
        "\N{LEFT DOUBLE QUOTATION MARK}could have seen\N{RIGHT DOUBLE QUOTATION MARK} is the size that would have been "
        "found with a probability of 80 %.",
    ),
    verdicts.LOSS_WITHIN_NOISE: (
        "\N{ALMOST EQUAL TO}",
        "unsure",
        "A clear difference for the worse, but the baseline repeated differs from itself as clearly and as much.",
    ),
    verdicts.GAIN_WITHIN_NOISE: (
        "\N{ALMOST EQUAL TO}",
        "unsure",
        "Better than the baseline on these items, but not clearly: other items could as well show no gain, or a small "
        "loss. Or clearly, but the baseline repeated differs from itself as much. It is no evidence of a gain.",
    ),
    verdicts.NOT_COMPARED: ("?", "unsure", "There is no difference, or no interval of it."),
}
# Costs in the order in which the headline names them: what is said where they fell, and where they rose.
LEAST = 0.05  # a change of a cost that is worth a headline
TRADES = {
    "size_on_disk": ("smaller", "the size"),
    "peak_memory": ("less memory at the peak", "the memory at the peak"),
    "latency": ("faster", "slower"),
    "energy_per_item": ("less energy", "the energy"),
}


def of(evidence: Evidence, model: str, condition: str, rows: Sequence[Record]) -> dict[str, Any]:
    """What is recommended, and what is said of every precision; `rows` are those of the page's table."""
    chosen = evidence.recommendation_of(model, condition)
    floor = next(
        (
            one["sentence"]
            for one in evidence.verdicts["noise_floors"]
            if (one["model"], one["condition"]) == (model, condition)
        ),
        None,
    )
    judged = []
    for precision in evidence.precisions:
        entry = evidence.verdict_of(model, precision, condition)
        if entry is None:
            continue
        mark, tone, meaning = KINDS[entry["kind"]]
        said = {key: entry.get(key) for key in ("precision", "sentence", "accepted", "accepted_why", "answers")}
        said |= {"mark": mark, "word": word(entry["kind"]), "tone": tone, "meaning": meaning}
        judged.append(said | {"front": _on_front(entry)})
    recommended = chosen and next((row for row in rows if row["precision"] == chosen["precision"]), None)
    return {
        "precision": chosen and chosen["precision"],
        "sentence": chosen["sentence"] if chosen else "there is no recommendation for this model and condition",
        "trade": trade(recommended) if recommended else None,
        "front": chosen and chosen["pareto_sentence"],
        "noise": floor,
        "judged": judged,
    }


def word(kind: str) -> str:
    """A kind of verdict as it is written: "loss within noise"."""
    return kind.replace("-", " ")


def trade(row: Record) -> str | None:
    """What a precision costs less and more than the baseline, as a headline: "smaller, but 1.6\N{MULTIPLICATION SIGN}
    slower".

    Only what rose or fell clearly and by at least `LEAST` is said; None where nothing did.
    """
    found: dict[str, list[str]] = {"fell": [], "rose": []}
    for name, (less, more) in TRADES.items():
        value = row["cells"][name]
        if "ratio" not in value or abs(float(value["ratio"][:-1]) - 1) < LEAST:
            continue
        if value["trend"] == "fell":
            found["fell"].append(less)
        elif value["trend"] == "rose":
            found["rose"].append(f"{_short(value['ratio'])} {more}")
    joined = [", ".join(found["fell"]), ", ".join(found["rose"])]
    return ", but ".join(part for part in joined if part) or None


def _short(ratio: str) -> str:
    """ "1.60\N{MULTIPLICATION SIGN}" as "1.6\N{MULTIPLICATION SIGN}"."""
    number, times = ratio[:-1], ratio[-1]
    return (number.rstrip("0").rstrip(".") if "." in number else number) + times


def _on_front(entry: Record) -> str:
    if entry["pareto"] is None:
        return f"left out of the Pareto front: {entry.get('pareto_absent', 'its costs cannot be compared')}"
    if entry["pareto"]:
        return "on the Pareto front"
    return "not on the Pareto front: another is as good in everything and better in one"
