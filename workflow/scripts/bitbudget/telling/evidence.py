"""Everything that a finished study knows, read once: what the paper, the slides, the appendix and the page draw on."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bitbudget import files
from bitbudget.errors import UserError

Record = dict[str, Any]
Row = dict[str, Any]
Cell = tuple[str, str, str]  # model, precision, condition
FLOATS = ("F32", "F16", "BF16", "F64")  # types of a GGUF file that are not quantized


@dataclass(frozen=True)
class Evidence:
    """The records of one study."""

    folder: Path  # results/{study}
    study: Record  # with every default filled in
    subset: Record
    summary: Sequence[Row]  # numbers as int or float, None where a quantity is absent; `notes` says why
    comparison: Record
    verdicts: Record
    carbon: Sequence[Row]
    ablation: Sequence[Row]  # empty for a study without
    blind: Record
    human: Record | None  # None before anybody has rated
    models_fetched: Mapping[str, Record]  # where each model came from: source, revision, licence, files
    inspection: Record
    examples: Record
    audits: Mapping[tuple[str, str], Record]  # of (model, precision)
    checkpoints: Mapping[tuple[str, str], Record]  # likewise; without those that are not on this disk any more
    measurements: Mapping[Cell, Record]
    scores: Mapping[Cell, Record]
    predictions: Mapping[Cell, Record]  # how answers were made, not the answers
    images: Record | None  # how each was prepared, and which could not be read; None for a track without any

    @property
    def name(self) -> str:
        return self.study["study"]

    @property
    def chosen(self) -> int:
        """How many items were chosen."""
        return len(self.subset["ids"])

    @property
    def n(self) -> int:
        """How many of them were asked: all but those whose images could not be used."""
        return next(iter(self.predictions.values()), {}).get("n", self.chosen)

    @property
    def prepared(self) -> list[str]:
        """What is to be known of how the images were prepared, each a sentence; none where nothing is."""
        said, left_out = [], self.chosen - self.n
        if left_out > 0:
            items = "item is" if left_out == 1 else "items are"
            said.append(
                f"{left_out} of {self.chosen} {items} left out: images.json names the images that cannot be used."
            )
        scaled = sum("levels" in one for one in (self.images or {"images": {}})["images"].values())
        if scaled:
            images = "image" if scaled == 1 else "images"
            said.append(f"{scaled} {images} of more than 8 bits per channel: scaled as images.json says of each.")
        return said

    @property
    def quantized_before(self) -> list[str]:
        """Which models came from files of quantized weights, so that their baseline is no full-precision model."""
        said = []
        for model, fetched in self.models_fetched.items():
            made_from = fetched.get("made_from", {"types": {}})
            if types := [name for name in made_from["types"] if name not in FLOATS]:
                said.append(
                    f"{model} comes from a file of weights in {' and '.join(types)}, {made_from['bits']:.3g} bits per "
                    "weight: its baseline holds just these weights in floats, and what was lost before is not seen."
                )
        return said

    @property
    def decided(self) -> list[str]:
        """What the machine decided: why this is the baseline, what is slow, what is left out, each a sentence."""
        about = self.verdicts["machine"]
        return [*about["remarks"], *(one["sentence"] for one in about["left_out"])]

    @property
    def track(self) -> str:
        return self.study["track"]

    @property
    def models(self) -> list[str]:
        return list(self.study["models"])

    @property
    def precisions(self) -> list[str]:
        return list(self.study["precisions"])

    @property
    def conditions(self) -> list[str]:
        return list(self.study["conditions"])

    @property
    def baseline(self) -> str:
        return self.study["baseline"]

    @property
    def primary(self) -> str:
        return self.study["primary"]

    @property
    def demo(self) -> bool:
        return self.study["demo"]

    def row(self, model: str, precision: str, condition: str) -> Row:
        """The line of summary.csv of a cell. Raises `UserError` where it has none."""
        cell = {"model": model, "precision": precision, "condition": condition}
        found = _first(self.summary, cell)
        if found is None:
            path = self.folder / "summary.csv"
            raise UserError(f"{path} has no line of {model} / {precision} / {condition}; delete it and run again.")
        return found

    def cell(self, model: str, condition: str) -> Record:
        """What is said of a model under a condition. Raises `UserError` where verdicts.json lacks it."""
        found = _first(self.verdicts["cells"], {"model": model, "condition": condition})
        if found is None:
            path = self.folder / "verdicts.json"
            raise UserError(f"{path} has nothing of {model} / {condition}; delete it and run again.")
        return found

    def entry(self, model: str, precision: str, condition: str) -> Record:
        """What is said of a precision of a cell. Raises `UserError` where verdicts.json lacks it."""
        found = _first(self.cell(model, condition)["entries"], {"precision": precision})
        if found is None:
            path = self.folder / "verdicts.json"
            raise UserError(f"{path} has nothing of {model} / {precision} / {condition}; delete it and run again.")
        return found


def load(folder: Path) -> Evidence:
    """The records in `results/{study}`.

    Raises `UserError` for a file that is not there: it says which, and how it is made.
    """
    study = yaml.safe_load(_there(folder / "study.resolved.yaml").read_text(encoding="utf-8"))
    pairs = [(m, p) for m in study["models"] for p in study["precisions"]]
    cells = [(m, p, c) for m, p in pairs for c in study["conditions"]]

    def of_cells(tail: str) -> dict[Cell, Record]:
        return {cell: _record(folder.joinpath(*cell, tail)) for cell in cells}

    summary = _table(folder / "summary.csv")
    # a file of ratings that were taken away since may still lie there
    rated = any(row.get("human_n") for row in summary)
    checkpoints = {pair: folder.joinpath(*pair, "checkpoint", "checkpoint.json") for pair in pairs}
    return Evidence(
        folder=folder,
        study=study,
        subset=_record(folder / "subset.json"),
        summary=summary,
        comparison=_record(folder / "comparison.json"),
        verdicts=_record(folder / "verdicts.json"),
        carbon=_table(folder / "carbon.csv"),
        ablation=_table(folder / "ablation.csv") if "ablation" in study else [],
        blind=_record(folder / "blind.json"),
        human=_record(folder / "human.json") if rated else None,
        models_fetched=_record(folder / "models.json")["models"],
        inspection=_record(folder / "inspection.json"),
        examples=_record(folder / "examples.json"),
        audits={pair: _record(folder.joinpath(*pair, "audit.json")) for pair in pairs},
        checkpoints={pair: files.read_json(path) for pair, path in checkpoints.items() if path.exists()},
        measurements=of_cells("measurements.json"),
        scores=of_cells("scores.json"),
        predictions=of_cells("predictions.json"),
        images=_record(folder / "images.json") if (folder / "images.json").exists() else None,
    )


def _there(path: Path) -> Path:
    if not path.exists():
        study = next((parent.name for parent in path.parents if parent.parent.name == "results"), path.parent.name)
        raise UserError(f"{path} is not there: run the study first (make run STUDY={study}).")
    return path


def _record(path: Path) -> Record:
    return files.read_json(_there(path))


def _table(path: Path) -> list[Row]:
    with _there(path).open(encoding="utf-8", newline="") as file:
        return [{name: _typed(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


# A name that looks like a number stays a name.
_TEXT = {
    "study", "model", "precision", "condition", "group", "row", "metric", "unit", "note", "notes", "hardware",
    "checkpoint_hash", "subset_hash",
}  # fmt: skip


def _typed(column: str, text: str) -> Any:
    if column in _TEXT:
        return text
    if text in ("", "True", "False"):
        return {"": None, "True": True, "False": False}[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _first(rows: Sequence[Row], wanted: Mapping[str, str]) -> Any:
    return next((row for row in rows if all(row.get(key) == value for key, value in wanted.items())), None)
