"""Verdicts for people: verdicts.txt, and the lines at the end of a run, which plain Python must be able to say."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

Record = Mapping[str, Any]

WIDTH = 120  # letters of a line


def in_full(record: Record) -> str:
    """The content of verdicts.txt, from the record of verdicts."""
    demo = "demo study" if record["demo"] else "study"
    better = "higher" if record["higher_is_better"] else "lower"
    head = f"{demo} {record['study']}: {record['label']} of every precision against {record['baseline']}"
    accept = record["accept"]
    rules = (
        f"Accepted: {100 * accept['quality']:g} % of the baseline's quality is left at the worst end of the 95 % "
        f"interval. Preferred: the least {accept['prefer']}.",
        "Brackets: 95 % intervals, each by itself; a loss or gain must also hold after Holm's correction for all "
        "comparisons. Each end counts one more than was seen, which at the worse end loses all it has to lose.",
        "Could have seen: a difference of this size would have been called a loss or gain with a probability of 80 %.",
        f"Better, worse: by {record['worth']}.",
    )
    lines = [
        line for text in (f"{head}, on the same items ({better} is better)", *rules) for line in _wrapped(text, "")
    ]
    for chosen in record["recommendations"]:
        lines += ["", f"{chosen['model']}, {chosen['condition']}"]
        lines += [line for note in _of(record["noise_floors"], chosen) for line in _wrapped(note["sentence"], "  ")]
        entries = _of(record["verdicts"], chosen)
        width = max((len(entry["precision"]) for entry in entries), default=0)
        for entry in entries:
            lines.append("")
            for i, text in enumerate(_said(entry)):
                lines += _wrapped(text, f"  {entry['precision'] if i == 0 else '':{width}}  ")
        for text in (chosen["pareto_sentence"], _recommended(chosen)):
            lines += ["", *_wrapped(text, "  ")]
    return "\n".join(lines) + "\n"


def in_short(record: Record) -> list[str]:
    """A line for each precision, and what is recommended without all the numbers, for the end of a run."""
    many = len(record["recommendations"]) > 1
    lines = []
    if record["verdicts"]:
        lines.append(f"  {record['label']} against {record['baseline']}, with 95 % intervals:")
    width = max((len(entry["precision"]) for entry in record["verdicts"]), default=0)
    for chosen in record["recommendations"]:
        lines += [f"  {chosen['model']}, {chosen['condition']}"] if many else []
        for entry in _of(record["verdicts"], chosen):
            lines += _wrapped(entry["sentence"], f"    {entry['precision']:{width}}  ")
        lines += _wrapped(_recommended(chosen).split("; ")[0], "    ")
    return lines


def _of(entries: list[Record], cell: Record) -> list[Record]:
    """Those of one model and condition."""
    return [one for one in entries if (one["model"], one["condition"]) == (cell["model"], cell["condition"])]


def _said(entry: Record) -> Iterator[str]:
    yield entry["sentence"]
    if "answers" in entry:
        yield entry["answers"]
    yield entry["accepted_why"]
    if entry["pareto"] is None:
        yield f"left out of the Pareto front: {entry['pareto_absent']}"
    elif entry["pareto"]:
        yield "on the Pareto front"
    else:
        yield "not on the Pareto front: another is as good in everything and better in one"


def _recommended(chosen: Record) -> str:
    # "nothing is recommended: …" says so itself
    return chosen["sentence"] if chosen["precision"] is None else f"recommended: {chosen['sentence']}"


def _wrapped(text: str, start: str) -> list[str]:
    """A text in lines that begin below its first letter; a name with a hyphen and a percentage stay whole."""
    whole = text.replace(" %", "\N{NO-BREAK SPACE}%")
    lines = textwrap.wrap(
        whole, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False
    )
    return [line.replace("\N{NO-BREAK SPACE}%", " %") for line in lines] or [start.rstrip()]
