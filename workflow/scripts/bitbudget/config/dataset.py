"""A study's data set, resolved: its reader, all of its options, its splits and its subset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import contracts
from bitbudget.config.validate import check, with_defaults
from bitbudget.errors import UserError, suggest
from bitbudget.items import shots
from bitbudget.registry import DATASETS, module_of

Resolved = dict[str, Any]


def resolve_dataset(study: Resolved, datasets: dict[str, Any], where: str) -> dict[str, Any]:
    """The study's data set with its reader, all options and the splits; `datasets` is config/datasets.yaml.

    Raises `UserError` that begins with `where`, the study's file, for an unknown name, option or split, a path that
    does not exist, and examples that could only be evaluated items.
    """
    wanted = study["dataset"]
    entry = datasets.get(wanted["name"])
    if entry is None and "kind" not in wanted:
        raise UserError(
            f"{where}: there is no data set {wanted['name']!r} (files of your own need `kind: {_own(study['track'])}` "
            f"and its `options`); {suggest(wanted['name'], list(datasets))}"
        )
    if entry is not None and wanted.get("kind", entry["kind"]) != entry["kind"]:
        raise UserError(
            f"{where}: data set {wanted['name']!r} is of kind {entry['kind']} in config/datasets.yaml; "
            "choose another name for your own."
        )
    kind = entry["kind"] if entry else wanted["kind"]
    if kind not in DATASETS:
        raise UserError(f"{where}: there is no kind of data set {kind!r}; {suggest(kind, list(DATASETS))}")
    reader = module_of("dataset", kind)
    if study["track"] not in reader.TRACKS:
        raise UserError(
            f"{where}: data set {wanted['name']!r} serves the tracks {', '.join(reader.TRACKS)}, "
            f"not {study['track']}; choose another data set or track."
        )
    rules = {"properties": reader.OPTIONS, "required": list(reader.REQUIRED), "additionalProperties": False}
    options = (entry or {}).get("options", {}) | wanted["options"]
    check(options, rules, f"{where}, options of data set {wanted['name']!r}")
    for option in reader.LOCAL_PATHS:
        if not Path(options[option]).exists():
            raise UserError(
                f"{where}: data set {wanted['name']!r} names {options[option]} as its {option}, which does not exist; "
                "correct the path."
            )
    if reader.SPLITS is None and "split" not in wanted:
        raise UserError(f"{where}: data set {wanted['name']!r} needs its split; add `split` to the study's dataset.")
    split = wanted.get("split") or reader.SPLITS[0]
    if reader.SPLITS and split not in reader.SPLITS:
        raise UserError(
            f"{where}: data set {wanted['name']!r} has no split {split!r}; choose one of {', '.join(reader.SPLITS)}."
        )
    shots_split = _shots_split(study, reader, split, where)
    if isinstance(wanted["subset"], dict):
        _ids_file(wanted["subset"]["ids"], where)
    return {
        "name": wanted["name"],
        "kind": kind,
        "options": with_defaults(options, rules),
        "licence": (entry or {}).get("licence", ""),
        "pictures": (entry or {}).get("pictures", ""),
        "split": split,
        "shots_split": shots_split,
        "subset": wanted["subset"],
    }


def refuse_two_readings(studies: dict[str, Resolved]) -> None:
    """Studies of one run share resources/datasets/{name}: under one name there must be one data set."""
    seen: dict[str, tuple[str, Any]] = {}
    for study in studies.values():
        data = study["dataset"]
        reading = {"kind": data["kind"], "options": data["options"]}
        first = seen.setdefault(data["name"], (study["study"], reading))
        if first[1] != reading:
            raise UserError(
                f"the studies {first[0]} and {study['study']} give data set {data['name']!r} different options; "
                "give one of the two another name (with its `kind`)."
            )


def _own(track: str) -> str:
    """The kind of data set that reads a user's own files for this track."""
    readers = {kind: module_of("dataset", kind) for kind in DATASETS}
    return next(kind for kind, reader in readers.items() if reader.LOCAL_PATHS and track in reader.TRACKS)


def _shots_split(study: Resolved, reader: Any, split: str, where: str) -> str | None:
    """Where the examples of few-shot conditions come from: None where the study has no such condition."""
    wanted = study["dataset"].get("shots_split")
    if not any(shots.number_of(condition) for condition in study["conditions"]):
        if wanted is not None:
            raise UserError(
                f"{where}: `shots_split` is for few-shot conditions, and the study has none; add one, or remove it."
            )
        return None
    if wanted and reader.SPLITS and wanted not in reader.SPLITS:
        raise UserError(
            f"{where}: data set {study['dataset']['name']!r} has no split {wanted!r} to take examples from; "
            f"choose one of {', '.join(reader.SPLITS)}."
        )
    found = wanted or contracts.of(reader, "SHOTS_SPLIT") or split
    if found == split and study["dataset"]["subset"] == "all":
        raise UserError(
            f"{where}: the study evaluates all of the split {split!r}, which its few-shot examples are to come from as "
            "well; set `subset` to a number."
        )
    return found


def _ids_file(name: str, where: str) -> None:
    if not Path(name).is_file():
        raise UserError(f"{where}: the ids file {name} does not exist; write one id a line, or give a number.")
