"""Which slides a talk of ten minutes has, in their order, and the pictures that they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbudget.publishing.slides import costs, framing, inspected, outputs, parts, quality, verdict
from bitbudget.publishing.slides.cells import Panel, panels
from bitbudget.publishing.slides.texts import shortened
from bitbudget.telling import wording
from bitbudget.telling.evidence import Evidence

Slide = dict[str, Any]
Assets = dict[str, Path]

MOST = 14  # slides of one study
MOST_JOINT = 15
PANELS = 2  # models or conditions of which the differences are shown


def data(report: Mapping[str, Any], studies: Sequence[Evidence]) -> tuple[dict[str, Any], Assets]:
    """What the template shows, and its pictures by the names that it uses; `studies` is not empty.

    One study has at most 14 slides, several have at most 15: the examples, kinds of items and further models or
    conditions that find no room are left to the results page, and the slides say so.
    """
    slides, assets = _alone(report, studies[0]) if len(studies) == 1 else _joint(report, studies)
    shown = {name: path for name, path in assets.items() if any(slide.get("picture") == name for slide in slides)}
    names = wording.listed([study.name for study in studies])
    demo = " (demo)" if all(study.demo for study in studies) else ""
    return {"name": shortened(names, 70) + demo, "slides": slides}, shown


def _alone(report: Mapping[str, Any], evidence: Evidence) -> tuple[list[Slide], Assets]:
    every = panels(evidence)
    first = every[0]
    shown = outputs.examples(first, 2)
    # slides with their rank: from 1 on they give way, the largest first, where there are too many
    ranked: list[tuple[int, Slide | None]] = [
        (0, framing.title(report, [evidence])),
        (0, framing.question([evidence])),
        (0, framing.compared(evidence)),
        (0, framing.measured([evidence])),
        (1 if evidence.ablation else 0, quality.slide(first)),
        *((_rank(panel, first), quality.difference(panel)) for panel in _chosen(every)),
        (0, costs.slide(first)),
        (0, costs.trade_off(first)),
        (0, parts.ablation(first)),
        (3, parts.by_type(first)),
        *((5 * n, slide) for n, (slide, _) in enumerate(shown)),
        (0, inspected.slide(first)),
        (0, verdict.slide([evidence])),
        (0, framing.limits([evidence])),
        (0, framing.ending(report, [evidence])),
    ]
    there = [(rank, slide) for rank, slide in ranked if slide is not None]
    while len(there) > MOST and any(rank for rank, _ in there):
        there.remove(max(there, key=lambda one: one[0]))
    slides = [slide for _, slide in there]
    _tell_others(slides, every)
    return slides, {name: path for _, assets in shown for name, path in assets.items()}


def _rank(panel: Panel, first: Panel) -> int:
    """Of the differences of a panel: the first are always shown, another model rather than another condition."""
    return 0 if panel == first else 2 if panel.model != first.model else 4


def _chosen(every: Sequence[Panel]) -> list[Panel]:
    """The panels whose differences are shown: one of each model first, then the first model's further conditions."""
    models = list({panel.model: panel for panel in reversed(every)}.values())[::-1]
    others = [panel for panel in every if panel not in models]
    return sorted([*models, *others][:PANELS], key=every.index)


def _tell_others(slides: Sequence[Slide], every: Sequence[Panel]) -> None:
    """Say on the charts of quality how many models and conditions have none."""
    if len(every) == 1:
        return
    for about in ("levels", "differences"):
        charts = [slide for slide in slides if slide.get("about") == about]
        shown = {slide["heading"] for slide in charts}
        left = sum(panel.heading not in shown for panel in every)
        for slide in charts if left else ():
            slide["heading"] += f" ({left} more in index.html)"


def _joint(report: Mapping[str, Any], studies: Sequence[Evidence]) -> tuple[list[Slide], Assets]:
    firsts = [panels(study)[0] for study in studies]
    start = [framing.title(report, studies), framing.question(studies), framing.measured(studies)]
    end = [verdict.slide(studies), framing.limits(studies), framing.ending(report, studies)]
    room = MOST_JOINT - len(start) - len(end)
    each = max(1, room // len(studies))
    middle: list[Slide] = []
    assets: Assets = {}
    for panel in firsts[:room]:
        example = outputs.examples(panel, 1)
        # the more important first; told in the order of a talk
        wanted = [
            (1, quality.difference(panel) or quality.slide(panel)),
            (2, costs.trade_off(panel) or costs.slide(panel) or parts.ablation(panel)),
            (0, framing.compared(panel.evidence)),
            *((3, slide) for slide, _ in example),
        ]
        there = [(rank, slide) for rank, slide in wanted if slide is not None]
        taken = [slide for _, slide in sorted(there[:each], key=lambda one: one[0])]
        for slide in taken:
            slide["heading"] = ", ".join(dict.fromkeys(filter(None, [panel.evidence.name, slide["heading"]])))
        middle += taken
        assets |= {name: path for _, found in example for name, path in found.items()}
    left = [panel.evidence.name for panel in firsts[room:]]
    if left:
        told = shortened(f"Not in these slides: {wording.listed(left)}; see results/{{study}}/ of each.", 150)
        start[1]["notes"] = [*start[1]["notes"], told]
    return [*start, *middle, *end], assets
