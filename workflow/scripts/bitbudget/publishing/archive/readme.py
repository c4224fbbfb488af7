"""The page on top of an archive: what is in it, how to look at it, how to check it, and how to run it again."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bitbudget import files
from bitbudget.publishing.archive.code import Code
from bitbudget.publishing.archive.contents import PICTURES, Study
from bitbudget.publishing.archive.package import MANIFEST
from bitbudget.publishing.archive.pictures import TABLE, UNKNOWN

WORK = "bitbudget"  # the working folder in the archive
SHOWN_CHANGES = 12
LOOK = (
    ("index.html", "the results page: verdicts, tables, plots, examples; open it in a browser, no network needed"),
    ("paper.pdf", "the paper"),
    ("paper.md", "the same as Markdown, with all that the paper could say, for a LaTeX or Word template of your own"),
    ("slides.pdf", "the slides"),
    ("appendix.pdf", "one page on hardware, versions, seeds, data and licences"),
    ("summary.csv", "one row per precision"),
    ("verdicts.txt", "what each precision loses and wins, in words"),
    ("flagged.csv", "answers that a person should look at"),
    ("figures/", "every figure, as svg and png"),
    (TABLE, "source, credit and licence of every picture"),
)


def text(studies: Sequence[Study], code: Code, needed: Sequence[str], unread: Sequence[str] = ()) -> str:
    """README.md of the archive of the first of these studies, told of together with the others.

    `needed` are the user's own files that have to be put back before anything runs, and `unread` those that are left
    out because no personal string could be replaced in them.
    """
    needed = sorted({*needed, *unread})
    first = studies[0]
    parts = [
        _what_this_is(studies, code),
        _how_to_look(studies),
        _how_to_check(studies),
        _one_file_again(first, needed),
        _everything_again(studies, needed),
        _left_out(studies, unread),
        *([_pictures(studies)] if any(study.pictures for study in studies) else []),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _what_this_is(studies: Sequence[Study], code: Code) -> Iterator[str]:
    first = studies[0]
    title = first.resolved.get("report", {}).get("title")
    yield f"# {_line(title)}" if title else f"# Study {first.name}"
    yield ""
    yield (
        f"What is lost and what is won when a model runs in fewer bits: everything that study `{first.name}` is and "
        f"found. The folder `{WORK}/` holds the workflow's code with its configuration, and the results in "
        f"`{WORK}/results/`."
    )
    yield ""
    for study in studies:
        yield f"- study `{study.name}` ({study.resolved['track']}): {_line(study.resolved['description'])}"
        if study.resolved["demo"]:
            yield "  - This is a demo study: its models and data are made by the project itself and are small."
        verdicts = files.read_json(study.folder / "verdicts.json")
        for cell in verdicts["cells"]:
            yield from _found(cell)
        for one in verdicts["machine"]["left_out"]:
            yield f"  - {_line(one['sentence'])}"
    address = first.resolved.get("report", {}).get("code_address")
    yield f"- code: {f'{address}, ' if address else ''}{_commit(code)}"
    yield from _changes(code)
    made, machines = _provenance(studies)
    yield f"- results made at: {', '.join(made)}"
    yield f"- measured on: {'; '.join(machines)}"


def _found(cell: Mapping[str, Any]) -> Iterator[str]:
    """What the verdicts say of one model and condition."""
    name = f"{cell['model']}, {cell['condition']}"
    yield f"  - {name}: {_line(cell['outcome']['sentence'])}"
    for profile in cell["profiles"]:
        least = f"least {profile['prefer']}: " if len(cell["profiles"]) > 1 else ""
        # "nothing is recommended" says so itself
        recommended = "recommended: " if profile["precision"] else ""
        yield f"  - {name}: {least}{recommended}{_line(profile['sentence'])}"
    if cell["disturbed"]:
        yield f"  - {name}: {_line(cell['disturbed'])}"


def _commit(code: Code) -> str:
    if code.commit is None:
        return "of a commit that nobody noted (it was neither a git checkout nor an unpacked archive)"
    return f"commit `{code.commit}`{', with local changes' if code.changed else ''}"


def _changes(code: Code) -> Iterator[str]:
    """The local changes; they are in the archive as they are."""
    for name in code.changed[:SHOWN_CHANGES]:
        yield f"  - `{name}`{'' if name in code.files else ' (deleted)'}"
    if len(code.changed) > SHOWN_CHANGES:
        yield f"  - and {len(code.changed) - SHOWN_CHANGES} more"


def _provenance(studies: Sequence[Study]) -> tuple[list[str], list[str]]:
    """The commits and the machines that the measurements name, each with how often where there are several."""
    commits: Counter[str] = Counter()
    machines: Counter[str] = Counter()
    for study in studies:
        for name in study.shipped:
            if not name.endswith("/measurements.json"):
                continue
            about = files.read_json(study.folder / name).get("provenance", {})
            commits[_made_at(about.get("commit"))] += 1
            machines[_machine(about.get("hardware", {}))] += 1
    return _counted(commits), _counted(machines)


def _counted(seen: Counter[str]) -> list[str]:
    if len(seen) == 1:
        return list(seen)
    return [f"{what} ({number} of {seen.total()} measurements)" for what, number in seen.most_common()]


def _made_at(commit: str | None) -> str:
    if not commit:
        return "a commit that the records do not name"
    return f"commit `{commit.removesuffix('+')}`{', with local changes' if commit.endswith('+') else ''}"


def _machine(hardware: Mapping[str, Any]) -> str:
    gpus = [f"{gpu['name']} (driver {gpu['driver']})" for gpu in hardware.get("gpus", [])]
    memory = f"{hardware['memory_mib'] / 1024:.0f} GiB of memory" if "memory_mib" in hardware else None
    cores = f"{hardware['cores']} cores" if "cores" in hardware else None
    known = [hardware.get("cpu"), cores, memory, *(gpus or ["no GPU"])]
    return ", ".join(_line(one) for one in known if one)


def _how_to_look(studies: Sequence[Study]) -> Iterator[str]:
    yield "## Look at it"
    yield ""
    for study in studies:
        there = {name.split("/")[0] for name in study.shipped} | ({TABLE} if study.pictures else set())
        yield f"In `{WORK}/results/{study.name}/`:"
        yield ""
        yield "| file | what it is |\n|---|---|"
        for name, what in LOOK:
            if name.removesuffix("/") in there:
                yield f"| [`{name}`]({WORK}/results/{study.name}/{name}) | {what} |"
        yield ""
    yield f"`{WORK}/results/README.md` says what every file is."


def _how_to_check(studies: Sequence[Study]) -> Iterator[str]:
    yield "## Check that it is whole"
    yield ""
    yield f"`{MANIFEST}` has the SHA-256 checksum of every file, this page's too. In the folder of this page:"
    yield ""
    yield f"    sha256sum --check --quiet {MANIFEST}"
    for study in studies:
        if study.redacts:
            yield ""
            yield (
                f"The texts of study `{study.name}` are redacted: {study.redacted_why} Files in which something was "
                "replaced are therefore not byte for byte those that the results were made from, and scores made again "
                "from them may differ; the results themselves were made from the texts as they were."
            )


def _one_file_again(first: Study, needed: Sequence[str]) -> Iterator[str]:
    yield "## Make one file again"
    yield ""
    yield (
        "Tables, verdicts, figures, the paper, the appendix and the slides are made again from the records that are "
        f"here; no model runs. In `{WORK}/`, with Python 3.11 or newer and `make` (the first call installs the "
        "packages of `requirements.lock` into `.venv`):"
    )
    yield ""
    yield f"    make again STUDY={first.name} TARGET=results/{first.name}/figures/quality.svg"
    yield ""
    yield "In an environment of your own, run Snakemake's command that this target of the `Makefile` shows."
    yield from _put_back(needed)


def _everything_again(studies: Sequence[Study], needed: Sequence[str]) -> Iterator[str]:
    yield "## Run the whole again"
    yield ""
    yield "Put the results away, so that everything is made anew, and compare afterwards:"
    yield ""
    for study in studies:
        yield f"    mv results/{study.name} {study.name}.as-shipped"
    # the others first: the first one's report tells of them
    names = [study.name for study in (*studies[1:], studies[0])]
    picked = names[0] if len(names) == 1 else shlex.quote(f"[{','.join(names)}]")
    yield f"    make run STUDY={picked}"
    yield ""
    if all(study.resolved["demo"] for study in studies):
        yield "It needs no network (but for installing packages once), no GPU and no account."
    else:
        yield "It downloads these, at the revisions that the configuration and the records name:"
        yield ""
        for what, licence in sorted(_downloads(studies)):
            yield f"- {what}{f' (licence: {licence})' if licence else ''}"
    yield from _put_back(needed)


def _downloads(studies: Sequence[Study]) -> set[tuple[str, str]]:
    found = set()
    for study in studies:
        data = study.resolved["dataset"]
        found.add((f"data set {data['name']}", data.get("licence", "")))
        found |= {(f"model {name}", entry.get("licence", "")) for name, entry in study.resolved["models"].items()}
    return found


def _put_back(needed: Sequence[str]) -> Iterator[str]:
    if needed:
        yield ""
        yield "Before any of this, put back your own files, which are not in here, or correct their paths in the study:"
        yield ""
        yield from (f"- `{path}`" for path in needed)


def _left_out(studies: Sequence[Study], unread: Sequence[str]) -> Iterator[str]:
    yield "## What is not in here"
    yield ""
    left_out = sum((study.left_out for study in studies), Counter())
    for reason, number in sorted(left_out.items()):
        if reason:
            yield f"- {reason} ({number} file{'s' if number > 1 else ''})"
    for name in unread:
        yield f"- `{name}`, your own: it is of no kind in which personal strings can be replaced"
    yield "- data sets and models' weights (`resources/`) but for the demo models, which are part of the code"
    if left_out[PICTURES]:
        yield ""
        yield "To make the results page again, or a figure that shows pictures, run the whole again first."


def _pictures(studies: Sequence[Study]) -> Iterator[str]:
    """What is done with pictures, which are other people's."""
    yield "## Pictures"
    yield ""
    yield (
        "The paper (with `paper_pictures/`), the slides and `figures/` quote single pictures as examples. Beyond "
        "these, only pictures are here that everybody may pass on as resized copies: those under CC0, CC BY or CC "
        "BY-SA, in the public domain, or the author's own. Where a licence forbids changes (ND) or commercial use "
        "(NC), or is not known, the picture is taken out of `images/` and the results page, and `spot_check.html` is "
        f"left out. `{TABLE}` has the source, the credit and the licence of every picture; name them where you pass "
        "one on."
    )
    for study in studies:
        if study.pictures:
            free = sum(one.free for one in study.pictures)
            counted = Counter(one.licence or UNKNOWN for one in study.pictures)
            listed = "; ".join(f"{_line(licence)}: {number}" for licence, number in counted.most_common())
            yield ""
            yield f"- `{study.name}`: {free} of {len(study.pictures)} pictures may be passed on ({listed})"


def _line(words: str) -> str:
    """Words on one line."""
    return " ".join(str(words).split())
