"""What the results mean and what they do not: where quality is lost, limitations, and ethical risks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bitbudget import contracts
from bitbudget.publishing.paper import nodes, screens
from bitbudget.publishing.paper.nodes import Node, Unit
from bitbudget.publishing.paper.view import View
from bitbudget.telling import across, attribution, breakdown, why, wording

LATER = 4  # rank of related work where several studies share the pages
COMPARED = 4  # precisions whose differences stand beside published ones


def units(views: Sequence[View], words: Mapping[str, list[Node]]) -> list[Unit]:
    """The section; the author's own words on limitations and ethics open their parts."""
    found = []
    for view in views:
        of = f": {view.e.name}" if view.several else ""
        lost, costs = _lost(view), _costs(view)
        found += [Unit([nodes.h(f"Where quality is lost{of}"), *lost])] if lost else []
        found += (
            [Unit([nodes.h(f"Where time and memory go{of}"), *costs], LATER if view.several else 0)] if costs else []
        )
    related = _related(views)
    found += [Unit([nodes.h("Related work"), *related], LATER if len(views) > 1 else 0)] if related else []
    found.append(Unit([nodes.h("Limitations"), *words.get("limitations", []), _limitations(views)]))
    found.append(Unit([nodes.h("Ethical considerations"), *words.get("ethics", []), *_ethics(views)]))
    return found


def _lost(view: View) -> list[Node]:
    """Which kinds of items and which parts of the model lose, and what the metric makes of it."""
    if not view.others:
        return []
    outcome = view.main["outcome"]
    said = [across.outcomes(view.cells, view.words.loss)]
    if len(view.cells) == 1 and outcome["compared"] > 1 and outcome["lost"]:
        said = [f"{outcome['largest']} loses most: {outcome['largest_text']} {view.words.label}."]
    lost = any(cell["outcome"]["lost"] for cell in view.cells)
    if not lost and any(cell["outcome"]["compared"] for cell in view.cells):
        said.append("That is a statement about what these items can show and no proof that nothing is lost.")
        said.append(across.ended(f"{view.main['where']}{view.main['detectable']}"))
    largest = outcome["largest"]
    if largest and view.words.detections:
        said.append(why.boxes(view.e, view.main, largest))
    elif largest and (kinds := breakdown.of(view.e, view.main)):
        said += [f"{kinds['title']}.", "Differences between kinds of items are described, not tested."]
    punished = view.says("PUNISHES").get(view.e.primary, "")
    blocks = [nodes.paragraph(nodes.text(" ".join(filter(None, said))), nodes.inline(punished))]
    if view.e.ablation:
        told = [attribution.groups(view.e, view.main), attribution.parts(view.e, view.main)]
        blocks.append(nodes.p("{said}", said=" ".join(filter(None, told))))
    return blocks


def _costs(view: View) -> list[Node]:
    """Which phase holds the time, what the formats do to it, and how many bits are really reached."""
    said = [
        *why.phases(view.e, view.main),
        *why.speeds(view.main),
        why.contexts(view.e, view.main),
        why.bits(view.e, view.main),
    ]
    where = f"What follows is {across.place(view.main)}." if view.main["name"] else ""
    text = " ".join(filter(None, (where, *said)))
    return [nodes.p("{text}", text=text)] if any(said) else []


def _related(views: Sequence[View]) -> list[Node]:
    """What others published of the same tasks, and what of ours stands beside it."""
    found = []
    for track in dict.fromkeys(view.e.track for view in views):
        view = next(view for view in views if view.e.track == track)
        related = view.says("RELATED")
        if related:
            found.append(nodes.paragraph(nodes.inline(related), nodes.text(_beside(view))))
    return found


def _beside(view: View) -> str:
    told = [f"{entry['precision']}, {entry['short']}" for entry in view.main["entries"]
            if entry.get("kind", "not-compared") != "not-compared" and not entry["simulated"]]  # fmt: skip
    if not told:
        return ""
    left = len(told) - COMPARED
    shown = "; ".join([*told[:COMPARED], *([f"and {left} more"] if left > 0 else [])])
    return (
        f"Ours{view.of_main}, against {view.e.baseline}: {shown}. Each of these numbers comes from another model and "
        "other items, so their directions can be compared, but not their sizes."
    )


def _limitations(views: Sequence[View]) -> Node:
    said: list[str] = []
    demos = [view for view in views if view.e.demo]
    if demos:
        verb = "is" if len(demos) == 1 else "are"
        names = wording.listed([view.e.name for view in demos])
        name = "This is a demo study" if len(views) == 1 else f"{names} {verb} demo material"
        said.append(
            f"{name}: very small models and generated data show that the method works. The numbers say nothing about "
            "models of a useful size."
        )
    for view in views:
        said.append(_scope(view))
        said += _split(view)
        said += view.e.quantized_before
        said += view.e.decided
        said.append(across.shared(view.cells, "disturbed"))
        said += [f"Measurements have remarks: {'; '.join(view.main['remarks'])}."] if view.main["remarks"] else []
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
                "Speed was measured in one process per precision, so its intervals miss what varies between processes."
            )
    return nodes.p("{text}", text=" ".join(dict.fromkeys(filter(None, said))))


def _scope(view: View) -> str:
    """How much was looked at: the items, the data set, the seed and, where one is asked with, the prompt."""
    items = view.main["counted"]
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
    """What the split that was evaluated leaves open: what the data set says of it, or else that it is known."""
    split = view.e.subset["split"]
    limits = contracts.of(view.dataset, "LIMITS")
    said = limits.get(split) or limits.get("", "")
    if not said and split == "train":
        said = "The {items} are of the split train, which models may have been trained on."
    if not said and "val" in split:
        said = f"The {{items}} are of the split {split}, which developers of the models may have tuned on."
    said = said.replace("{items}", view.words.items)
    return [f"In {view.e.name}, {said[:1].lower()}{said[1:]}" if said and view.several else said]


def _ethics(views: Sequence[View]) -> list[Node]:
    found = [nodes.p(risk) for risk in dict.fromkeys(view.says("RISK") for view in views)]
    said = []
    for view in views:
        record = view.e.inspection
        if record is None or not screens.screened(record):
            continue
        said.append(
            f"In {view.e.name}, {screens.flagged(record)}" if view.several else nodes.capital(screens.flagged(record))
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
