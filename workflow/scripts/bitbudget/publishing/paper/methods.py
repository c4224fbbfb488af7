"""How the numbers came about: models, formats as audited, data, prompts, measuring and statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bitbudget import registry
from bitbudget.publishing.paper import nodes
from bitbudget.publishing.paper.nodes import Node, Unit
from bitbudget.publishing.paper.statistics import carbon, tests
from bitbudget.publishing.paper.view import View
from bitbudget.telling import asked, wording

HASH_SHOWN, REVISION_SHOWN = 16, 12  # hexadecimal digits
NEW_LINE = "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"
# What may have been measured: its name and the first letters of its columns in the summary.
MEASURED = (
    ("latency", "latency_median"),
    ("throughput", ("throughput_batch", "tokens_per_s")),
    ("memory", ("peak_memory_MB", "weights_in_memory")),
    ("energy", "energy_per_item_J"),
)


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
        named = about.get("family", "")
        family = registry.module_of("family", named).ABOUT if named in registry.FAMILIES else "{family}"
        revision = known.get("revision")
        where = known.get("source") or about.get("hub") or about.get("local") or about.get("url") or "an unnamed source"
        said.append(
            nodes.inline(
                "The architecture of {name} is " + family + " (from {where}{at}; licence {licence}).",
                name=name,
                model_type=known.get("model_type") or "class",
                family=about.get("family") or "the one that its file names",
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
    return [*lines, nodes.paragraph(*said, facts, nodes.text(_regime(view)), audited)]


def _regime(view: View) -> str:
    """That nothing is trained, and what is done to the weights instead."""
    demo = "The demo models were" if len(view.e.models) > 1 else "The demo model was"
    own = f"{demo} trained beforehand by the project's own recipe. " if view.e.demo else ""
    if not view.others:
        return f"{own}Nothing is trained here: the checkpoint is used as it is, for inference only."
    ready = [name for name in view.e.precisions if name in view.e.study.get("ready", {})]
    taken = f" Taken as published: {wording.listed(ready)}." if ready else ""
    if all(name in ready for name in view.others):
        return f"{own}Nothing is trained or quantized here.{taken}"
    calibrated = [name for name in view.formats if registry.format_of(name).calibrated]
    look = f"; only {wording.listed(calibrated)} look{'s' * (len(calibrated) == 1)} at data, to choose how to round"
    return (
        f"{own}Nothing is trained here: every {'other ' if taken else ''}precision is made of the same checkpoint by "
        "post-training quantization, without any gradient step, and used for inference only"
        f"{look if calibrated else ''}.{taken}"
    )


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
        "scales.{rest}{more}",
        rest=" \N{LEFT DOUBLE QUOTATION MARK}(rest)\N{RIGHT DOUBLE QUOTATION MARK} is what a group holds beside its "
        "parts."
        if any(_has_rest(view.e.audits[view.model, precision]["groups"]) for precision in view.e.precisions)
        else "",
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


def _has_rest(groups: Mapping[str, Any]) -> bool:
    """Whether a group with weights has parts that are told by themselves."""
    return any(
        about["bytes"] and any(name.startswith(f"{group}.") for name in groups) for group, about in groups.items()
    )


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
    what = view.dataset.ABOUT
    chosen = nodes.inline(
        "The data are " + what + " ({dataset}, revision {revision}, split {split}; licence {licence}). {drawn}; their "
        "indices are in subset.json, with the SHA-256 {digest}\N{HORIZONTAL ELLIPSIS}.",
        name=name,
        dataset=name,
        revision=subset.get("revision") or "not stated",
        split=subset["split"],
        licence=subset.get("licence") or study["dataset"].get("licence") or "not stated",
        drawn=_drawn(view),
        digest=subset["subset_hash"][:HASH_SHOWN],
    )
    cited = view.says("METRICS")[view.e.primary].get("cited", view.words.label)
    words = view.says("SCORED").replace("{cited}", cited).replace("{beside}", _beside(view))
    scored = nodes.inline(words)
    return [
        nodes.h("Data, prompts and decoding"),
        nodes.paragraph(
            chosen, *map(nodes.text, filter(None, (*view.e.prepared, _calibrated(view), _asked(view)))), scored
        ),
    ]


def _drawn(view: View) -> str:
    """How the items were chosen: by the seed, by a file, or not at all."""
    asked, available = view.e.study["dataset"]["subset"], view.e.subset.get("n_available")
    chosen = view.e.chosen
    verb = "was" if chosen == 1 else "were"
    if isinstance(asked, dict):
        return (
            f"{view.words.counted(chosen)} {verb} chosen by the study's file {asked['ids']}, before any model was run"
        )
    if asked == "all" or available == chosen:
        return f"All {chosen} {view.words.items} of the split {'are evaluated' if chosen == view.n else 'were chosen'}"
    of = f" of {available}" if available and available > chosen else ""
    seed = view.e.subset["seed"]
    return f"{view.words.counted(chosen)}{of} {verb} drawn with seed {seed}, before any model was run"


def _beside(view: View) -> str:
    """The metrics that were computed beside the primary one, with the works that define them."""
    metrics = view.e.scores[view.model, view.e.baseline, view.condition]["metrics"]
    own = view.says("METRICS")[view.e.primary].get("cited")
    there = [view.says("METRICS")[name].get("cited") for name, metric in metrics.items() if "value" in metric]
    names = [cited for cited in dict.fromkeys(there) if cited and cited != own]
    return f", and beside it by {wording.listed(names)}" if names else ""


def _calibrated(view: View) -> str:
    """What formats were calibrated on, where one needs it."""
    formats = [name for name in view.formats if registry.format_of(name).calibrated]
    if not formats:
        return ""
    wanted = view.e.study["quantization"]["calibration"]
    what = "image" if view.says("IMAGES") else "text"
    asked = ", with the prompt and a reference answer beside each" if what == "image" and view.says("PROMPT") else ""
    split = wanted.get("split") or view.e.study["dataset"]["split"]
    of = f"of the file {wanted['file']}" if wanted.get("file") else f"of the split {split}"
    apart = "" if wanted.get("file") else ", none of which is evaluated"
    was = "was" if len(formats) == 1 else "were"
    return f"{wording.listed(formats)} {was} calibrated on {nodes.count(wanted['items'], what)} {of}{apart}{asked}."


def _asked(view: View) -> str:
    study = view.e.study
    found = ""
    if study.get("prompt"):
        shown = nodes.shortened(study["prompt"].strip().replace("\n", f" {NEW_LINE} "), 240)
        found += f"The prompt is {nodes.quoted(shown)}"
        end = " " if shown.endswith((".", "?", "!")) else ". "
        found += f" ({NEW_LINE} stands for a line break). " if NEW_LINE in shown else end
    if len(view.e.conditions) > 1:
        found += f"The conditions are {wording.listed(view.e.conditions)}. "
    elif study.get("prompt"):
        found += f"The condition is {view.e.conditions[0]}. "
    found += _shots(view)
    generation = study.get("generation") or {}
    if view.says("PROMPT") and generation:
        how = (
            "sampled"
            if generation.get("do_sample")
            else "greedy"
            if generation.get("num_beams", 1) == 1
            else "by beams"
        )
        beams = f" ({generation['num_beams']} beams)" if generation.get("num_beams", 1) > 1 else ""
        found += f"Decoding is {how}{beams}, with at most {generation['max_new_tokens']} new tokens. "
    if study.get("images") and view.track.IMAGES:
        found += f"Images are scaled down to at most {study['images']['max_side']} pixels on the longer side. "
    record = view.e.predictions[view.model, view.e.baseline, view.e.conditions[0]]
    found += " ".join(asked.sentences(study, record))
    return found.strip()


def _shots(view: View) -> str:
    """How many examples each condition shows, and where they come from."""
    counts = {name: len(view.e.predictions[view.model, view.e.baseline, name]["shots"]) for name in view.e.conditions}
    shown = {name: count for name, count in counts.items() if count}
    if not shown:
        return ""
    data = view.e.study["dataset"]
    split = data.get("shots_split") or data["split"]
    told = wording.listed([f"{nodes.count(count, 'example')} ({name})" for name, count in shown.items()])
    other = ", none of which is evaluated" if split != data["split"] else ""
    return f"Before the question the model sees {told} of the split {split}{other}, the same for all precisions. "


def shared_units(views: Sequence[View]) -> list[Unit]:
    """Measuring and statistics, which are the same for all studies of the workflow."""
    return [
        Unit([nodes.h("Measuring"), _measuring(views), carbon(views)]),
        tests(views),
    ]


def _measuring(views: Sequence[View]) -> Node:
    """What was measured and how; what is the same of several studies is said once, with their names."""
    what = [name for name, start in MEASURED if any(_has(view, start) for view in views)]
    if not what:
        return nodes.p("Neither speed nor memory nor energy could be measured.")
    common = nodes.text(
        f"{nodes.capital(wording.listed(what))} {'was' if len(what) == 1 else 'were'} measured apart from the quality "
        "pass, on the same checkpoints, in a fresh process each time. Medians are reported, with 95 % intervals where "
        "there are calls enough."
    )
    pieces = [*_alike(views, lambda view: nodes.text(_calls(view))), *_alike(views, _machine)]
    return nodes.paragraph(common, *pieces)


def _alike(views: Sequence[View], of: Callable[[View], list[Node]]) -> list[list[Node]]:
    """What is said of each study, once where it is the same, and with their names where it is not."""
    found: list[tuple[list[Node], list[str]]] = []
    for view in views:
        said = of(view)
        names = next((names for other, names in found if other == said), None)
        if names is None:
            found.append((said, [view.e.name]))
        else:
            names.append(view.e.name)
    if len(found) == 1:
        return [found[0][0]]
    return [[*nodes.text(f"In {wording.listed(names)}, {_small(said[0]['text'])}"), *said[1:]] for said, names in found]


def _small(said: str) -> str:
    """The beginning of a sentence within one."""
    return said[:1].lower() + said[1:]


def _has(view: View, start: str | tuple[str, ...]) -> bool:
    return any(value is not None for row in view.e.summary for key, value in row.items() if key.startswith(start))


def _calls(view: View) -> str:
    measure = view.e.study["measure"]
    repeats = f"{nodes.number_word(measure['repeats'])} times over, " if measure.get("repeats", 1) > 1 else ""
    sizes = wording.listed([str(size) for size in measure["batch_sizes"]])
    tokens = f", with exactly {measure['new_tokens']} new tokens" if measure.get("new_tokens") else ""
    several = "s" * (len(measure["batch_sizes"]) > 1)
    said = (
        f"{repeats}at least {nodes.count(measure['warmup'], 'call')} warmed up, then at least "
        f"{nodes.count(measure['min_iterations'], 'call')} and {measure['min_seconds']:g} s were timed over "
        f"{nodes.count(measure['items'], 'item')}, at batch size{several} {sizes}{tokens}."
    )
    return nodes.capital(said)


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
        found.append("The machine was {places}.")
    if kinds:
        found.append("Peak memory is the {kinds} of the process.")
    cited = " [@codecarbon]" if any(row.get("energy_source") == "codecarbon" for row in rows) else ""
    found.append(f"Energy is {{energies}}{cited}." if energies else "Energy could not be measured.")
    values = {"places": places, "kinds": kinds, "energies": energies}
    return nodes.inline(" ".join(found), **{name: wording.listed(list(value)) for name, value in values.items()})
