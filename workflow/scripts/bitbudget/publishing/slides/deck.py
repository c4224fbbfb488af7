"""Which slides a talk of ten minutes has, in their order, and the pictures and charts that they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbudget.publishing.slides import costs, framing, inspected, outputs, parts, quality, verdict
from bitbudget.publishing.slides.cells import Cell, cells
from bitbudget.publishing.typesetting.texts import shortened
from bitbudget.telling import wording
from bitbudget.telling.evidence import Evidence

Slide = dict[str, Any]
Assets = dict[str, Path | bytes]

MOST = 15
CHARTS = 2  # models or conditions of which the differences are shown


def data(report: Mapping[str, Any], studies: Sequence[Evidence]) -> tuple[dict[str, Any], Assets]:
    """What the template shows, and its pictures and charts by the names that it uses; `studies` is not empty.

    There are at most 15 slides: the examples, kinds of items and further models or conditions that find no room are
    left to the results page, and the slides say so.
    """
    slides = _alone(report, studies[0]) if len(studies) == 1 else _joint(report, studies)
    assets: Assets = {}
    for number, slide in enumerate(slides):
        if slide["kind"] == "chart":
            assets[f"charts/{number}.svg"] = slide["chart"]
            slides[number] = slide | {"chart": f"charts/{number}.svg"}
        elif slide.get("picture"):
            name = f"pictures/{number}{slide['picture'].suffix}"
            assets[name] = slide["picture"]
            slides[number] = slide | {"picture": name}
    names = wording.listed([study.name for study in studies])
    demo = " (demo)" if all(study.demo for study in studies) else ""
    return {"name": shortened(names, 70) + demo, "slides": slides}, assets


def _alone(report: Mapping[str, Any], evidence: Evidence) -> list[Slide]:
    every = cells([evidence])
    first = every[0]
    whole = quality.overview(every)
    # slides with their rank: from 1 on they give way, the largest first, where there are too many
    ranked: list[tuple[int, Slide | None]] = [
        (0, framing.title(report, [evidence])),
        (0, framing.question([evidence])),
        (0, framing.compared(evidence)),
        (0, framing.measured([evidence])),
        (4 if whole else 1 if evidence.ablation else 0, quality.levels(first)),
        (0, whole),
        *((_rank(cell, first), quality.difference(cell)) for cell in _chosen(every)),
        *((2 * n, slide) for n, slide in enumerate(costs.slides(first))),
        (3, costs.speeds(first)),
        (0, costs.trade_off(first)),
        (0, parts.ablation(first)),
        (3, parts.by_type(first)),
        *((5 * n, slide) for n, slide in enumerate(outputs.examples(first, 2))),
        (0, inspected.slide(first)),
        (0, verdict.slide([evidence])),
        (0, framing.limits([evidence])),
        (0, framing.ending(report, [evidence])),
    ]
    there = [(rank, slide) for rank, slide in ranked if slide is not None]
    while len(there) > MOST and any(rank for rank, _ in there):
        there.remove(max(there, key=lambda one: one[0]))
    return [slide for _, slide in there]


def _rank(cell: Cell, first: Cell) -> int:
    """Of the differences of a cell: the first are always shown, another model rather than another condition."""
    return 0 if cell is first else 3


def _chosen(every: Sequence[Cell]) -> list[Cell]:
    """The cells whose differences have a chart: one of each model first, then the first model's further conditions."""
    models = list({cell.told["model"]: cell for cell in reversed(every)}.values())[::-1]
    others = [cell for cell in every if cell not in models]
    return sorted([*models, *others][:CHARTS], key=every.index)


def _joint(report: Mapping[str, Any], studies: Sequence[Evidence]) -> list[Slide]:
    of_studies = [[cell for cell in cells(studies) if cell.evidence is study] for study in studies]
    start = [framing.title(report, studies), framing.question(studies), framing.measured(studies)]
    end = [verdict.slide(studies), framing.limits(studies), framing.ending(report, studies)]
    room = MOST - len(start) - len(end)
    each = max(1, room // len(studies))
    middle: list[Slide] = []
    for cell, *others in of_studies[:room]:
        # the more important first; told in the order of a talk
        wanted = [
            (
                1,
                quality.overview([cell, *others]) or quality.difference(cell) or quality.levels(cell),
            ),
            (2, costs.trade_off(cell) or next(iter(costs.slides(cell)), None) or parts.ablation(cell)),
            (0, framing.compared(cell.evidence)),
            *((3, slide) for slide in outputs.examples(cell, 1)),
        ]
        there = [(rank, slide) for rank, slide in wanted if slide is not None]
        middle += [slide for _, slide in sorted(there[:each], key=lambda one: one[0])]
    left = [cell.evidence.name for cell, *_ in of_studies[room:]]
    if left:
        told = shortened(f"Not in these slides: {wording.listed(left)}; see results/{{study}}/ of each.", 150)
        start[1]["notes"] = [*start[1]["notes"], told]
    return [*start, *middle, *end]
