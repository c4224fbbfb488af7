"""How the numbers came about: models, formats as audited, data, prompts, measuring and statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbudget import wording
from bitbudget.paper import nodes
from bitbudget.paper.background import FAMILIES
from bitbudget.paper.nodes import Node, Unit
from bitbudget.paper.statistics import carbon, tests
from bitbudget.paper.view import View

HASH_SHOWN, REVISION_SHOWN = 16, 12  # hexadecimal digits
DATASETS = {
    "coco2017-captions": "COCO 2017 Captions [@lin2014coco; @chen2015captions]",
    "coco2017-detection": "COCO 2017 [@lin2014coco]",
    "nocaps": "nocaps [@agrawal2019nocaps]",
    "vqav2": "VQA v2 [@goyal2017vqa]",
    "textvqa": "TextVQA [@singh2019textvqa]",
    "vizwiz-vqa": "VizWiz-VQA [@gurari2018vizwiz]",
    "chartqa": "ChartQA [@masry2022chartqa]",
    "docvqa": "DocVQA [@mathew2021docvqa]",
    "lambada-openai": "LAMBADA [@paperno2016lambada] in the version of the GPT-2 authors [@radford2019language]",
    "lambada-standard": "LAMBADA [@paperno2016lambada]",
    "demo-scenes": "scenes of coloured shapes with five captions each, generated in the format of COCO "
    "[@chen2015captions]",
    "demo-questions": "questions about generated scenes with ten answers each, in the format of VQA v2 [@goyal2017vqa]",
    "demo-passages": "generated passages whose last word the context decides, in the format of LAMBADA "
    "[@paperno2016lambada]",
    "demo-boxes": "generated scenes with the box of every shape, in the format of COCO [@lin2014coco]",
}
SCORES = {
    "captioning": "Captions are scored by CIDEr [@vedantam2015cider], with the document frequencies of the evaluated "
    "references, and beside it by BLEU [@papineni2002bleu], ROUGE-L [@lin2004rouge], METEOR [@denkowski2014meteor] and "
    "SPICE [@anderson2016spice] as far as they could be computed.",
    "vqa": "Answers are normalised and scored against the answers that people gave [@antol2015vqa]; {label} is the "
    "primary metric.",
    "lambada": "Nothing is generated: the model reads the passage, and {label} asks whether the first token of the "
    "last "
    "word is among the tokens it gives the greatest logits. Perplexity is that of the whole last word.",
    "detection": "Boxes are scored by COCO's evaluation [@lin2014coco]; AP is the mean over IoU thresholds from .50 to "
    ".95 and over the categories that the chosen images show.",
}


def units(view: View) -> list[Unit]:
    """The study's own part: models and formats, data, prompts and decoding."""
    found = [Unit([*_models(view)]), Unit([formats_table(view)])]
    found.append(Unit([*_data(view)]))
    return found


def _models(view: View) -> list[Node]:
    lines = [nodes.h("Models and precisions")]
    said = []
    for name, about in view.e.study["models"].items():
        known = about | view.e.models_fetched.get(name, {})
        family = FAMILIES.get(about.get("family", ""), "{family}")
        revision = known.get("revision")
        where = known.get("source") or about.get("hub") or about.get("local") or about.get("url") or "an unnamed source"
        said.append(
            nodes.inline(
                "{name} is of the family " + family + " (from {where}{at}; licence {licence}).",
                name=name,
                family=about.get("family") or "that its file names",
                where=where,
                at=f", revision {revision[:REVISION_SHOWN]}" if revision else "",
                licence=known.get("licence") or "not stated",
            )
        )
    few = len(view.e.precisions) == 1
    text = (
        "It is evaluated in one precision, {names}."
        if few
        else "They are" if len(view.e.models) > 1 else "It is"
    )  # fmt: skip
    if not few:
        text += " evaluated in {n} precisions; {baseline} is the baseline against which the others are compared."
    facts = nodes.inline(
        text, names=view.e.baseline, n=len(view.e.precisions), baseline=view.e.baseline
    )  # fmt: skip
    failed = [precision for (model, precision), audit in view.e.audits.items() if not audit["passed"]]
    audited = nodes.inline(
        "A format is not taken at its word: every checkpoint is loaded, each module's storage type and kernel is "
        "compared with what was asked, and its weights are brought back and compared with the originals "
        f"([#{view.label('formats')}]). {{outcome}}",
        outcome="All checkpoints passed this audit."
        if not failed
        else f"The audit did not pass for {wording.listed(sorted(set(failed)))}; its results are to be read with care.",
    )
    return [*lines, nodes.paragraph(*said, facts, audited)]


