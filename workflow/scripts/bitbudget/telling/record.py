"""The record of verdicts: of every model and condition what the records say, judged and worded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.judging import costs, kinds, recommendation, summary, verdicts
from bitbudget.telling import cell, wording

Record = Mapping[str, Any]


def read_summary(path: Path) -> list[dict[str, Any]]:
    """The rows of summary.csv; an empty cell is None. Raises `UserError` where the file is not there or is no table."""
    import pandas

    types = dict.fromkeys(("model", "precision", "condition"), "str")  # 4.10 is a name, and no number
    types |= dict.fromkeys(summary.WHOLE, "Int64")  # also where a cell is empty
    try:
        table = pandas.read_csv(path, keep_default_na=False, na_values=[""], dtype=types)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; make the study's summary first.") from None
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError) as fault:
        raise UserError(f"{path} is not a table ({fault}); make the study's summary again.") from None
    return table.astype(object).where(table.notna(), None).to_dict("records")


def body(
    spec: Record,
    comparison: Record,
    rows: Sequence[Record],
    measurements: Sequence[Record],
    scores: Sequence[Record],
    blind: Record,
) -> dict[str, Any]:
    """The content of verdicts.json, without its identity.

    `spec` holds the study's `track`, `primary`, `models`, `precisions`, `conditions`, `baseline`, `accept`, `demo` and
    `machine`;
    `rows` are those of summary.csv, `measurements` and `scores` the records of every cell. Raises `UserError` where the
    comparison is of another primary metric or baseline, or a file lacks a precision.
    """
    _same_study(spec, comparison)
    track = registry.module_of("track", spec["track"])
    words = wording.words_of(spec)
    rows = [row for row in rows if row["precision"] in spec["precisions"]]  # without what was left out
    found = []
    for model in spec["models"]:
        for condition in spec["conditions"]:
            compared = {one["precision"]: one for one in verdicts.of_cell(comparison, model, condition)}
            where = (model, condition)
            others = [name for name in spec["precisions"] if name != spec["baseline"]]
            scored = _by_name("the scores", scores, where, spec["precisions"])
            known = cell.Known(
                spec, track, words, model, condition,
                rows=_each("summary.csv", rows, where, spec["precisions"]),
                compared={name: _found("comparison.json", compared, name, where) for name in others},
                floor=verdicts.floor_of(comparison, model, condition),
                measured=_by_name("the measurements", measurements, where, spec["precisions"]),
                scores={
                    name: one["metrics"] for name, one in scored.items()
                },
                blind=blind["metrics"],
                power=comparison["power"],
                study=rows,
            )  # fmt: skip
            found.append(cell.of(known))
    return {
        **{key: spec[key] for key in ("primary", "baseline", "accept", "demo")},
        "label": words.label,
        "higher_is_better": words.higher_is_better,
        "worth": comparison["worth"],
        "item": track.ITEM,
        "clusters": words.clusters,
        "repeated": words.repeated,
        "rule": wording.rule(spec["accept"], words),
        "metrics": [_about(track, name) for name in _in_order(track, spec["primary"]) if _known(found, name)],
        "kinds": [_kind(name) for name in kinds.KINDS if name in _kinds(found)],
        "cells": found,
        "machine": setting(spec.get("machine")),
        "across": _across(spec, rows, words) if len(spec["models"]) > 1 else [],
    }


def setting(machine: Record | None) -> dict[str, Any]:
    """What the machine decided: its `title`, `remarks` in sentences, and what was `left_out`, each with its reason."""
    if machine is None:
        return {"title": None, "remarks": [], "left_out": []}
    return {
        "title": machine["title"],
        "remarks": machine["remarks"],
        "left_out": [
            {"precision": name, "reason": reason, "sentence": f"{name} is left out: {reason}."}
            for name, reason in machine["left_out"].items()
        ],
    }


def _across(spec: Record, rows: Sequence[Record], words: wording.Words) -> list[dict[str, Any]]:
    """The fronts of all models' precisions together, under each condition: 2B in 16 bits beside 7B in 4."""
    every = {c: [row for row in rows if row["condition"] == c] for c in spec["conditions"]}
    fronts = {c: recommendation.on_fronts(mine, spec["primary"], words.sign, costs.COSTS) for c, mine in every.items()}
    return [
        {
            "condition": condition,
            "fronts": {
                name: [{key: row[key] for key in ("model", "precision")} for row in on] for name, on in found.items()
            },
        }
        for condition, found in fronts.items()
    ]


def _in_order(track: Any, primary: str) -> list[str]:
    return sorted(track.METRICS, key=lambda name: name != primary)


def _known(cells: Sequence[Record], name: str) -> bool:
    return any(name in entry["metrics"] for one in cells for entry in one["entries"])


def _kinds(cells: Sequence[Record]) -> set[str]:
    return {entry["kind"] for one in cells for entry in one["entries"] if "kind" in entry}


def _kind(name: str) -> dict[str, str]:
    """What a kind of verdict means, for who meets its word and mark."""
    kind = kinds.KINDS[name]
    return {"kind": name} | {key: getattr(kind, key) for key in ("word", "mark", "tone", "colour", "meaning")}


def _about(track: Any, name: str) -> dict[str, Any]:
    """How a metric is named and scaled on axes and in headings."""
    words = wording.words_of_metric(track, name)
    return {
        "name": name,
        "label": track.METRICS[name]["label"],
        "unit": "%" if words.share else "",
        "difference_unit": "points" if words.share else "",
        "factor": words.factor,
        "higher_is_better": words.higher_is_better,
    }


def _same_study(spec: Record, comparison: Record) -> None:
    for name in ("primary", "baseline"):
        if comparison[name] != spec[name]:
            raise UserError(
                f"the comparison's {name} is {comparison[name]} where the study's is {spec[name]}; "
                "compare the precisions again."
            )


def _by_name(what: str, found: Sequence[Record], where: tuple[str, str], names: Sequence[str]) -> dict[str, Record]:
    return dict(zip(names, _each(what, found, where, names), strict=True))


def _each(what: str, found: Sequence[Record], where: tuple[str, str], names: Sequence[str]) -> list[Record]:
    """Those of one model and condition, in the order of these precisions."""
    by_name = {one["precision"]: one for one in found if (one["model"], one["condition"]) == where}
    return [_found(what, by_name, name, where) for name in names]


def _found(what: str, by_name: Mapping[str, Any], name: str, where: tuple[str, str]) -> Any:
    if name not in by_name:
        raise UserError(f"{what} has nothing of {where[0]} / {name} / {where[1]}; make it again from the whole study.")
    return by_name[name]
