"""What the results mean and what they do not: where quality is lost, limitations, and ethical risks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget import wording
from bitbudget.paper import examples, nodes
from bitbudget.paper.nodes import Node, Unit
from bitbudget.paper.view import View, named

LEAST_OF_TYPE = 10  # items of a type before its share is spoken of
RISKS = {
    "captioning": "A caption can name what is not in the picture, fluently and without any sign of doubt "
    "[@rohrbach2018chair], and captions of people tend to follow stereotypes [@hendricks2018women]. Someone who relies "
    "on the caption because they cannot see the picture cannot notice either.",
    "vqa": "A model answers with the same confidence where it guesses. Someone who asks because they cannot see the "
    "picture [@gurari2018vizwiz] cannot check the answer, and pictures that people take at home or of papers often "
    "hold "
    "personal data.",
    "lambada": "Language models repeat what their training texts hold, stereotypes and personal data included "
    "[@bender2021parrots], and a next-word benchmark says nothing about it: the same score does not mean the same "
    "harm.",
    "detection": "A missed object is silent. Where a detector guides a vehicle or watches people, an average over "
    "categories can hide that a format loses small or rare objects, and a detector of people is also a tool of "
    "surveillance whatever its number format.",
}


def units(views: Sequence[View], words: Mapping[str, list[Node]]) -> list[Unit]:
    """The section; the author's own words on limitations and ethics open their parts."""
    found = []
    for view in views:
        drops = _drops(view)
        title = "Where quality is lost" + (f": {view.e.name}" if view.several else "")
        if drops:
            found.append(Unit([nodes.h(title), *drops]))
    found.append(Unit([nodes.h("Limitations"), *words.get("limitations", []), _limitations(views)]))
    found.append(Unit([nodes.h("Ethical considerations"), *words.get("ethics", []), *_ethics(views)]))
    return found


def _drops(view: View) -> list[Node]:
    if not view.others:
        return []
    found: list[list[Node]] = []
    worst, clear = _worst(view)
    if worst is None:
        found.append(
            nodes.text("No precision could be compared with the baseline, so nothing is said of where it loses.")
        )
    elif not clear:
        found.append(
            nodes.text(
                f"{view.where(view.model, view.condition) or 'On this subset, '}no precision lost quality clearly. "
                "That is a statement about what these items can show, not a proof that nothing is lost: the "
                "differences that could have been seen stand with the results."
            )
        )
    else:
        names = view.by_kind(view.model, view.condition).get("loss", [])
        metric = view.difference(view.model, worst, view.condition)
        found.append(
            nodes.text(
                f"{view.where(view.model, view.condition)}"
                f"{_number(view, len(names))} precision{'s' * (len(names) > 1)} lost quality clearly: "
                f"{named(names)}. "
                f"The largest difference is that of {worst}: {view.signed(metric)} {view.words.noun}"
                f"{view.words.direction}."
            )
        )
        found.append(_by_type(view, worst))
    found.append(nodes.text(view.elsewhere()) if view.elsewhere() else [])
    blocks = [nodes.paragraph(*found)]
    if view.e.ablation:
        blocks.append(_ablated(view))
    return blocks


def _worst(view: View) -> tuple[str | None, bool]:
    """The precision with the largest difference for the worse, and whether any loss is clear."""
    differences = {
        name: view.words.sign * metric["value"]
        for name in view.others
        if (metric := view.difference(view.model, name, view.condition))
    }
    if not differences:
        return None, False
    losses = view.by_kind(view.model, view.condition).get("loss", [])
    names = [name for name in losses if name in differences] or list(differences)
    return min(names, key=lambda name: differences[name]), bool(losses)


def _by_type(view: View, precision: str) -> list[Node]:
    """The type of item that a precision loses most on, where items have types."""
    here = view.e.scores[view.model, precision, view.condition].get("breakdown", {})
    there = view.e.scores[view.model, view.e.baseline, view.condition].get("breakdown", {})
    found: list[Node] = []
    for kind, types in here.items():
        falls = {
            name: (there[kind][name]["value"], metric["value"], metric["n"])
            for name, metric in types.items()
            if metric["n"] >= LEAST_OF_TYPE and name in there.get(kind, {})
        }
        falls = {name: one for name, one in falls.items() if view.words.sign * (one[1] - one[0]) < 0}
        if len(types) > 1 and falls:
            name = min(falls, key=lambda one: view.words.sign * (falls[one][1] - falls[one][0]))
            before, after, n = falls[name]
            form = wording.Format(view.words, 1 if view.words.share else 2)
            found += nodes.text(
                f"By {kind.replace('_', ' ')}, it falls most on {nodes.quoted(name)}: from {form.level(before)} to "
                f"{form.level(after)} (n = {n}). "
            )
    return found + (nodes.text("Such single types are described and not tested.") if found else [])


