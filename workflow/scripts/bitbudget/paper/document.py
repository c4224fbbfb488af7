"""The paper as data: its sections from the studies and the author's own words, and as much of them as fits."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitbudget.paper import background, discussion, examples, extras, figures, methods, opening, results
from bitbudget.paper.nodes import Node, Unit
from bitbudget.paper.view import View
from bitbudget.reporting import bibliography, markdown, typesetting
from bitbudget.reporting.evidence import Evidence

log = logging.getLogger("bitbudget")

LEAST_PAGES, MOST_PAGES = 4, 6
FULL = 0.4  # of the last page, so that it does not look left over
LARGEST_GAP = 0.15  # of a page's height, blank, on any page but the last
AFTER_REFERENCES = 0.25  # what figures after the references are as bad as, as a gap
TRIES = 8  # how many optional units are taken away again, at most, to close gaps
WANTED = 2  # rank up to which a unit is not taken away again to close a gap
OWN_WORKS = typesetting.TEMPLATES.parent / "references.bib"
AUTHORS_WORKS = "references.bib"
Words = Mapping[str, list[Node]]


@dataclass(frozen=True)
class Section:
    title: str
    units: Sequence[Unit]
    numbered: bool = True


@dataclass(frozen=True)
class Paper:
    """All that a paper could say; `data` chooses from it."""

    title: str
    authors: Sequence[Mapping[str, Any]]
    demo: str | None
    abstract: Sequence[Node]
    sections: Sequence[Section]
    bibliography: str
    assets: Mapping[str, Path]

    def ranks(self) -> list[tuple[int, int, int]]:
        """The optional units, most wanted first: their rank and where they stand."""
        found = [
            (unit.rank, i, j)
            for i, section in enumerate(self.sections)
            for j, unit in enumerate(section.units)
            if unit.rank > 0
        ]
        return sorted(found)

    def data(self, optional: int, flush: bool = True) -> dict[str, Any]:
        """What the template reads, with so many optional units; `flush` puts all figures before the references."""
        chosen = set(self.ranks()[:optional])
        sections = []
        for i, section in enumerate(self.sections):
            blocks = [
                block
                for j, unit in enumerate(section.units)
                if unit.rank == 0 or (unit.rank, i, j) in chosen
                for block in unit.blocks
            ]
            sections.append({"title": section.title, "numbered": section.numbered, "blocks": blocks})
        return {
            "title": self.title,
            "authors": [
                {"name": one["name"], "affiliation": one.get("affiliation"), "email": one.get("email")}
                for one in self.authors
            ],
            "demo": self.demo,
            "abstract": list(self.abstract),
            "sections": sections,
            "bibliography": self.bibliography,
            "flush": flush,
        }


def assemble(report: Mapping[str, Any], studies: Sequence[Evidence], folder: Path | None) -> Paper:
    """The paper of one study or several, of which the first owns it; `folder` holds the author's own words.

    Raises `UserError` for a file of words that is no section's, a broken bibliography, or a citation of no known work.
    """
    several = len(studies) > 1
    views = [View(evidence, number, several) for number, evidence in enumerate(studies, start=1)]
    words = markdown.read_words(folder)
    works = bibliography.read(OWN_WORKS)
    theirs = folder / AUTHORS_WORKS if folder else None
    authors_works = bibliography.read(theirs) if theirs and theirs.exists() else {}
    bibliography.check_cited(markdown.cited(dict(words)), works | authors_works, f"your own words in {folder}")
    drawn = {name: path for view in views for name, path in examples.assets(view).items()}
    return Paper(
        title=report.get("title") or opening.title(views),
        authors=report.get("authors") or [],
        demo=opening.demo(views),
        abstract=[*words.get("abstract", []), opening.abstract(views)],
        sections=_sections(views, words),
        bibliography=bibliography.joined(works, authors_works),
        assets=figures.assets(views) | drawn,
    )


def _sections(views: Sequence[View], words: Words) -> list[Section]:
    def own(name: str) -> list[Unit]:
        return [Unit(words[name])] if words.get(name) else []

    found = [
        Section("Introduction", [*own("introduction"), Unit(opening.introduction(views))]),
        Section("Background", [*own("background"), *background.units(views)]),
    ]
    if len(views) == 1:
        found.append(Section("Methods", [*own("methods"), *methods.units(views[0]), *methods.shared_units(views)]))
        found.append(Section("Results", [*own("results"), *_results(views[0])]))
    else:
        found.append(Section("Methods", [*own("methods"), *methods.shared_units(views)]))
        for view in views:
            task = opening.TASKS[view.e.track]
            opened = own("results") if view.number == 1 else []
            title = f"{task[:1].upper()}{task[1:]}: {view.e.name}"
            found.append(Section(title, [*opened, *methods.units(view), *_results(view)]))
    found.append(Section("Discussion", [*own("discussion"), *discussion.units(views, words)]))
    found.append(Section("Conclusion", [*own("conclusion"), Unit(opening.conclusion(views))]))
    thanks = own("acknowledgements")
    return [*found, *([Section("Acknowledgements", thanks, numbered=False)] if thanks else [])]


def _results(view: View) -> list[Unit]:
    return [
        *results.units(view),
        *examples.inspection_units(view),
        *examples.units(view),
        *extras.units(view),
    ]


def fitted(paper: Paper, template: Path) -> tuple[bytes, int]:
    """The PDF with as many of the optional units as fit on six pages and do not leave the last one nearly empty."""

    def set_with(optional: int) -> tuple[bytes, int]:
        return typesetting.compiled(template, paper.data(optional), paper.assets)

    most = len(paper.ranks())
    content, pages = set_with(0)
    if pages > MOST_PAGES:
        log.warning(
            "the paper has %d pages, more than %d, without anything that could be left out: shorten your own words.",
            pages,
            MOST_PAGES,
        )
        return content, pages
    low, high, best = 0, most, (content, pages)
    while low < high:  # pages do not become fewer with more in them
        middle = (low + high + 1) // 2
        tried = set_with(middle)
        if tried[1] <= MOST_PAGES:
            low, best = middle, tried
        else:
            high = middle - 1
    return _best_looking(paper, template, low) or best


def _best_looking(paper: Paper, template: Path, most: int) -> tuple[bytes, int] | None:
    """Of papers with up to so many optional units: the longest without large gaps, else that with the least."""
    wanted = sum(rank <= WANTED for rank, _, _ in paper.ranks())
    least: tuple[float, dict[str, Any]] | None = None
    for flush in (True, False):
        for optional in range(most, max(min(most, wanted), most - TRIES + 1) - 1, -1):
            data = paper.data(optional, flush)
            pages = typesetting.sketched(template, data, paper.assets)
            gap = max([page.gap for page in pages[:-1]] + [max(0.0, FULL - pages[-1].filled)])
            gap += 0.0 if flush else AFTER_REFERENCES
            if LEAST_PAGES <= len(pages) <= MOST_PAGES and (least is None or gap < least[0]):
                least = gap, data
            if least and least[0] <= LARGEST_GAP:
                break
        if least and least[0] <= LARGEST_GAP + AFTER_REFERENCES:
            break
    return typesetting.compiled(template, least[1], paper.assets) if least else None
