"""What each module group loses when it alone is quantized: parts below the group that they lie in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bitbudget.models.groups import EVERY
from bitbudget.publishing.figures import forest, rows, style
from bitbudget.publishing.figures.study import Row, Study
from bitbudget.telling import wording

INDENT = "    "


def draw(spec: Mapping[str, Any], table: Sequence[Mapping[str, Any]]) -> Figure:
    """The figure, from the study's part and the rows of ablation.csv as `telling.ablation` has them."""
    words = wording.words_of(spec)
    ordered = [row for model in spec["models"] for row in _in_order([one for one in table if one["model"] == model])]
    marks = {(row["model"], row["condition"], _name(row)): _mark(row) for row in ordered}
    made = [Row(row["model"], _name(row), row["condition"], False, int(row["n_items"]), {}, {}) for row in ordered]
    study = Study(
        made, spec["models"], [], spec["conditions"], spec["baseline"], spec["primary"], {}, note=spec["note"],
        item=words.item,
    )  # fmt: skip
    shares = any(row["share_of_loss"] is not None and not row["whole"] for row in ordered)
    blocks = rows.blocks(study, study.models, study.conditions)
    figure, axes = forest.with_legend(blocks, marks)
    footnotes = style.Footnotes()
    forest.panel(axes, blocks, marks, [None] * len(blocks), footnotes, whole=True)
    axes.set_xlabel(
        forest.axis_label(words.label, study.baseline, share=words.share, higher_is_better=words.higher_is_better)
    )
    _align_names(figure, axes)
    style.title(figure, f"Which part loses quality in {_format(spec)}: {words.label}")
    lines = [
        forest.notes(axes, marks, words.clusters),
        "Interaction: the difference of a whole less the sum of those of its parts, each quantized alone; it has no "
        "interval. Weights: those that are quantized.",
        "Shares of the loss have no interval; they stand where a group's own loss is clear of noise." if shares else "",
        *_notes(table),
        *footnotes.lines(),
        study.provenance(),
        study.note,
    ]
    style.notes(figure, [line for line in lines if line])
    return figure


def _format(spec: Mapping[str, Any]) -> str:
    wanted = spec["ablation"]["format"]
    return wanted if isinstance(wanted, str) else wanted["format"]


def _in_order(table: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Every condition's rows from the whole to its parts; what parts lose together stands behind the last of them."""
    ordered: list[Mapping[str, Any]] = []
    for condition in dict.fromkeys(row["condition"] for row in table):
        mine = [row for row in table if row["condition"] == condition]
        alone = [row for row in mine if not row["together"]]
        together = {row["group"]: row for row in mine if row["together"]}
        for i, row in enumerate(alone):
            ordered.append(row)
            # Every whole that ends here, the innermost first.
            following = alone[i + 1]["group"] if i + 1 < len(alone) else ""
            ending = [whole for whole in together if _within(row["group"], whole) and not _within(following, whole)]
            ordered += [together[whole] for whole in sorted(ending, key=_depth, reverse=True)]
    return ordered


def _within(group: str, whole: str) -> bool:
    return group.startswith(f"{whole}.") or (whole == EVERY and group not in ("", EVERY))


def _depth(whole: str) -> int:
    return 0 if whole == EVERY else 1 + whole.count(".")


def _name(row: Mapping[str, Any]) -> str:
    """The name on the axis: parts are indented below their whole."""
    if row["whole"]:
        return "every group"
    indent = INDENT * (1 + int(row["depth"]))
    if row["together"]:
        return f"{indent}interaction" + ("" if row["group"] == EVERY else f" in {row['group']}")
    return f"{indent}{row['group']}"


def _mark(row: Mapping[str, Any]) -> forest.Mark:
    look = forest.INTERACTION if row["together"] else forest.look_of(row)
    if "absent" in row:
        return forest.Mark(look, None, reason=row["absent"])
    return forest.Mark(look, row["value"], *(row["ci"] or (None, None)), text=row["text"])


def _align_names(figure: Figure, axes: Axes) -> None:
    """Names begin at the same place, so that an indent is seen."""
    figure.draw_without_rendering()
    names = axes.get_yticklabels()
    width = max((name.get_window_extent().width for name in names), default=0.0)
    axes.tick_params(axis="y", pad=width * 72 / figure.dpi + 4)
    for name in names:
        name.set_horizontalalignment("left")


def _notes(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """Notes that hold for every group of a model, as that the loss cannot be divided; others stand in the table."""
    found: dict[str, list[str]] = {}
    for row in table:
        if row["whole"]:
            for note in filter(None, (row["notes"] or "").split(" | ")):
                if note.startswith("share_of_loss: "):
                    found.setdefault(note.partition(": ")[2], []).append(row["model"])
    return [f"{', '.join(dict.fromkeys(models))}: {note}." for note, models in found.items()]