def _ablated(view: View) -> Node:
    """Which module group loses how much when it alone is in the low format."""
    rows = [
        row
        for row in view.e.ablation
        if (row["model"], row["condition"]) == (view.model, view.condition) and row["difference"] is not None
    ]
    single = sorted((row for row in rows if row["row"] == "group"), key=lambda row: view.words.sign * row["difference"])
    whole = next((row for row in rows if row["row"] == "every-group"), None)
    said = [
        f"{row['group']} {_interval(view, row)}" + ("" if row["verdict"] == "loss" else " (not clear)")
        for row in single
    ]
    text = f"With one module group at a time in the low format, the differences are {wording.listed(said)}"
    text += f"; with every group together it is {_interval(view, whole)}. " if whole else ". "
    joint = next((row for row in rows if row["row"] == "interaction" and row["group"] == "every-group"), None)
    if joint:
        form = wording.format_of(view.words, {"baseline": joint["difference"]})
        text += (
            f"The groups' differences do not simply add up: the whole differs from their sum by "
            f"{form.signed(joint['difference'])}. "
        )
    return nodes.p(
        "{text}Differences are {noun}{direction}.", text=text, noun=view.words.noun, direction=view.words.direction
    )


def _interval(view: View, row: Mapping[str, Any]) -> str:
    ci = (row["difference_ci_low"], row["difference_ci_high"])
    metric = {"value": row["difference"], "ci": ci if None not in ci else None, "baseline": None}
    return view.signed(metric)


def _limitations(views: Sequence[View]) -> Node:
    said: list[str] = []
    demos = [view for view in views if view.e.demo]
    if demos:
        verb = "is" if len(demos) == 1 else "are"
        names = wording.listed([view.e.name for view in demos])
        name = "This is a demo study" if len(views) == 1 else f"{names} {verb} demo material"
        said.append(
            f"{name}: a very small model and generated data show that the method works. Its numbers say nothing about "
            "models of a useful size."
        )
    for view in views:
        where = f"In {view.e.name}, " if view.several else ""
        said.append(
            _begin(
                f"{where}the results hold for {nodes.count(view.n, view.items.removesuffix('s'))} of one data set, "
                f"one seed" + (" and one prompt." if view.e.study.get("prompt") else ".")
            )
        )
        if view.e.study["dataset"]["name"].startswith("coco2017"):
            said.append(
                "COCO does not publish the annotations of its test images, so everything is judged on the validation "
                "images, which developers of the models may have tuned on."
            )
        elif view.words.detections:
            said.append(
                "The boxes are judged on the split val of generated scenes; with COCO it would be its validation "
                "images as "
                "well, because the annotations of its test images are not published."
            )
        if any(audit["simulated"] for audit in view.e.audits.values()):
            said.append("Precisions that are only simulated show rounding's effect on quality and have no costs.")
        if any(row.get("energy_how") == "estimated" for row in view.e.summary):
            said.append(
                "Energy is estimated from the rated power and the load and not metered, so small differences in it "
                "mean "
                "little."
            )
        if len(view.e.models) == 1 and not view.several:
            said.append("One model was studied; another of the same kind may react otherwise.")
        small = [one for one in view.e.measurements.values() if any("value" in m for m in one["metrics"].values())]
        if small and all(len(one.get("repeats", [])) <= 1 for one in small):
            said.append(
                "Speed was measured in one process a precision, so its intervals miss what varies between processes."
            )
    return nodes.p("{text}", text=" ".join(dict.fromkeys(said)))


def _begin(value: str) -> str:
    return value[:1].upper() + value[1:]


def _ethics(views: Sequence[View]) -> list[Node]:
    found = [nodes.p(RISKS[track]) for track in dict.fromkeys(view.e.track for view in views)]
    said = []
    for view in views:
        record = view.e.inspection
        if record is None:
            continue
        if not examples.screened(record):
            continue
        number = len(examples.found_by_screens(record))
        where = f" in {view.e.name}" if view.several else ""
        said.append(
            f"The screens flagged {nodes.count(number, 'finding')}{where} for a person to judge."
            if number
            else f"The screens flagged nothing{where}, which is no proof that nothing is there."
        )
        said += [nodes.sentence(limit) for limit in record["limits"]]
    if said:
        found.append(nodes.p("{text}", text=" ".join(dict.fromkeys(said))))
    found.append(
        nodes.p(
            "Fewer bits let a model run where a larger one cannot, also where nobody watches it. The same average "
            "quality "
            "does not mean the same errors, which is why changed answers are counted and listed beside the score."
            if any(view.others for view in views)
            else "A score is an average; the answers themselves are listed with the results so that errors can be seen."
        )
    )
    return found


def _number(view: View, number: int) -> str:
    """A number in words, with a capital where it begins the sentence."""
    word = nodes.number_word(number)
    return word.lower() if view.where(view.model, view.condition) else word
