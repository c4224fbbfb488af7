"""Slides around the results: title, question, what was compared and how, verdict, limits, where everything is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget import registry
from bitbudget.measuring.circumstances import place
from bitbudget.publishing.appendix import facts, provenance
from bitbudget.publishing.slides import inspected, verdict
from bitbudget.publishing.slides.cells import ABSENT, Cell, apart_by, cells, counted, written
from bitbudget.publishing.slides.texts import stacked, table
from bitbudget.publishing.typesetting import texts
from bitbudget.publishing.typesetting.texts import sentences, shortened, some
from bitbudget.telling import across, wording
from bitbudget.telling.evidence import Evidence

Slide = dict[str, Any]

NBSP = "\N{NO-BREAK SPACE}"
LETTERS = 170  # of a line
POINTS = 6  # of the limits
TITLE = 110


def title(report: Mapping[str, Any], studies: Sequence[Evidence]) -> Slide:
    """The first slide."""
    names = [study.name for study in studies]
    models = list(dict.fromkeys(model for study in studies for model in study.models))
    asked = f"What fewer bits cost {wording.listed(models[:3])}" if len(models) <= 3 else "What fewer bits cost"
    authors = []
    for author in report.get("authors") or []:
        where = f", {author['affiliation']}" if author.get("affiliation") else ""
        authors.append(shortened(f"{author['name']}{where}", 80))
    made = [one for study in studies for one in provenance.of_study(study)]
    demos = [study.name for study in studies if study.demo]
    return {
        "kind": "title",
        "title": shortened(report.get("title") or asked, TITLE),
        "study": shortened(f"{'studies' if len(names) > 1 else 'study'} {wording.listed(names)}", 110),
        "about": sentences(studies[0].study.get("description") or "", LETTERS) if len(studies) == 1 else "",
        "authors": authors[:5] + ([f"and {len(authors) - 5} more"] if len(authors) > 5 else []),
        "date": f"results of {provenance.dates(made)[1][:10]}",
        "demo": texts.demo_note(demos, len(studies)),
    }


def question(studies: Sequence[Evidence]) -> Slide:
    """Why fewer bits: what the baseline takes, in large numbers, or in a table where there are several cells."""
    every = cells(studies)
    first = every[0]
    lines = ["Fewer bits can save memory, time and energy, and can change answers."]
    if len(every) > 1:
        many = len(studies) > 1
        what = f"{len(studies)} studies, each with its baseline" if many else counted(every)
        rows = [_taken(cell) for cell in every]
        return table(
            f"How few bits are enough? {what}",
            "" if many else f"what they take in {first.evidence.baseline}",
            ["study" if many else apart_by(every), "baseline", "quality", "on disk", "latency"], "llrrr",
            rows, "verdicts.txt", lines if many else [*lines, verdict.rule(studies)],
        )  # fmt: skip
    chosen = first.recommended
    if chosen is not None and chosen["won"]:
        lines.insert(0, f"{chosen['precision']}: {wording.listed(chosen['won'])}. What does it lose?")
    return {
        "kind": "numbers",
        "title": f"How few bits are enough for {first.told['model']}?",
        "heading": f"what it takes in {first.evidence.baseline}",
        "numbers": [_number(first, metric) for metric in first.told["main_costs"]],
        "lines": [*lines, verdict.rule(studies)],
    }


def _taken(cell: Cell) -> list[str]:
    level = cell.level(cell.base)
    told = f"{level['text']} {cell.evidence.verdicts['label']}" if "text" in level else ABSENT
    costs = [written(cell.base, metric) for metric in ("size_on_disk", "latency")]
    return [stacked(cell.heading, 30), shortened(cell.evidence.baseline, 22), told, *costs]


def _number(cell: Cell, metric: str) -> dict[str, str]:
    cost = cell.cost(metric)
    note = f" ({cost['note']})" if cost["note"] else ""
    value = written(cell.base, metric)
    # a rate's name has its unit already
    short = value.removesuffix(f" {cost['unit']}") if cost["name"].startswith(cost["unit"]) else value
    return {"value": short, "label": f"{cost['name']}{note}"}


def compared(evidence: Evidence) -> Slide:
    """Which precisions, with the formats of their parts as the audit found them."""
    model = evidence.models[0]
    untold = facts.only_format(evidence.audits[model, evidence.baseline])
    rows = []
    for precision in evidence.precisions:
        audit = evidence.audits[model, precision]
        entry = evidence.entry(model, precision, evidence.conditions[0])
        bits = evidence.row(model, precision, evidence.conditions[0]).get("bits_per_weight")
        base = " (baseline)" if precision == evidence.baseline else ""
        simulated = "simulated: " if audit.get("simulated") else ""
        rows.append(
            [
                shortened(precision, 36) + base,
                shortened(simulated + facts.formats_in_short(audit, untold), 80),
                "\N{EN DASH}" if simulated else "unknown" if bits is None else f"{bits:.1f}",
                "\N{EN DASH}" if simulated else written(entry, "size_on_disk"),
            ]
        )
    passed = [one["passed"] for one in evidence.audits.values()]
    names = wording.listed(evidence.models) if len(evidence.models) <= 3 else f"{len(evidence.models)} models"
    others = len(evidence.precisions) - 1
    count = f"{others} precision{'s' * (others != 1)} against {evidence.baseline}" if others else evidence.baseline
    audited = f"As audited: {sum(map(bool, passed))} of {len(passed)} passed. Bits: per weight."
    if any(one.get("simulated") for one in evidence.audits.values()):
        audited += " \N{EN DASH}: simulated by rounding, without a size."
    if len(evidence.models) > 1:
        audited += f" Shown: {model}."
    columns = ["precision", f"formats (the rest: {untold})" if untold else "formats", "bits", "on disk"]
    where = "audit.json of each"
    return table(f"{names}: {count}", evidence.name, columns, "llrr", rows, where, [audited], 10, wraps=True)


def measured(studies: Sequence[Evidence]) -> Slide:
    """How quality and costs were measured."""
    first, places = studies[0], _places(studies)
    lines = [_data(one, len(studies) == 1) for one in studies[:3]]
    left = len(studies) - 3
    lines += [f"And {left} more {'study' if left == 1 else 'studies'}: see appendix.pdf."] * (left > 0)
    lines += first.prepared
    lines += _left_out(studies)
    lines += [_quality_measured(studies)]
    how = f"one item at a time, apart from quality, on {some(places, 2, '; on ')}" if places else ABSENT
    lines += [f"Speed: {how}", _energy_measured(studies)]
    lines.append("Audit: formats and weights of every loaded checkpoint, layer by layer")
    one = f"Every precision answers the same {first.n} {first.verdicts['item']}s"
    return {
        "kind": "points",
        "title": one if len(studies) == 1 else "Every precision of a study answers the same items",
        "heading": "",
        "lines": _pointed(lines),
    }


def _pointed(lines: Sequence[str]) -> list[dict[str, str]]:
    """Points in whole sentences, each with what it is about."""
    return [{"head": head, "text": sentences(text, LETTERS)} for head, text in map(_split, filter(None, lines))]


def _split(line: str) -> tuple[str, str]:
    head, mark, text = line.partition(": ")
    return (f"{head}:", text) if mark and len(head) <= 30 else ("", line)


def _left_out(studies: Sequence[Evidence]) -> list[str]:
    """The precisions that could not run on a study's machine."""
    names = [one["precision"] for study in studies for one in study.verdicts["machine"]["left_out"]]
    return [f"Left out: {some(list(dict.fromkeys(names)), 3)}, for the reasons in verdicts.txt"] if names else []