def formats_table(view: View) -> Node:
    """What each precision's module groups hold, as audited, with the relative error of the weights."""
    rows = []
    for precision in view.e.precisions:
        audit = view.e.audits[view.model, precision]
        bits = view.e.row(view.model, precision, view.condition).get("bits_per_weight")
        shown_bits = f"{bits:.2f}" if bits is not None else "simulated" if audit["simulated"] else nodes.NOT_MEASURED
        rows.append(nodes.row(precision, _held(audit["groups"]), shown_bits, "passed" if audit["passed"] else "failed"))
    more = _more_models(view, "audit.json of each checkpoint")
    caption = nodes.inline(
        "Number formats by module group as audited in the loaded checkpoint{of}, with the relative error of the "
        "weights "
        "against the originals (in brackets, where the format rounds), and the bits that a weight takes with its "
        "scales.{more}",
        of=f" of {view.model}" if len(view.e.models) > 1 else "",
        more=more,
    )
    columns = [
        nodes.column("Precision"),
        nodes.column("Format of each module group (relative error)", wide=True),
        nodes.column("Bits/weight", "right"),
        nodes.column("Audit"),
    ]
    return nodes.table(view.label("formats"), caption, columns, rows)


def _held(groups: Mapping[str, Any]) -> list[Node]:
    """The formats of module groups: those that are rounded first, each with the groups that hold it."""
    held: dict[str, list[str]] = {}
    for group, about in groups.items():
        if about["bytes"]:
            error = about["relative_error"]
            shown = about["format"] + ("" if error is None else f" ({wording.percent(error)})")
            rest = " (rest)" if any(name.startswith(f"{group}.") for name in groups) else ""
            held.setdefault(shown, []).append(group + rest)
    ordered = sorted(held.items(), key=lambda one: "(" not in one[0])
    if len(ordered) == 1:
        names = ordered[0][1]
        where = "all groups: " if len(names) > 1 else f"{names[0]}: "
        return [*nodes.text(where), *nodes.whole(ordered[0][0])]
    found: list[Node] = []
    for i, (shown, names) in enumerate(ordered):
        found += nodes.text(f"{'; ' * (i > 0)}{', '.join(names)}: ") + nodes.whole(shown)
    return found


def _more_models(view: View, where: str) -> str:
    rest = view.e.models[1:]
    return f" The same of {wording.listed(rest)} is in {where}." if rest else ""


def _data(view: View) -> list[Node]:
    study, subset = view.e.study, view.e.subset
    name = study["dataset"]["name"]
    what = DATASETS.get(name, "{name}")
    available = subset.get("n_available")
    chosen = nodes.inline(
        "The data are " + what + " ({dataset}, revision {revision}, split {split}; licence {licence}). {n} "
        "{items}{of} were drawn with seed {seed}, before any model was run; their indices are in subset.json, "
        "with the SHA-256 {digest}\N{HORIZONTAL ELLIPSIS}.",
        name=name,
        dataset=name,
        revision=subset.get("revision") or "not stated",
        split=subset["split"],
        licence=subset.get("licence") or study["dataset"].get("licence") or "not stated",
        n=view.n,
        items=view.items,
        of=f" of {available}" if available and available > view.n else "",
        seed=subset["seed"],
        digest=subset["subset_hash"][:HASH_SHOWN],
    )
    scored = nodes.inline(SCORES[view.e.track], label=view.words.label)
    return [nodes.h("Data, prompts and decoding"), nodes.paragraph(chosen, _asked(view), scored)]


