"""The appendix as data for its template, and how it is made to fit on one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitbudget.errors import UserError
from bitbudget.publishing.appendix import facts, provenance
from bitbudget.publishing.typesetting import texts
from bitbudget.telling import wording
from bitbudget.telling.evidence import Evidence

Data = dict[str, Any]

# Sizes of type in points, from the one that reads best to the smallest that can still be read on paper.
SIZES = (9.0, 8.5, 8.0, 7.5, 7.0, 6.5, 6.0)
NBSP = "\N{NO-BREAK SPACE}"
RULED = f"{facts.SIMULATED}: simulated by rounding, so no size is claimed."
HASH = 16  # most digits of a checkpoint's hash


@dataclass(frozen=True)
class Shortening:
    """How much is left out: None is nothing."""

    checksums: int | None = None  # of a data set
    rows: int | None = None  # of the table of checkpoints, of a study
    digits: int = 64  # of a checksum
    letters: int | None = None  # of a prompt, or of a list of parameters
    settings: bool = True  # how speed was measured
    studies: int | None = None


# From nothing on, always the next where the page does not hold what is there.
LEVELS = (
    Shortening(),
    Shortening(digits=16),
    Shortening(digits=16, letters=300),
    Shortening(checksums=2, digits=16, letters=200),
    Shortening(checksums=1, rows=12, digits=12, letters=150),
    Shortening(checksums=1, rows=8, digits=12, letters=120, settings=False),
    Shortening(checksums=1, rows=5, digits=12, letters=100, settings=False),
    Shortening(checksums=0, rows=3, digits=12, letters=80, settings=False),
    Shortening(checksums=0, rows=2, digits=8, letters=60, settings=False),
    Shortening(checksums=0, rows=1, digits=8, letters=60, settings=False),
    Shortening(checksums=0, rows=1, digits=8, letters=60, settings=False, studies=5),
    Shortening(checksums=0, rows=0, digits=8, letters=40, settings=False, studies=3),
    Shortening(checksums=0, rows=0, digits=8, letters=40, settings=False, studies=1),
)


def data(
    report: Mapping[str, Any],
    studies: Sequence[Evidence],
    own: Sequence[str],
    less: Shortening,
) -> Data:
    """What the template shows.

    `report` holds the title, the authors and the code's address, `studies` is not empty, `own` packages of the process
    that writes the page, with their versions.
    """
    made = [one for study in studies for one in provenance.of_study(study)]
    made.sort(key=lambda one: one.step != provenance.MEASURING)
    names = [study.name for study in studies]
    demos = [study.name for study in studies if study.demo]
    left = [] if less.studies is None else list(studies[less.studies :])
    shown = studies[: len(studies) - len(left)]
    code = report.get("code_address") or f"in {studies[0].name}.zip, handed in with this page"
    blocks = [_machines(made, studies), _software(made, own, code), _runs(made, studies)]
    blocks += [_study(study, less) for study in shown]
    if left:
        told = [f"{one.name} (indices {one.subset['subset_hash'][:12]})" for one in left]
        text = f"{wording.listed(told)}: see results/{{study}}/subset.json and audit.json of each."
        blocks.append({"heading": "Further studies", "pairs": [["not shown here", text]], "note": ""})
    return {
        "title": f"Appendix: {report.get('title') or wording.listed(names)}",
        "authors": ", ".join(author["name"] for author in report.get("authors") or []),
        "demo": texts.demo_note(demos, len(studies)),
        "blocks": blocks,
    }


def _machines(made: Sequence[provenance.Made], studies: Sequence[Evidence]) -> Data:
    machines = provenance.machines(made)
    pairs = []
    for hardware, steps in machines:
        every = "all steps" if len(machines) == 1 else ", ".join(steps)
        pairs.append([every, provenance.machine_in_words(hardware)])
    measurements = [record for study in studies for record in study.measurements.values()]
    pairs.append(["threads", provenance.threads(made, measurements)])
    note = "" if len(machines) == 1 else f"The records come from {len(machines)} machines; the first measured speed."
    return {"heading": "Hardware", "pairs": pairs, "note": note}


def _software(made: Sequence[provenance.Made], own: Sequence[str], code: str) -> Data:
    whole = [line.replace(" ", NBSP, 1) for line in provenance.packages(made)]
    pairs = [["packages", " · ".join(whole)]]
    if own:
        pairs.append(["this page", f"written with {' · '.join(own)}"])
    commits = provenance.commits(made)
    pairs.append(["code", code])
    pairs.append(["commit" + "s" * (len(commits) > 1), "; ".join(commits)])
    changed = any("+" in commit for commit in commits)
    return {
        "heading": "Software",
        "pairs": pairs,
        "note": "A commit with + had changes that were not committed." if changed else "",
    }


def _runs(made: Sequence[provenance.Made], studies: Sequence[Evidence]) -> Data:
    seeds = sorted({seed for study in studies for seed in _seeds(study)})
    first, last = provenance.dates(made)
    steps = provenance.seconds(made)
    told = [
        f"{step} {provenance.duration(total)} in {jobs} job{'s' * (jobs != 1)}" for step, (jobs, total) in steps.items()
    ]
    total = provenance.duration(sum(seconds for _, seconds in steps.values()))
    return {
        "heading": "Run",
        "pairs": [
            ["seed" + "s" * (len(seeds) > 1), f"{', '.join(map(str, seeds))} (items, order, bootstrap)"],
            ["dates", f"first record {first}, last record {last}"],
            ["run time", f"{total} in the records that this report reads: {', '.join(told)}"],
        ],
        "note": "",
    }


def _seeds(study: Evidence) -> set[int]:
    records = (study.subset, *study.predictions.values(), *study.measurements.values(), study.comparison)
    return {study.study["seed"], *(record["seed"] for record in records if "seed" in record)}


def _study(study: Evidence, less: Shortening) -> Data:
    digits = min(less.digits, HASH)
    rows = facts.checkpoints(study, digits)
    kept = rows if less.rows is None else rows[: less.rows]
    left = len(rows) - len(kept)
    where = f"results/{study.name}/{{model}}/{{precision}}/audit.json"
    cut = f"Checkpoints' hashes are cut to {digits} of their 64 digits; all stand in audit.json. "
    if less.digits < 64:
        cut = f"Checksums are cut to their first digits ({less.digits}, hashes {digits}); all stand in the records. "
    more = f"And {left} more checkpoint{'s' * (left != 1)}: see {where}. " if left else ""
    entries = study.study["models"].items()
    models = [facts.model(name, entry, study.models_fetched.get(name), less.digits) for name, entry in entries]
    return {
        "heading": f"Study {study.name}",
        "pairs": [
            *map(list, facts.data(study, less.checksums, less.digits)),
            ["model" + "s" * (len(models) > 1), "; ".join(models)],
            *map(list, facts.asked(study, less.letters)),
            ["quantizing", facts.quantizing(study, less.letters)],
            *([["measuring", facts.measuring(study)]] if less.settings else []),
            *map(list, facts.disturbed(study)),
        ],
        "table": {"columns": ["checkpoint", "on disk", "hash", "formats as audited", "kernel"], "rows": kept},
        "note": (cut + more + (RULED if any(row[1] == facts.SIMULATED for row in kept) else "")).strip(),
    }


def fitted(make: Callable[[Shortening], Data], pages: Callable[[Data], int]) -> Data:
    """The data that gives one page, with as little left out, and then in as large a type, as possible.

    `make` gives the data for a shortening, `pages` sets data and counts pages. Raises `UserError` where nothing fits.
    """
    for less in LEVELS:
        content = make(less)
        if pages(content | {"size": SIZES[-1]}) == 1:
            return next(sized for size in SIZES if pages(sized := content | {"size": size}) == 1)
    raise UserError("the appendix does not fit on one page; name fewer studies in `report: with`.")