def _data(evidence: Evidence, alone: bool) -> str:
    subset = evidence.subset
    verdicts = evidence.verdicts
    who = "Data" if alone else f"Data of {evidence.name}" if len(evidence.name) <= 20 else evidence.name
    shots = f", {' and '.join(evidence.conditions)}" if len(evidence.conditions) > 1 else ""
    return (
        f"{who}: {len(subset['ids'])} of {subset['n_available']} {verdicts['item']}s of {subset['dataset']} "
        f"({subset['split']}), seed {subset['seed']}{shots}"
    )


def _quality_measured(studies: Sequence[Evidence]) -> str:
    resamples = [one.comparison.get("resamples", {}).get(one.primary) for one in studies]
    clusters, labels = (
        wording.listed(list(dict.fromkeys(one.verdicts[name] for one in studies))) for name in ("clusters", "label")
    )
    drawn = "bootstrap"
    if all(resamples):
        drawn = f"{max(resamples):,} bootstrap resamples over {clusters}".replace(",", NBSP)
    return f"Quality: {labels}, paired with the baseline's; 95 % intervals from {drawn}, Holm's correction"


def _places(studies: Sequence[Evidence]) -> list[str]:
    """On what the costs were measured."""
    return list(dict.fromkeys(text for study in studies for row in study.summary if (text := place(row))))


