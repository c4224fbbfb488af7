"""The difference of every precision from the baseline, beside that of the baseline from itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from bitbudget.errors import UserError
from bitbudget.judging import verdicts
from bitbudget.judging.comparison_kinds import NOISE_FLOOR
from bitbudget.publishing.figures import forest, rows, style
from bitbudget.publishing.figures.study import Quantity, Row, Study
from bitbudget.telling import wording
from bitbudget.telling.wording import Words

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Differences:
    """What the figure shows: the rows, what stands on each, and from where a precision is accepted."""

    study: Study
    words: Words
    marks: forest.Marks
    limits: Mapping[tuple[str, str], float]  # by model and condition, in the written unit
    quality: float  # the share of the baseline's that is asked for
    family: int  # over so many comparisons the verdicts' p values are corrected
    undecided: bool  # whether there is a row whose interval and verdict do not agree


def load(spec: Record, comparison: Record, judged: Record) -> Differences:
    """The differences of the study's primary metric, from comparison.json and verdicts.json.

    Raises `UserError` where a comparison has no verdict.
    """
    words = wording.words_of(spec)
    found = {(one["model"], one["condition"], one["precision"]): one for one in judged["verdicts"]}
    marks, made, limits = {}, [], {}
    for one, name in _in_order(spec, comparison):
        cell = (one["model"], one["condition"])
        of_floor = one["kind"] == NOISE_FLOOR
        if not of_floor and (*cell, name) not in found:
            raise UserError(f"verdicts.json has nothing of {' / '.join((*cell, name))}; make the verdicts again.")
        verdict = {"kind": forest.FLOOR} if of_floor else found[*cell, name]
        mark = marks[*cell, name] = _mark(one, spec["primary"], words, verdict["kind"])
        made.append(_row(one, name, mark))
        baseline = one["metrics"].get(spec["primary"], {}).get("baseline")
        if baseline is not None and baseline > 0:
            share = spec["accept"]["quality"]
            limits[cell] = words.factor * baseline * (share - 1 if words.higher_is_better else 1 / share - 1)
    metrics = [metric for one in comparison["comparisons"] if (metric := _tested(one, spec["primary"]))]
    study = Study(
        made, spec["models"], spec["precisions"], spec["conditions"], spec["baseline"], spec["primary"], {},
        note=spec["note"], resampled=words.clusters, item=words.items.removesuffix("s"),
    )  # fmt: skip
    return Differences(
        study, words, marks, limits, spec["accept"]["quality"],
        family=max((metric["family"] for metric in metrics), default=0),
        undecided=any(verdicts.undecided(metric, words) for metric in metrics),
    )  # fmt: skip


def _tested(one: Record, primary: str) -> Record | None:
    """The metric that a precision's verdict is on; None of the noise floor and of what is not compared."""
    return None if one["kind"] == NOISE_FLOOR else verdicts.metric_of(one, primary)


def _in_order(spec: Record, comparison: Record) -> Iterator[tuple[Record, str]]:
    """The comparisons with the names of their rows: of each model and condition the noise floor, then precisions."""
    for model in spec["models"]:
        for condition in spec["conditions"]:
            floor = verdicts.floor_of(comparison, model, condition)
            if floor is not None:
                yield floor, f"{spec['baseline']} repeated"
            for one in verdicts.of_cell(comparison, model, condition):
                yield one, one["precision"]


def _mark(one: Record, primary: str, words: Words, kind: str) -> forest.Mark:
    metric = verdicts.metric_of(one, primary)
    if metric is None:
        found = one["metrics"].get(primary, {})
        reason = "there is no interval of its difference" if "value" in found else found.get("absent")
        return forest.Mark(kind, None, reason=reason)
    form, seen = wording.format_of(words, metric), metric.get("smallest_detectable")
    said = "" if kind == forest.FLOOR else f"   {forest.LOOKS[kind][0]}"
    if kind != forest.FLOOR and verdicts.undecided(metric, words):
        said += f" ({wording.p_value(metric['p_holm'])})"
    return forest.Mark(
        kind,
        *(words.factor * value for value in (metric["value"], *metric["ci"])),
        seen=None if seen is None else words.factor * seen,
        text=f"{form.signed(metric['value'])} {form.interval(metric['ci'])}{said}",
    )


def _row(one: Record, name: str, mark: forest.Mark) -> Row:
    quality = {"difference": Quantity(mark.value, mark.low, mark.high, mark.reason)}
    return Row(one["model"], name, one["condition"], baseline=False, n=one["n"], quality=quality, costs={})


def draw(shown: Differences) -> Figure:
    """The figure; one of a study with nothing to compare says so."""
    study, words = shown.study, shown.words
    made = [block for block in rows.blocks(study, study.models, study.conditions) if block.slots]
    asked = f"accepted at the 95 % bound: {100 * shown.quality:g} % of the quality" if shown.limits else ""
    figure, axes = forest.with_legend(made, shown.marks, asked)
    footnotes = style.Footnotes()
    style.title(figure, f"What each precision changes: {words.label}")
    if made:
        cells = [(block.slots[0].row.model, block.slots[0].row.condition) for block in made]
        forest.panel(axes, made, shown.marks, [shown.limits.get(cell) for cell in cells], footnotes)
        axes.set_xlabel(forest.axis_label(words, study.baseline))
    else:
        axes.set(xticks=[], yticks=[])
        axes.text(
            0.5, 0.5, "nothing to compare: the baseline is the only precision", transform=axes.transAxes, ha="center",
            style="italic", color=style.MUTED,
        )  # fmt: skip
    repeated = any(mark.kind == forest.FLOOR for mark in shown.marks.values())
    floor = f"Noise floor: {words.repeated}." if repeated else ""
    blank = any(mark.kind != forest.FLOOR and mark.value is not None and not mark.seen for mark in shown.marks.values())
    lines = [
        forest.notes(axes, shown.marks, study.resampled),
        "Rows without grey: it cannot be told what could have been seen." if blank else "",
        floor,
        *_disagreements(shown),
        *footnotes.lines(),
        study.provenance(),
        study.note,
    ]
    style.notes(figure, [line for line in lines if line])
    return figure


def _disagreements(shown: Differences) -> Iterator[str]:
    """Notes on rows whose interval says another thing than what was decided."""
    if shown.undecided:
        holm = f"are after Holm over {shown.family} comparisons, " if shown.family > 1 else "are by p values, "
        yield f"Verdicts {holm}intervals are not: where the two do not agree, p stands beside the verdict."
