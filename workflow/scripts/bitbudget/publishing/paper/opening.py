"""The two ends of the paper: title, abstract and introduction, and the conclusion with its recommendation."""

from __future__ import annotations

from collections.abc import Sequence

from bitbudget.publishing.paper import nodes
from bitbudget.publishing.paper.nodes import Node
from bitbudget.publishing.paper.view import View
from bitbudget.telling import across, attribution, wording


def title(views: Sequence[View]) -> str:
    """The title of a paper whose study names none."""
    tasks = wording.listed(list(dict.fromkeys(view.says("TASK") for view in views)))
    models = list(dict.fromkeys(model for view in views for model in view.e.models))
    of = wording.listed(models) if len(models) < 3 else f"{len(models)} Models"
    if all(not view.others for view in views):
        precisions = list(dict.fromkeys(view.e.baseline for view in views))
        return f"{of} in {wording.listed(precisions)}: Quality and Cost of {_capitals(tasks)}"
    return f"What Fewer Bits Cost: {of} in {_capitals(tasks)}"


def _capitals(words: str) -> str:
    return " ".join(word if word in ("and", "of") else word[:1].upper() + word[1:] for word in words.split())


def demo(views: Sequence[View]) -> str | None:
    """What a demonstration says of itself at its head."""
    names = [view.e.name for view in views if view.e.demo]
    if not names:
        return None
    which = "This is a demo study" if len(names) == len(views) == 1 else f"Demo material: {wording.listed(names)}"
    small = f"{which}. Very small models and generated data show the method"
    return f"{small}; the numbers say nothing about models of a useful size."


def abstract(views: Sequence[View]) -> Node:
    """What was done, found and recommended, in computed numbers."""
    several = any(view.others for view in views)
    start = (
        "Storing a network's numbers in fewer bits saves memory and may save time and energy, but what it costs in "
        "quality is rarely said with its uncertainty."
        if several
        else "What a model costs to run belongs beside what it can do, with the uncertainty of both."
    )
    did = [_did(views[0])] if len(views) == 1 else [_did_all(views)]
    return nodes.paragraph(nodes.text(start), *map(nodes.text, did), *(nodes.text(_found(view)) for view in views))


def _did(view: View) -> str:
    models, task, n = wording.listed(view.e.models), view.says("TASK"), view.main["counted"]
    if not view.others:
        return f"We evaluate {models} in {view.e.baseline} for {task}, on {n}."
    conditions = f" under {len(view.e.conditions)} conditions" if len(view.e.conditions) > 1 else ""
    return (
        f"We compare {len(view.e.precisions)} precisions of {models} for {task}{conditions}, on the same {n}, after "
        "auditing what each loaded checkpoint really holds."
    )


def _did_all(views: Sequence[View]) -> str:
    """The experiments of a joint report, in one sentence."""
    told = [
        f"{nodes.count(len(view.e.precisions), 'precision')} of {wording.listed(view.e.models)} for "
        f"{view.says('TASK')} ({view.main['counted']})"
        for view in views
    ]
    return f"We compare {wording.listed(told)}, after auditing what each loaded checkpoint really holds."


def _found(view: View) -> str:
    """What was found in every cell, and what is recommended."""
    said = []
    if len(view.cells) == 1 or not view.others:
        said.append(across.baselines(view.cells))
    if view.others:
        said += [_finding(view), across.recommended(view.cells, full=not view.several)]
        said += ["Timings were disturbed, so no speed is claimed."] if _disturbed(view) else []
    text = " ".join(filter(None, said))
    return f"In {view.e.name}: {text}" if view.several else text


def _finding(view: View) -> str:
    blamed = [attribution.groups(view.e, cell) for cell in view.cells[:1]] if view.e.ablation else []
    return " ".join(filter(None, blamed)) or across.outcomes(view.cells, view.words.loss)


def _disturbed(view: View) -> bool:
    return any(cell["disturbed"] for cell in view.cells)


def introduction(views: Sequence[View]) -> list[Node]:
    """The problem, why efficiency matters, and what each experiment is for."""
    problem = nodes.p(
        "Networks that see and read are trained in 16 or 32 bits per number and are then asked to run on machines with "
        "less "
        "memory, less time and less electricity than those that trained them. Post-training quantization is the first "
        "remedy: it stores the weights, and sometimes the activations, in fewer bits, without any new training "
        "[@gholami2021survey; @nagel2021white]. Whether that is worth it is a question of two sides. What is won has "
        "to be "
        "measured on the machine in question, because a smaller format is not always a faster one; what is lost has "
        "to be "
        "measured on the task, because a smaller model can keep its score and still change its answers."
    )
    why = nodes.p(
        "Efficiency is also a matter of who can use a model and of what its use costs everybody: the energy of a "
        "model in "
        "service recurs with every request, and reporting cost beside quality has been asked for as a habit of the "
        "field "
        "[@schwartz2020green; @patterson2022carbon]."
    )
    goals = [_goal(view) for view in views]
    if len(views) == 1:
        return [problem, why, nodes.paragraph(nodes.text("The goal of this study is to find out"), goals[0])]
    return [
        problem,
        why,
        nodes.p("This report covers {n} experiments with a goal each:", n=len(views)),
        {
            "t": "list",
            "ordered": False,
            "items": [
                [nodes.paragraph(nodes.strong(view.e.name), nodes.text("asks"), goal)]
                for view, goal in zip(views, goals, strict=True)
            ],
        },
    ]


def _goal(view: View) -> list[Node]:
    text = (
        view.says("GOAL")
        if view.others
        else f"what {wording.listed(view.e.models)} can do in {view.e.baseline}, and what it costs"
    )
    if view.e.ablation:
        text += ", and which part of it is the most sensitive"
    description = nodes.shortened(view.e.study.get("description") or "", 300).rstrip(".")
    return nodes.text(f"{text}" + (f" ({description})." if description else "."))


def conclusion(views: Sequence[View]) -> list[Node]:
    """What to take, and what would be next."""
    found = []
    for view in views:
        said = [f"For {view.e.name}:"] if view.several else []
        if not view.others:
            rest = "With one precision there is nothing to choose between; adding others to the study would show it."
            said += [across.baselines(view.cells), rest]
        else:
            said += [_finding(view), across.recommended(view.cells), across.runners_up(view.cells)]
            said.append(across.profiles(view.cells))
        found.append(nodes.p("{text}", text=" ".join(filter(None, said))))
    if any(view.e.demo for view in views):
        numbers = "All of this is a demonstration: its numbers are those of small demo models on this machine"
        holds = ", and what they recommend holds for nothing else" if any(view.others for view in views) else ""
        found.append(nodes.p(f"{numbers}{holds}."))
    return found
