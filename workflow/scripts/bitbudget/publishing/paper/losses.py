"""Where quality is lost: by the size of objects, the type of question or the length of words, and by module group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget.publishing.paper import nodes
from bitbudget.publishing.paper.nodes import Node
from bitbudget.publishing.paper.view import View
from bitbudget.telling import wording

LEAST_OF_TYPE = 10  # items of a type before its share is spoken of
MOST_TYPES = 4  # of which all are told; of more, the one with the largest fall
TIGHT = 1.5  # so many times the relative fall of AP50 has AP75 where boxes fit worse rather than are missed
TOKENS = {"1": "words of one token", "2": "words of two tokens", "3+": "words of three or more tokens"}
KINDS = {"answer_type": "type of answer", "question_type": "type of question", "target_tokens": "length of the word"}


def by_kinds(view: View, precision: str) -> list[Node]:
    """How a precision's fall is spread over kinds of items, or over how tightly boxes fit and how large objects are."""
    if view.words.detections:
        return nodes.text(_boxes(view, precision))
    here = view.e.scores[view.model, precision, view.condition].get("breakdown") or {}
    there = view.e.scores[view.model, view.e.baseline, view.condition].get("breakdown") or {}
    found = []
    for kind, types in here.items():
        pairs = {
            name: (there[kind][name]["value"], metric["value"], metric["n"])
            for name, metric in types.items()
            if metric["n"] >= LEAST_OF_TYPE and name in there.get(kind, {})
        }
        if len(pairs) > 1:
            found.append(_of_types(view, KINDS.get(kind, kind.replace("_", " ")), pairs))
    said = [one for one in found if one]
    return nodes.text(" ".join([*said, "Such parts are described and not tested."])) if said else []


def _of_types(view: View, kind: str, pairs: Mapping[str, tuple[float, float, int]]) -> str:
    """The level of each type before and after, or of the one that falls most where there are many."""
    form = wording.Format(view.words, 1 if view.words.share else 2)
    fall = {name: view.words.sign * (after - before) for name, (before, after, _) in pairs.items()}
    if all(value == 0 for value in fall.values()):
        return ""
    if len(pairs) > MOST_TYPES:
        worst = min(fall, key=lambda name: fall[name])
        if fall[worst] >= 0:
            return ""
        before, after, n = pairs[worst]
        change = f"from {form.level(before)} to {form.level(after)} (n = {n})"
        return f"By {kind}, it loses most on {nodes.quoted(worst)}: {change}."
    told = [
        f"from {form.level(pairs[name][0])} to {form.level(pairs[name][1])} for {TOKENS.get(name, nodes.quoted(name))} "
        f"(n = {pairs[name][2]})"
        for name in sorted(pairs, key=lambda one: fall[one])
    ]
    return f"By {kind}, it goes {wording.listed(told)}."


def _boxes(view: View, precision: str) -> str:
    """Whether boxes fit worse or objects are missed, and objects of what size lose most."""

    def both(name: str) -> tuple[float, float] | None:
        pair = [view.metric(view.model, one, view.condition, name).get("value") for one in (view.e.baseline, precision)]
        return None if None in pair else (pair[0], pair[1])

    said = []
    loose, tight = both("AP50"), both("AP75")
    if loose and tight and loose[0] > 0 and tight[0] > 0:
        falls = [1 - after / before for before, after in (loose, tight)]
        said.append(f"AP50 goes from {loose[0]:.3f} to {loose[1]:.3f} and AP75 from {tight[0]:.3f} to {tight[1]:.3f}")
        if falls[1] > 0 and falls[1] >= TIGHT * max(falls[0], 0):
            said[-1] += ": objects are still found, but their boxes fit worse"
        elif falls[0] > 0 and falls[0] >= falls[1]:
            said[-1] += ": objects are missed or taken for others"
    sizes = {size: pair for size in ("small", "medium", "large") if (pair := both(f"AP_{size}"))}
    if len(sizes) > 1:
        told = [f"from {pair[0]:.3f} to {pair[1]:.3f} for {size} objects" for size, pair in sizes.items()]
        said.append(f"AP goes {wording.listed(told)}")
    return ". ".join(said) + ("." if said else "")