def _asked(view: View) -> list[Node]:
    study = view.e.study
    found: list[Node] = []
    if study.get("prompt"):
        found += nodes.inline(
            "The prompt is \N{LEFT DOUBLE QUOTATION MARK}{prompt}\N{RIGHT DOUBLE QUOTATION MARK}",
            prompt=nodes.shortened(study["prompt"].replace("\n", " / "), 240),
        )
        found += nodes.text(" (a slash stands for a new line). " if "\n" in study["prompt"] else ". ")
    if len(view.e.conditions) > 1:
        found += nodes.text(f"The conditions are {wording.listed(view.e.conditions)}. ")
    elif study.get("prompt"):
        found += nodes.text(f"The condition is {view.e.conditions[0]}. ")
    generation = study.get("generation") or {}
    if view.e.track in ("captioning", "vqa") and generation:
        how = (
            "sampled"
            if generation.get("do_sample")
            else "greedy"
            if generation.get("num_beams", 1) == 1
            else "by beams"
        )
        beams = f" ({generation['num_beams']} beams)" if generation.get("num_beams", 1) > 1 else ""
        found += nodes.text(f"Decoding is {how}{beams}, with at most {generation['max_new_tokens']} new tokens. ")
    if study.get("images") and view.track.IMAGES:
        found += nodes.text(
            f"Images are scaled down to at most {study['images']['max_side']} pixels on the longer side."
        )
    return found


def shared_units(views: Sequence[View]) -> list[Unit]:
    """Measuring and statistics, which are the same for all studies of the workflow."""
    return [
        Unit([nodes.h("Measuring"), *(_measuring(view, len(views) > 1) for view in views), carbon(views)]),
        tests(views),
    ]


def _measuring(view: View, several: bool) -> Node:
    measure = view.e.study["measure"]
    facts = _machine(view)
    timed = nodes.inline(
        "{what} were measured apart from the quality pass, on the same checkpoints, in a fresh process each time"
        "{repeats}: at least {warmup} to warm up, then at least {iterations} and {seconds} s over {items}, at batch "
        "{sizes}{tokens}. Medians are reported, with 95 % intervals.",
        what=f"In {view.e.name}, latency, throughput, memory and energy"
        if several
        else "Latency, throughput, memory and energy",
        repeats=f", {measure['repeats']} times over" if measure.get("repeats", 1) > 1 else "",
        warmup=nodes.count(measure["warmup"], "call"),
        iterations=nodes.count(measure["min_iterations"], "call"),
        seconds=f"{measure['min_seconds']:g}",
        items=nodes.count(measure["items"], "item"),
        sizes=f"size{'s' * (len(measure['batch_sizes']) > 1)} "
        + wording.listed([str(size) for size in measure["batch_sizes"]]),
        tokens=f", with exactly {measure['new_tokens']} new tokens" if measure.get("new_tokens") else "",
    )
    return nodes.paragraph(timed, facts)


def _machine(view: View) -> list[Node]:
    rows = [view.e.row(view.model, precision, view.condition) for precision in view.e.precisions]
    places = dict.fromkeys(
        f"{row['hardware']} ({row['device']}, {nodes.count(row['threads'], 'thread')})"
        for row in rows
        if row.get("hardware") and row.get("threads")
    )
    energies = dict.fromkeys(
        f"{row['energy_how']} ({row['energy_source']}{'; ' + row['energy_scope'] if row.get('energy_scope') else ''})"
        for row in rows
        if row.get("energy_how")
    )
    kinds = dict.fromkeys(row["peak_memory_kind"] for row in rows if row.get("peak_memory_kind"))
    found: list[str] = []
    if places:
        found.append(f"The machine was {wording.listed(list(places))}.")
    if kinds:
        found.append(f"Peak memory is the {wording.listed(list(kinds))} of the process.")
    found.append(f"Energy is {wording.listed(list(energies))}." if energies else "Energy could not be measured.")
    return nodes.text(" ".join(found))
