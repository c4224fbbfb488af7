"""The paper as data: its sections from the studies and the author's own words, and as much of them as fits."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitbudget.publishing.paper import background, discussion, examples, extras, methods, nodes, opening, results
from bitbudget.publishing.paper.nodes import Node, Unit
from bitbudget.publishing.paper.view import View
from bitbudget.publishing.typesetting import bibliography, markdown, typst
from bitbudget.telling.evidence import Evidence

log = logging.getLogger("bitbudget")

LEAST_PAGES, MOST_PAGES = 4, 6


@dataclass(frozen=True)
class Type:
    """How closely the text is set."""

    size: float = 9.6  # points
    leading: float = 0.53  # between lines, in em
    margin: float = 1.8  # left and right, in cm


# What is tried where everything is too much, may look better than the first, or is too little.
SET, SMALLER = Type(), (Type(9.3), Type(9.0))
NEARBY, NEARBY_TRIES = (Type(10.0), Type(9.3)), 2  # for so many numbers of optional units
LARGER = (
    Type(10.0), Type(10.4), Type(10.8, 0.6, 2.0), Type(11.0, 0.66, 2.2), Type(11.2, 0.72, 2.4), Type(11.6, 0.76, 2.6),
    Type(12.0, 0.8, 2.6), Type(12.0, 0.95, 2.8), Type(12.0, 1.1, 3.0),
)  # fmt: skip
FULL = 0.3  # of the last page, so that it does not look left over
LARGEST_GAP = 0.1  # of a page's height, blank in either column of any page but the last
ONLY_REFERENCES = 0.5  # what a page of references alone is as bad as, as a gap
TRIES = 6  # how many optional units are taken away again, at most, to close gaps
WANTED = 2  # rank up to which a unit is not taken away again to close a gap
WIDTH, PAPER, TOP, LINE = 595.3, 841.9, 53.9, 11.0  # points: a page, its upper margin, a line of the references
BALANCINGS = 4  # tries to let the columns of the last page end together
# Of several studies, what is left out first, and the record that a sentence names instead.
SHORTER = {"formats": "audit.json of each checkpoint", "costs": "summary.csv"}
SHORTER_RANK = 3
OWN_WORKS = typst.TEMPLATES.parent / "references.bib"
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
    works: Mapping[str, str]  # entries of a .bib file by their keys
    assets: Mapping[str, typst.Asset]
    own_words: bool = False  # whether the author wrote any

    def ranks(self) -> list[tuple[int, int, int]]:
        """The optional units, most wanted first: their rank and where they stand."""
        found = [
            (unit.rank, i, j)
            for i, section in enumerate(self.sections)
            for j, unit in enumerate(section.units)
            if unit.rank > 0
        ]
        return sorted(found)

    def data(self, optional: int, how: Type = SET, balance: float = 0.0) -> dict[str, Any]:
        """What the template reads, with so many optional units, set in this type.

        `balance` is the height in points that stays free below the end of the last page.
        """
        chosen = set(self.ranks()[:optional])
        sections = []
        for i, section in enumerate(self.sections):
            blocks = [
                block
                for j, unit in enumerate(section.units)
                if unit.rank == 0 or (unit.rank, i, j) in chosen
                for block in unit.blocks
            ]
            sections.append({"title": section.title, "numbered": section.numbered, "blocks": nodes.flowing(blocks)})
        there = {block["label"] for section in sections for block in section["blocks"] if "label" in block}
        return {
            "title": self.title,
            "authors": [
                {"name": one["name"], "affiliation": one.get("affiliation"), "email": one.get("email")}
                for one in self.authors
            ],
            "demo": self.demo,
            "abstract": list(self.abstract),
            "sections": _without_lost(sections, there),
            "bibliography": bibliography.joined(self.works),
            "size": how.size,
            "leading": how.leading,
            "margin": how.margin,
            "balance": round(balance, 1),
        }


def _without_lost(data: Any, there: set[str]) -> Any:
    """The same with references to what was left out as the name of the record that has it."""
    if isinstance(data, list):
        return [_without_lost(one, there) for one in data]
    if not isinstance(data, dict):
        return data
    if data.get("t") == "ref" and data["to"] not in there:
        return {"t": "s", "text": SHORTER.get(data["to"].rpartition("-")[0], "summary.csv")}
    return {key: _without_lost(value, there) for key, value in data.items()}


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
    sections = _sections(views, words, report.get("code_address"))
    pictures = {name: path for view in views for name, path in examples.assets(view).items()}
    return Paper(
        title=report.get("title") or opening.title(views),
        authors=report.get("authors") or [],
        demo=opening.demo(views),
        abstract=[*words.get("abstract", []), opening.abstract(views)],
        sections=sections,
        works=works | authors_works,
        assets=pictures | {name: chart for view in views for name, chart in view.charts.items()},
        own_words=bool(words),
    )


def _sections(views: Sequence[View], words: Words, address: str | None) -> list[Section]:
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
            task = view.says("TASK")
            opened = own("results") if view.number == 1 else []
            title = f"{task[:1].upper()}{task[1:]}: {view.e.name}"
            found.append(Section(title, _shorter([*opened, *methods.units(view), *_results(view)])))
    found.append(Section("Discussion", [*own("discussion"), *discussion.units(views, words)]))
    found.append(Section("Conclusion", [*own("conclusion"), Unit(opening.conclusion(views))]))
    found.append(Section("Availability", [Unit([_available(views[0].e.name, address)])], numbered=False))
    thanks = own("acknowledgements")
    return [*found, *([Section("Acknowledgements", thanks, numbered=False)] if thanks else [])]


def _available(study: str, address: str | None) -> Node:
    """Where readers find the code, and what the numbers were made from."""
    if address is None:
        return nodes.p(
            "The code, its configuration and the records behind every number are in {study}.zip beside this paper.",
            study=study,
        )
    link = {"t": "link", "url": address, "c": nodes.text(address)}
    rest = "The configuration and the records behind every number are in {study}.zip beside this paper."
    return nodes.paragraph([*nodes.text("The code is at "), link, *nodes.text(".")], nodes.inline(rest, study=study))


def _results(view: View) -> list[Unit]:
    return [
        *results.units(view),
        *examples.inspection_units(view),
        *examples.units(view),
        *extras.units(view),
    ]


def _shorter(units: Sequence[Unit]) -> list[Unit]:
    """The units of one study among several: tables that its records hold as well may be left out."""
    found = []
    for unit in units:
        tables = [block for block in unit.blocks if block.get("label", "").rpartition("-")[0] in SHORTER]
        rest = [block for block in unit.blocks if block not in tables]
        if unit.rank or not tables:
            found.append(unit)
            continue
        found += [Unit(rest)] if rest else []
        found += [Unit([table], SHORTER_RANK) for table in tables]
    return found


@dataclass(frozen=True)
class Layout:
    """A paper as it was set: what it was made from, its number of pages, and how much of it looks left over."""

    data: Mapping[str, Any]
    pages: int
    fault: float


def fitted(paper: Paper, template: Path) -> tuple[bytes, int]:
    """The PDF with as many of the optional units as fit on six pages and look well."""

    @functools.cache
    def pages_with(optional: int, how: Type) -> int:
        return typst.compiled(template, paper.data(optional, how), paper.assets)[1]

    ranks = [rank for rank, _, _ in paper.ranks()]
    most, how = len(ranks), SET
    low, high = 0, most
    if pages_with(most, SET) <= MOST_PAGES:
        low = most
    else:
        first = ranks.count(min(ranks, default=0))
        closest = (SET, *SMALLER)
        how = next((one for one in closest if pages_with(first, one) <= MOST_PAGES), closest[-1])
        if pages_with(0, how) > MOST_PAGES:
            return _too_long(paper, template)
    while low < high:  # pages do not become fewer with more in them
        middle = (low + high + 1) // 2
        low, high = (middle, high) if pages_with(middle, how) <= MOST_PAGES else (low, middle - 1)
    if low == most:
        long_enough = [one for one in (how, *LARGER) if one == how or pages_with(most, how) < LEAST_PAGES]
        long_enough = [one for one in long_enough if pages_with(most, one) >= LEAST_PAGES] or [LARGER[-1]]
        if how not in long_enough:  # nothing can be left out: of the larger types, that which looks best
            log.warning("there is little to say, so the text is set large: words of your own would fill the pages.")
            best = min((_balanced(paper, template, most, one) for one in long_enough), key=lambda one: one.fault)
            return typst.compiled(template, best.data, paper.assets)
    best = _best_looking(paper, template, low, how)
    return typst.compiled(template, best.data, paper.assets)


def _too_long(paper: Paper, template: Path) -> tuple[bytes, int]:
    content, pages = typst.compiled(template, paper.data(0), paper.assets)
    log.warning(
        "the paper has %d pages, more than %d, without anything that could be left out: %s.",
        pages,
        MOST_PAGES,
        "shorten your own words" if paper.own_words else "report fewer studies together",
    )
    return content, pages


def _best_looking(paper: Paper, template: Path, most: int, how: Type) -> Layout:
    """Of papers with up to so many optional units: the longest without large gaps, else that with the least."""
    wanted = sum(rank <= WANTED for rank, _, _ in paper.ranks())
    best: Layout | None = None
    for tried, optional in enumerate(range(most, max(min(most, wanted), most - TRIES + 1) - 1, -1)):
        for one in (how, *(NEARBY if how == SET and tried < NEARBY_TRIES else ())):
            found = _balanced(paper, template, optional, one)
            allowed = LEAST_PAGES <= found.pages <= MOST_PAGES
            if best is None or (allowed and found.fault < best.fault):
                best = found
            if best.fault <= LARGEST_GAP:
                return best
    assert best is not None
    return best


def _balanced(paper: Paper, template: Path, optional: int, how: Type) -> Layout:
    """The paper whose last page has columns that end together, as far as what floats lets them."""
    data = paper.data(optional, how)
    pages = typst.sketched(template, data, paper.assets)
    whole = (1 - typst.MARGIN) * PAPER
    apart = abs(pages[-1].ends[0] - pages[-1].ends[1])
    ends = [max(end * whole, TOP) for end in pages[-1].ends]
    free = whole - sum(ends) / 2 - LINE
    for _ in range(BALANCINGS):
        if apart * whole < 2 * LINE or free < LINE:
            break
        tried = paper.data(optional, how, free)
        drawn = typst.sketched(template, tried, paper.assets)
        now = abs(drawn[-1].ends[0] - drawn[-1].ends[1])
        if len(drawn) == len(pages) and now < apart:
            data, pages, apart = tried, drawn, now
            break
        free -= LINE
    last = pages[-1]
    fault = max([page.gap for page in pages[:-1]] + [FULL - last.filled, apart])
    if _references_alone(typst.told(template, data, paper.assets, "references"), len(pages)):
        fault += ONLY_REFERENCES
    return Layout(data, len(pages), fault)


def _references_alone(begin: Mapping[str, Any], pages: int) -> bool:
    """Whether the last page has nothing but references, from where they begin; an own template may not tell."""
    if not begin:
        return False
    top_of_page = begin["left"] < WIDTH / 2 and begin["top"] < TOP + 2 * LINE
    return begin["page"] < pages or (begin["page"] == pages and top_of_page)
