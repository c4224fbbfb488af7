"""The difference of every precision from the baseline, beside that of the baseline from itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from bitbudget.publishing.figures import forest, rows, style
from bitbudget.publishing.figures.study import Row, Study

Record = Mapping[str, Any]

UNDECIDED = (
    "Verdicts are after Holm's correction, intervals are not: where the two do not agree, p stands beside the verdict."
)


@dataclass(frozen=True)
class Differences:
    """What the figure shows: the rows, what stands on each, and from where a precision is accepted."""

    study: Study
    told: Record  # verdicts.json
    marks: forest.Marks
    limits: Mapping[tuple[str, str], float]  # by model and condition, in the written unit


def load(spec: Record, told: Record) -> Differences:
    """The differences of the study's primary metric, from verdicts.json.

    `spec` holds the study's `models`, `precisions`, `conditions` and `note`.
    """
    marks: dict[forest.Key, forest.Mark] = {}
    for cell in told["cells"]:
        where = cell["model"], cell["condition"]
        if cell["repeated"]:
            marks[*where, f"{told['baseline']} repeated"] = _mark(forest.FLOOR, cell["repeated"])
        for entry in cell["entries"]:
            if not entry["baseline"]:
                found = entry["metrics"].get(told["primary"], {}).get("difference", {})
                said = f"{entry['word']} ({found['p']})" if entry["undecided"] else entry["word"]
                marks[*where, entry["precision"]] = _mark(forest.look_of(entry), found, said)
    counts = {(cell["model"], cell["condition"]): cell["n"] for cell in told["cells"]}
    made = [
        Row(model, name, condition, baseline=False, n=counts[model, condition], quality={}, costs={})
        for model, condition, name in marks
    ]
    study = Study(
        made, spec["models"], spec["precisions"], spec["conditions"], told["baseline"], told["primary"], {},
        note=spec["note"], resampled=told["clusters"], item=told["item"],
    )  # fmt: skip
    limits = {
        (cell["model"], cell["condition"]): limit for cell in told["cells"] if (limit := cell["limit"]) is not None
    }
    return Differences(study, told, marks, limits)


def _mark(look: forest.Look, found: Record, said: str = "") -> forest.Mark:
    if not found.get("ci"):
        reason = "there is no interval of its difference" if "value" in found else found.get("absent")
        return forest.Mark(look, None, reason=reason)
    text = f"{found['text']} {found['interval']}" + (f"   {said}" if said else "")
    return forest.Mark(look, found["value"], *found["ci"], seen=found["smallest_detectable"], text=text)


def draw(shown: Differences) -> Figure:
    """The figure; one of a study with nothing to compare says so."""
    study, told = shown.study, shown.told
    about = told["metrics"][0]
    made = [block for block in rows.blocks(study, study.models, study.conditions) if block.slots]
    asked = f"accepted at the 95 % bound: {100 * told['accept']['quality']:g} % of the quality" if shown.limits else ""
    figure, axes = forest.with_legend(made, shown.marks, asked)
    footnotes = style.Footnotes()
    style.title(figure, f"What each precision changes: {told['label']}")
    if made:
        cells = [(block.slots[0].row.model, block.slots[0].row.condition) for block in made]
        forest.panel(axes, made, shown.marks, [shown.limits.get(cell) for cell in cells], footnotes)
        share = bool(about["difference_unit"])
        axes.set_xlabel(
            forest.axis_label(
                told["label"], study.baseline, share=share, higher_is_better=told["higher_is_better"]
            )
        )  # fmt: skip
    else:
        axes.set(xticks=[], yticks=[])
        axes.text(
            0.5, 0.5, "nothing to compare: the baseline is the only precision", transform=axes.transAxes, ha="center",
            style="italic", color=style.MUTED,
        )  # fmt: skip
    compared = [mark for mark in shown.marks.values() if mark.look != forest.FLOOR and mark.value is not None]
    unknown = any(not mark.seen for mark in compared)
    repeated = any(mark.look == forest.FLOOR for mark in shown.marks.values())
    undecided = any(entry.get("undecided") for cell in told["cells"] for entry in cell["entries"])
    lines = [
        forest.notes(axes, shown.marks, study.resampled),
        "Rows without grey: their smallest detectable loss is unknown." if unknown else "",
        f"Noise floor: {told['repeated']}." if repeated else "",
        UNDECIDED if undecided else "",
        *footnotes.lines(),
        study.provenance(),
        study.note,
    ]  # fmt: skip
    style.notes(figure, [line for line in lines if line])
    return figure