def module_groups(view: View) -> str:
    """Which module group loses how much alone, with its share of the weights, in one sentence; empty without one."""
    rows = _rows(view)
    single = _single(view, rows)
    if not single:
        return ""
    whole = next((row for row in rows if row["row"] == "every-group"), None)
    lost = [row for row in single if row["verdict"] == "loss"]
    rest = [row for row in single if row["verdict"] != "loss"]
    said = [_group(view, row, i == 0) for i, row in enumerate(lost)]
    form = view.e.study.get("ablation", {}).get("format", "the low format")
    start = f"Of the module groups, each alone in {form}, "
    if not lost:
        return f"{start}none shows a clear loss: {wording.listed([_within(view, row) for row in rest])}."
    text = start + wording.listed(said)
    if rest:
        of = "difference of" if len(rest) == 1 else "differences of"
        are = "is" if len(rest) == 1 else "are"
        text += f"; the {of} {wording.listed([_within(view, row) for row in rest])} {are} not clear"
    if whole:
        text += f". With all groups together the difference is {_interval(view, whole)} {view.words.noun}"
    return f"{text}."


def _rows(view: View) -> list[Mapping[str, Any]]:
    return [
        row
        for row in view.e.ablation
        if (row["model"], row["condition"]) == (view.model, view.condition) and row["difference"] is not None
    ]


def _single(view: View, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows of groups that are no part of another, the largest loss first."""
    found = [row for row in rows if row["row"] == "group" and not row["depth"]]
    return sorted(found, key=lambda row: view.words.sign * row["difference"])


def _group(view: View, row: Mapping[str, Any], first: bool) -> str:
    form = wording.format_of(view.words, {"value": row["difference"], "ci": _ends(row)})
    unit = f" {view.words.noun}" if first else ""
    verb = "loses" if view.words.higher_is_better else "is worse by"
    said = f"{row['group']} {verb} {form.size(row['difference'])}{unit}"
    share = row.get("share_of_loss")
    of = " of what all groups together lose" if first else " of it"
    parts = [f"{wording.percent(share)}{of}"] if share is not None else []
    if row.get("share_of_parameters") is not None:
        parts.append(f"with {wording.percent(row['share_of_parameters'])} of the weights")
    return said + (f" ({', '.join(parts)})" if parts else "")


def _within(view: View, row: Mapping[str, Any]) -> str:
    weights = row.get("share_of_parameters")
    of = f", {wording.percent(weights)} of the weights" if weights is not None else ""
    return f"{row['group']} ({_interval(view, row)}{of})"


def ablated(view: View) -> Node:
    """The groups as the discussion tells them: those within others as well, and how they add up."""
    rows = _rows(view)
    text = module_groups(view)
    inner = sorted(
        (row for row in rows if row["row"] == "group" and row["depth"]),
        key=lambda row: view.words.sign * row["difference"],
    )
    if inner:
        parts = wording.listed([f"{row['group']} {_interval(view, row)}" for row in inner])
        text += f" Of the parts of a group alone, the differences are {parts}."
    joint = next((row for row in rows if row["row"] == "interaction" and row["group"] == "every-group"), None)
    whole = next((row for row in rows if row["row"] == "every-group"), None)
    if joint:
        # rounded as the differences that it is made of
        ci = _ends(whole) if whole else None
        form = wording.format_of(view.words, {"baseline": joint["difference"], "ci": ci})
        text += (
            f" The difference of all groups together minus the sum of the groups' own is "
            f"{form.signed(joint['difference'])} {view.words.noun}, a number without an interval."
        )
    return nodes.p("{text} Brackets: 95 % intervals{direction}.", text=text, direction=view.words.direction)


def _ends(row: Mapping[str, Any]) -> tuple[float, float] | None:
    ci = (row["difference_ci_low"], row["difference_ci_high"])
    return None if None in ci else ci


def _interval(view: View, row: Mapping[str, Any]) -> str:
    return view.signed({"value": row["difference"], "ci": _ends(row), "baseline": None})
