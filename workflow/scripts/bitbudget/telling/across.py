"""What is said of several models and conditions together: what they share is said once, and none is left out.

`cells` are those of verdicts.json; sentences end in a full stop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.telling import wording

Record = Mapping[str, Any]


def ended(said: str) -> str:
    """A sentence of the record by itself: with a full stop, and a capital unless it begins with a name."""
    return f"{wording.capital(said.rstrip('.'))}." if said else ""


def place(cell: Record) -> str:
    """Which cell it is, within a sentence: "for m under 4-shot"; empty where there is only one."""
    where = cell["where"].removesuffix(", ")
    return where[:1].lower() + where[1:]


def baselines(cells: Sequence[Record]) -> str:
    """What the baseline reaches in each cell."""
    if len(cells) == 1:
        return ended(cells[0]["baseline_reaches"])
    return ended("; ".join(f"{place(cell)}, {cell['baseline_reaches']}" for cell in cells))


def places(cells: Sequence[Record], among: Sequence[Record]) -> str:
    """Several of them: "for m under 4-shot and n under 4-shot"; "everywhere" where it is all of several."""
    if len(cells) == len(among) > 1:
        return "everywhere"
    first, _, rest = place(cells[0]).partition(" ")
    return " ".join(filter(None, (first, wording.listed([rest, *(place(one).partition(" ")[2] for one in cells[1:])]))))


def outcomes(cells: Sequence[Record], loss: str) -> str:
    """How many precisions lose clearly in each cell, and which loses most; cells of which the same is said share a
    clause. `loss` is what a loss is called: "loss of CIDEr" (`Words.loss`)."""
    if len(cells) == 1:
        return ended(cells[0]["outcome"]["sentence"])
    same: dict[str, list[Record]] = {}
    for cell in cells:
        found = cell["outcome"]
        n, lost = found["compared"], len(found["lost"])
        most = f" ({'most of all ' * (lost > 1)}{found['largest']}, {found['largest_text']})" if lost else ""
        of = f"{lost or 'none'} of {n} precision{'s' * (n != 1)}"
        said = f"{of} show{'s' * (lost < 2)} a clear {loss}{most}"
        same.setdefault(said if n else "", []).append(cell)
    missing = same.pop("", [])
    parts = [f"{places(of, cells)}, {said}" for said, of in same.items()]
    parts += [f"{places(missing, cells)}, nothing could be compared"] if missing else []
    return ended("; ".join(parts))


def recommended(cells: Sequence[Record], profile: int = 0, *, full: bool = True) -> str:
    """Which precision is recommended in each cell, and what it wins and costs: in one sentence a precision.

    In full, it is also said that a clear loss is within what is accepted, and of a single cell what is lost at worst.
    """
    chosen: dict[str | None, list[Record]] = {}
    for cell in cells:
        chosen.setdefault(cell["profiles"][profile]["precision"], []).append(cell)
    said = []
    for precision, where in chosen.items():
        choices = [cell["profiles"][profile] for cell in where]
        of = f" {places(where, cells)}" if len(cells) > 1 else ""
        told = [_traded(cell, one, full, len(where) == 1) for cell, one in zip(where, choices, strict=True)]
        what = _each(where, told)
        if precision is None:
            said.append(f"nothing is recommended{of}: {what}")
        elif _entry(where[0], precision)["baseline"]:
            said.append(f"the baseline, {precision}, is recommended{of}: {what}")
        else:
            said.append(f"{precision} is recommended{of}{f': {what}' if what else ''}")
    return " ".join(map(ended, said))


def profiles(cells: Sequence[Record]) -> str:
    """What is recommended by each of the study's preferences but the first; empty where it has one."""
    said = []
    for i, choice in enumerate(cells[0]["profiles"][1:], start=1):
        found = recommended(cells, i)
        start = found[:1].lower() if found.startswith(("The ", "Nothing ")) else found[:1]
        said.append(f"For the least {choice['prefer']}, {start}{found[1:]}")
    return " ".join(said)


def runners_up(cells: Sequence[Record]) -> str:
    """The next best in each cell, and what it would trade; empty where no cell has one."""
    found = [cell for cell in cells if cell["recommendation"].get("runner_up_sentence")]
    if not found:
        return ""
    said = _each(found, [cell["recommendation"]["runner_up_sentence"].removeprefix("runner-up: ") for cell in found])
    return f"Runner-up: {said}."


def shared(cells: Sequence[Record], name: str) -> str:
    """A sentence of every cell (`name` of it), those that are the same once; cells without it are passed over."""
    found = [cell for cell in cells if cell[name]]
    same: dict[str, list[Record]] = {}
    for cell in found:
        same.setdefault(cell[name], []).append(cell)
    if len(same) == 1 and len(found) == len(cells):
        return ended(next(iter(same)))
    return " ".join(ended(f"{places(of, cells)}: {said}".removeprefix(": ")) for said, of in same.items())


def size_and_speed(cell: Record) -> str:
    """Which smaller precisions are slower, and which are faster; empty where none is slower."""
    found: dict[bool | None, list[str]] = {}
    for entry in cell["entries"]:
        size, time = (entry["costs"].get(name, {}) for name in ("size_on_disk", "latency"))
        if size.get("better") and "better" in time and "incomparable" not in time:
            found.setdefault(time["better"], []).append(entry["precision"])
    slower, faster = found.get(False, []), found.get(True, [])
    if not slower:
        return ""
    said = f"{wording.named(slower)} {_are(slower)} smaller on disk and slower"
    said += f", {wording.named(faster)} {_are(faster)} smaller and faster" if faster else ""
    unclear = found.get(None, [])
    said += f", and the latency of {wording.named(unclear)} is not clearly different" if unclear else ""
    return f"Smaller is not {'always ' if faster else ''}faster here: {said}."


def not_compared(cell: Record) -> str:
    """Whose costs are not held against the baseline's, and why; simulated ones have none."""
    reasons: dict[str, list[str]] = {}
    for entry in cell["entries"]:
        if entry["incomparable"] and not entry["simulated"]:
            reasons.setdefault(entry["incomparable"], []).append(entry["precision"])
    return " ".join(f"The costs of {wording.named(names)} are left aside: {why}." for why, names in reasons.items())


def _traded(cell: Record, choice: Record, full: bool, alone: bool) -> str:
    """What a recommended precision wins, costs and risks; of the baseline, or of none, why nothing else is."""
    entry = _entry(cell, choice["precision"]) if choice["precision"] else None
    if entry is None or entry["baseline"]:
        return choice["reason"]
    loses = entry["accepted_in_short"] if full and entry["kind"] == "loss" else ""
    worst = entry["at_worst"] if full and alone else ""
    return "; ".join(filter(None, (choice["trade"] or choice["reason"], loses, worst)))


def _each(cells: Sequence[Record], said: Sequence[str]) -> str:
    """What is said of each cell, once where all say the same."""
    same: dict[str, list[Record]] = {}
    for cell, one in zip(cells, said, strict=True):
        same.setdefault(one, []).append(cell)
    return said[0] if len(same) == 1 else "; ".join(f"{places(of, cells)}, {one}" for one, of in same.items())


def _entry(cell: Record, precision: str) -> Record:
    return next(one for one in cell["entries"] if one["precision"] == precision)


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
