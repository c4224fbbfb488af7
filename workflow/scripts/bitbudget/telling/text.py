"""Verdicts to read: verdicts.txt, and the lines at the end of a run, which plain Python must be able to say."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

Record = Mapping[str, Any]

WIDTH = 120  # letters of a line
NO_BREAK = "\N{NO-BREAK SPACE}"


def in_full(record: Record) -> str:
    """The content of verdicts.txt, from the record of verdicts."""
    demo = "demo study" if record["demo"] else "study"
    better = "higher" if record["higher_is_better"] else "lower"
    head = f"{demo} {record['study']}: {record['label']} of every precision against {record['baseline']}"
    rules = (
        record["rule"],
        "Brackets: 95 % intervals, each by itself; a clear loss or gain must also hold after Holm's correction for all "
        "comparisons. Each end counts one more than was seen, which at the worse end loses all it has to lose.",
        "Smallest detectable loss: one of this size would have been called clear with a probability of 80 %.",
        f"Score higher, lower: by {record['worth']}.",
    )
    decided = [*record["machine"]["remarks"], *(one["sentence"] for one in record["machine"]["left_out"])]
    lines = [
        line
        for text in (f"{head}, on the same items ({better} is better)", *rules, *decided)
        for line in _wrapped(text, "")
    ]
    for cell in record["cells"]:
        lines += ["", f"{cell['model']}, {cell['condition']}"]
        base = next(one for one in cell["entries"] if one["baseline"])
        reaches = f"{base['precision']}: {base['reaches']}" if base.get("reaches") else ""
        standing = (cell["floor"], cell["noise_floor"], *cell["remarks"], cell["disturbed"])
        for text in (cell["baseline_reaches"], reaches, *standing):
            lines += _wrapped(text, "  ") if text else []
        entries = _judged(cell)
        width = max((len(entry["precision"]) for entry in entries), default=0)
        for entry in entries:
            lines.append("")
            for i, text in enumerate(_said(entry, cell["main_costs"])):
                lines += _wrapped(text, f"  {entry['precision'] if i == 0 else '':{width}}  ")
        lines += ["", *_wrapped(cell["pareto"]["sentence"], "  ")]
        for profile in cell["profiles"]:
            lines += ["", *_wrapped(_recommended(profile, profile["sentence"], len(cell["profiles"]) > 1), "  ")]
    return "\n".join(lines) + "\n"


def in_short(record: Record) -> list[str]:
    """A line for each precision, and what is recommended without all the numbers, for the end of a run."""
    many = len(record["cells"]) > 1
    lines = []
    if any(_judged(cell) for cell in record["cells"]):
        lines.append(f"  {record['label']} against {record['baseline']}, with 95 % intervals:")
    for cell in record["cells"]:
        entries = _judged(cell)
        width = max((len(entry["precision"]) for entry in entries), default=0)
        lines += [f"  {cell['model']}, {cell['condition']}"] if many else []
        for entry in entries:
            lines += _wrapped(entry["short"], f"    {entry['precision']:{width}}  ")
        for one in record["machine"]["left_out"]:
            lines += _wrapped(one["sentence"], "    ")
        for profile in cell["profiles"]:
            lines += _wrapped(_recommended(profile, profile["short"], len(cell["profiles"]) > 1), "    ")
    return lines


def advice(record: Record) -> list[str]:
    """What to do about timings that cannot be compared, for the end of a run; nothing where all can be."""
    said = dict.fromkeys(cell["disturbed"] for cell in record["cells"] if cell["disturbed"])
    return [line for text in said for line in _wrapped(text, "  warning: ")]


def _judged(cell: Record) -> list[Record]:
    """What is said of every precision but the baseline."""
    return [entry for entry in cell["entries"] if not entry["baseline"]]


def _said(entry: Record, main: list[str]) -> Iterator[str]:
    yield entry["sentence"]
    yield entry["answers"]
    yield entry["accepted_why"]
    told = [entry["costs"][name] for name in main]
    compared = [one["sentence"] for one in told if "sentence" in one and "incomparable" not in one]
    if compared:
        yield ", ".join(compared)
    yield from filter(None, (entry.get("why"), entry.get("reaches")))
    yield entry["pareto_sentence"]


def _recommended(profile: Record, said: str, several: bool) -> str:
    start = f"least {profile['prefer']}: " if several else ""
    # "nothing is recommended: …" says so itself
    return f"{start}{said}" if profile["precision"] is None else f"{start}recommended: {said}"


def _wrapped(text: str, start: str) -> list[str]:
    """A text in lines that begin below its first letter; names with a hyphen, percentages and commands stay whole."""
    whole = re.sub(r"make run .*| %", lambda found: found[0].replace(" ", NO_BREAK), text)
    lines = textwrap.wrap(
        whole, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False
    )
    return [line.replace(NO_BREAK, " ") for line in lines] or [start.rstrip()]
