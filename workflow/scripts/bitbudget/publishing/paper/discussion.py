"""What the results mean and what they do not: where quality is lost, limitations, and ethical risks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bitbudget.publishing.paper import losses, nodes, screens
from bitbudget.publishing.paper.nodes import Node, Unit
from bitbudget.publishing.paper.view import View, named
from bitbudget.telling import wording

RISKS = {
    "captioning": "A caption can name what is not in the picture [@rohrbach2018chair], fluently and without any sign "
    "of doubt, and captions of people tend to follow stereotypes [@hendricks2018women]. Someone who relies "
    "on the caption because they cannot see the picture cannot notice either.",
    "vqa": "A model answers with the same confidence where it guesses. Someone who asks because they cannot see the "
    "picture [@gurari2018vizwiz] cannot check the answer, and pictures that people take at home or of papers often "
    "hold "
    "personal data.",
    "lambada": "Language models repeat what their training texts hold, stereotypes [@bender2021parrots] and personal "
    "data [@carlini2021extracting] included, and a next-word benchmark says nothing "
    "about it: the same score does not mean the same harm.",
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
                f"That is a statement about what these items can show, not a proof that nothing is lost: {_seen(view)}."
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
        found.append(losses.by_kinds(view, worst))
    blocks = [nodes.paragraph(*found)]
    if view.e.ablation:
        blocks.append(losses.ablated(view))
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


def _seen(view: View) -> str:
    """Whether it is known what loss these items would have shown."""
    known, unknown = [], []
    for name in view.others:
        metric = view.difference(view.model, name, view.condition)
        if metric is not None:
            (known if metric.get("smallest_detectable") is not None else unknown).append(name)
    few = f"because too few {view.words.clusters} differ"
    if not known:
        return f"what loss they would have shown could not be told, {few}"
    stand = "the differences that would have been seen stand with the results"
    return f"{stand}, but for {named(unknown)}, where they could not be told, {few}" if unknown else stand


def _limitations(views: Sequence[View]) -> Node:
    said: list[str] = []
    demos = [view for view in views if view.e.demo]
    if demos:
        verb = "is" if len(demos) == 1 else "are"
        names = wording.listed([view.e.name for view in demos])
        name = "This is a demo study" if len(views) == 1 else f"{names} {verb} demo material"
        said.append(
            f"{name}: a very small model and generated data show that the method works. The numbers say nothing about "
            "models of a useful size."
        )
    for view in views:
        said.append(_scope(view))
        said += _split(view)
        if any(audit["simulated"] for audit in view.e.audits.values()):
            said.append("Precisions that are only simulated show rounding's effect on quality and have no costs.")
        if any(row.get("energy_how") == "estimated" for row in view.e.summary):
            said.append(
                "Energy is estimated from the rated power and the load and not metered, so small differences in it "
                "mean little."
            )
        if len(view.e.models) == 1 and not view.several:
            said.append("One model was studied; another of the same kind may react otherwise.")
        small = [one for one in view.e.measurements.values() if any("value" in m for m in one["metrics"].values())]
        if small and all(len(one.get("repeats", [])) <= 1 for one in small):
            said.append(
                "Speed was measured in one process a precision, so its intervals miss what varies between processes."
            )
    return nodes.p("{text}", text=" ".join(dict.fromkeys(said)))


def _scope(view: View) -> str:
    """How much was looked at: the items, the data set, the seed and, where one is asked with, the prompt."""
    items = nodes.count(view.n, view.items.removesuffix("s"))
    of = ["of one data set" + (", drawn with one seed" if _drawn(view) else "")]
    several = [name for name in view.e.conditions if name != "zero-shot"]
    asked = ""
    if view.e.study.get("prompt"):
        asked = "and with one wording of the prompt in every condition" if several else "and asked with one prompt"
    where = f"The results of {view.e.name} hold" if view.several else "The results hold"
    return f"{where} for {' '.join(filter(None, (items, *of, asked)))}."


def _drawn(view: View) -> bool:
    """Whether the items were drawn, and are not all there are or those of a file."""
    asked = view.e.study["dataset"]["subset"]
    return isinstance(asked, int) and view.e.subset.get("n_available") != view.e.chosen


def _split(view: View) -> list[str]:
    """What the split that was evaluated leaves open, by the kind of the data."""
    data, split = view.e.study["dataset"], view.e.subset["split"]
    kind = data.get("kind") or data["name"]
    where = f"In {view.e.name}, the" if view.several else "The"
    if kind.startswith("demo-"):
        return ["The generated data are nobody's real task."]
    if split == "train":
        return [f"{where} items are of the split train, which models may have been trained on."]
    if kind.startswith("coco2017") or data["name"].startswith("coco2017"):
        return [
            f"{where} {view.items} are of COCO's split {split}, because its test annotations are not published; "
            "developers of the models may have tuned on it."
        ]
    if kind.startswith("local"):
        return [f"{where} data are the author's own, so nobody else may be able to repeat this."]
    tuned = f"{where} {view.items} are of the split {split}, which developers of the models may have tuned on."
    return [tuned] if "val" in split else []


def _ethics(views: Sequence[View]) -> list[Node]:
    found = [nodes.p(RISKS[track]) for track in dict.fromkeys(view.e.track for view in views)]
    said = []
    for view in views:
        record = view.e.inspection
        if record is None or not screens.screened(record):
            continue
        said.append(
            f"In {view.e.name}, {screens.flagged(record)}" if view.several else _capital(screens.flagged(record))
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


def _capital(said: str) -> str:
    return said[:1].upper() + said[1:]


def _number(view: View, number: int) -> str:
    """A number in words, with a capital where it begins the sentence."""
    word = nodes.number_word(number)
    return word.lower() if view.where(view.model, view.condition) else word