def _energy_measured(studies: Sequence[Evidence]) -> str:
    found = dict.fromkeys(
        f"{row['energy_how']} by {row['energy_source']}"
        + (f" ({row['energy_scope']})" if row.get("energy_scope") else "")
        for study in studies
        for row in study.summary
        if row.get("energy_how")
    )
    return f"Energy: {some(list(found), 2, '; ')}" if found else f"Energy: {ABSENT}"


def limits(studies: Sequence[Evidence]) -> Slide:
    """What the results do not show, and what may go wrong: so many points as can be read."""
    every = cells(studies)
    first = every[0]
    note = texts.demo_note([study.name for study in studies if study.demo], len(studies))
    simulated = list(dict.fromkeys(one["precision"] for cell in every for one in cell.entries if one["simulated"]))
    disturbed = list(dict.fromkeys(cell.told["disturbed"] for cell in every if cell.told["disturbed"]))
    remarks = list(dict.fromkeys(remark for cell in every for remark in cell.told["remarks"]))
    names = f"{some(simulated, 3)} {'is' if len(simulated) == 1 else 'are'}"
    # the more important first: the last give way
    lines = [
        f"Demo: {note}" if note else "",
        *(f"Timings: {said}" for said in disturbed[:1]),
        f"Small differences: {_where(first)}{first.told['detectable']}",
        f"Costs: {_machine(studies)}",
        *(f"Measured: {remark}" for remark in remarks[:1]),
        *inspected.lines([next(cell for cell in every if cell.evidence is study) for study in studies]),
        f"Risk: {_risk(studies)}",
        f"Simulated: {names} only rounded, with no claim of size, speed or energy" if simulated else "",
        _prompts(studies),
        f"Noise: {first.told['noise_floor']}",
    ]
    return {
        "kind": "points",
        "title": "What this does not show, and what can go wrong",
        "heading": "",
        "lines": _pointed([line for line in lines if line][:POINTS]),
    }


def _where(cell: Cell) -> str:
    """Of which study, model and condition something is said, where there are several: "in coco, for m, "."""
    study = f"in {cell.evidence.name}" if cell.among else ""
    return "".join(f"{part}, " for part in (study, across.place(cell.told)) if part)


def _machine(studies: Sequence[Evidence]) -> str:
    """On what the costs hold."""
    found = _places(studies)
    estimated = any(row["energy_how"] == "estimated" for study in studies for row in study.summary)
    many = "this machine" if len(found) == 1 else f"these {len(found)} kinds of runs"
    told = f"those of {many}: {some(found, 2, '; ')}" if found else ABSENT
    return f"{told}; energy is estimated" if estimated else told


def _prompts(studies: Sequence[Evidence]) -> str:
    """To which prompts the answers were given; empty where there was none."""
    asked = {one["prompt"] for study in studies for one in study.predictions.values() if one.get("prompt")}
    if not asked:
        return ""
    conditions = list(dict.fromkeys(name for study in studies for name in study.conditions))
    how = f", {wording.listed(conditions)}" if len(conditions) > 1 else ""
    many = "one prompt" if len(asked) == 1 else f"{len(asked)} prompts"
    return f"Prompts: the answers are to {many}{how}; others may lose more or less"


def _risk(studies: Sequence[Evidence]) -> str:
    risks = [registry.module_of("track", study.track).RISK_IN_SHORT for study in studies]
    return "; ".join(list(dict.fromkeys(risks))[:2])


def ending(report: Mapping[str, Any], studies: Sequence[Evidence]) -> Slide:
    """Where everything is."""
    lines = [
        "index.html: every item with all answers side by side",
        "paper.pdf: everything in sentences, with references",
        "appendix.pdf: machine, versions, seeds, commit",
        "summary.csv: all numbers",
        f"{studies[0].name}.zip: code, settings and results, to run it again",
    ]
    mails = [f"{one['name']}: {one['email']}" for one in report.get("authors") or [] if one.get("email")]
    lines += [f"Questions: {some(mails, 2, '; ')}"] if mails else []
    others = "; the other studies have folders beside it" if len(studies) > 1 else ""
    return {
        "kind": "points",
        "title": "Everything is there to check and to run again",
        "heading": shortened(f"In results/{studies[0].name}/{others}", 90),
        "lines": _pointed(lines),
    }
