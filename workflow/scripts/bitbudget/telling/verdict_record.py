"""The record of verdicts: what comparison.json and summary.csv say of every precision, and which one to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbudget.errors import UserError
from bitbudget.judging import recommendation, verdicts
from bitbudget.telling import wording
from bitbudget.telling.wording import Words

Record = Mapping[str, Any]


def read_summary(path: Path) -> list[dict[str, Any]]:
    """The rows of summary.csv; an empty cell is None. Raises `UserError` where the file is not there or is no table."""
    import pandas

    names = dict.fromkeys(("model", "precision", "condition"), str)  # 4.10 is a name, and no number
    try:
        table = pandas.read_csv(path, keep_default_na=False, na_values=[""], dtype=names)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; make the study's summary first.") from None
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError) as fault:
        raise UserError(f"{path} is not a table ({fault}); make the study's summary again.") from None
    return table.astype(object).where(table.notna(), None).to_dict("records")


def body(spec: Record, comparison: Record, rows: Sequence[Record]) -> dict[str, Any]:
    """The content of verdicts.json, without its identity.

    `spec` holds the study's `track`, `primary`, `models`, `precisions`, `conditions`, `baseline`, `accept` and `demo`;
    `rows` are those of summary.csv. Raises `UserError` where the comparison is of another primary metric or baseline,
    or either file lacks a precision.
    """
    _same_study(spec, comparison)
    words = wording.words_of(spec)
    found: dict[str, Any] = {"verdicts": [], "noise_floors": [], "recommendations": []}
    for model in spec["models"]:
        for condition in spec["conditions"]:
            cell = {"model": model, "condition": condition}
            compared = _compared(spec, comparison, model, condition)
            measured = _measured(spec, rows, model, condition)
            floor = verdicts.floor_of(comparison, model, condition)
            judged, chosen = _cell(spec, words, compared, floor, measured)
            found["verdicts"] += [cell | one for one in judged]
            found["noise_floors"].append(cell | {"sentence": verdicts.noise_floor(spec["primary"], words, floor)})
            found["recommendations"].append(cell | chosen)
    about = {"label": words.label, "higher_is_better": words.higher_is_better, "worth": comparison["worth"]}
    about["demo"] = spec["demo"]
    return {key: spec[key] for key in ("primary", "baseline", "accept")} | about | found


def _cell(
    spec: Record, words: Words, compared: Sequence[Record], floor: Record | None, rows: Sequence[Record]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The verdicts of one model and condition, and the recommendation."""
    primary, accept = spec["primary"], spec["accept"]
    front = recommendation.front(rows, primary, words)
    judged, worst = [], {}
    for one in compared:
        precision = one["precision"]
        good = verdicts.acceptance(one, primary, words, accept["quality"])
        entry = {
            "precision": precision,
            "kind": verdicts.kind_of(one, primary, words, floor),
            "sentence": verdicts.sentence(one, primary, words, floor),
            "accepted": good.accepted,
            "accepted_why": good.why,
            "pareto": front.on.get(precision),
        }
        if verdicts.metric_of(one, primary):
            entry["answers"] = verdicts.answers(one, words)
        if precision in front.absent:
            entry["pareto_absent"] = front.absent[precision]
        judged.append(entry)
        worst[precision] = verdicts.at_worst(one, primary, words)
    accepted = [entry["precision"] for entry in judged if entry["accepted"]]
    choice = recommendation.recommend(rows, accepted, accept["prefer"], primary, words, worst)
    return judged, {
        "precision": choice.precision,
        "sentence": choice.sentence,
        "pareto_front": [name for name, on in front.on.items() if on],
        "pareto_sentence": front.sentence(),
    }


def _same_study(spec: Record, comparison: Record) -> None:
    for name in ("primary", "baseline"):
        if comparison[name] != spec[name]:
            raise UserError(
                f"the comparison's {name} is {comparison[name]} where the study's is {spec[name]}; "
                "compare the precisions again."
            )


def _compared(spec: Record, comparison: Record, model: str, condition: str) -> list[Record]:
    """The comparisons of one model and condition, in the study's order of precisions."""
    by_name = {one["precision"]: one for one in verdicts.of_cell(comparison, model, condition)}
    wanted = [name for name in spec["precisions"] if name != spec["baseline"]]
    return [_found("comparison.json", by_name, name, model, condition) for name in wanted]


def _measured(spec: Record, rows: Sequence[Record], model: str, condition: str) -> list[Record]:
    by_name = {row["precision"]: row for row in rows if (row["model"], row["condition"]) == (model, condition)}
    return [_found("summary.csv", by_name, name, model, condition) for name in spec["precisions"]]


def _found(where: str, by_name: Mapping[str, Any], name: str, model: str, condition: str) -> Any:
    if name not in by_name:
        raise UserError(f"{where} has nothing of {model} / {name} / {condition}; make it again from the whole study.")
    return by_name[name]
