"""What a script is told of a study beside its files: the keys of its `--spec`, which it names at its top as SPEC.

A rule works these out of its study and job, and hands them over as JSON. Snakemake reruns a job when they change, so a
script names what it reads and no more: another prompt does not quantize again, another description predicts nothing.
Nothing in this module is part of a script's code (see `dependencies`): what it makes is seen in a job's parameters.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bitbudget import contracts, registry
from bitbudget.errors import UserError, suggest
from bitbudget.items.shots import number_of
from bitbudget.judging.comparison_kinds import OTHER_THREADS, other_number

SCRIPTS = Path(__file__).parents[2]
Study = dict[str, Any]
Job = dict[str, Any]  # its model, precision, condition and repeat, as far as it has them, and what its rule says itself


@dataclass(frozen=True)
class Key:
    """What a key of `--spec` means, and where its value comes from.

    `at` is a place in the resolved study, `{model}` standing for the job's, or a function of study and job; by default
    it is the key itself. An optional key is left out where this gives nothing.
    """

    help: str
    at: str | Callable[[Study, Job], Any] | None = None
    optional: bool = False


def simulated(study: Study, job: Job) -> list[str]:
    """The simulated formats of a job's precision; none where size and speed can be measured."""
    formats = dict.fromkeys(spec["format"] for spec in study["assignments"][job["model"]][job["precision"]].values())
    return [name for name in formats if registry.format_of(name).simulated]


def calibrated(study: Study, model: str, precision: str) -> bool:
    """Whether a format of this precision needs something to calibrate on."""
    return any(
        registry.format_of(spec["format"]).calibrated for spec in study["assignments"][model][precision].values()
    )


def converted(study: Study, model: str, precision: str | None = None) -> bool:
    """Whether TensorFlow's converter makes the file of this precision, or where none is named that of the model."""
    if precision is None:
        return contracts.of(registry.module_of("family", study["models"][model]["family"]), "SOURCE") == "saved-model"
    return any(registry.format_of(spec["format"]).made_of for spec in study["assignments"][model][precision].values())


def _dtype(study: Study, job: Job) -> str:
    precisions = study["assignments"][job["model"]]
    names = [spec["format"] for name in (job["precision"], study["baseline"]) for spec in precisions[name].values()]
    return next((name for name in names if registry.format_of(name).is_float), "auto")


def _choosy(study: Study, job: Job) -> list[str] | None:
    families = sorted({entry["family"] for entry in study["models"].values()})
    skips = job.get("on_corrupt", study["images"]["on_corrupt"]) == "skip"
    return [
        name for name in families if skips and contracts.of(registry.module_of("family", name), "image_refusal")
    ] or None


def _calibration_asked(study: Study, job: Job) -> dict[str, Any] | None:
    """Another prompt quantizes again what was calibrated with it, and nothing else."""
    if not (registry.module_of("track", study["track"]).IMAGES and calibrated(study, job["model"], job["precision"])):
        return None
    images, entry = study["images"], study["models"][job["model"]]
    return {key: images.get(key) for key in ("max_side", "max_tokens", "enlarge")} | {
        "prompt": study["prompt"], "prompt_template": entry.get("prompt_template"), "track": study["track"],
    }  # fmt: skip


def _made(study: Study, job: Job) -> dict[str, Any] | None:
    return next(iter(study["assignments"][job["model"]][job["precision"]].values())) if "precision" in job else None


def _batch_size(study: Study, job: Job) -> int:
    return other_number(study["batch_size"]) if job.get("again") else study["batch_size"]


def _primary_range(study: Study, job: Job) -> Any:
    return registry.module_of("track", study["track"]).METRICS[study["primary"]].get("range")


def _without(name: str, *left_out: str) -> Callable[[Study, Job], dict[str, Any]]:
    return lambda study, job: {key: value for key, value in _at(study, name, job).items() if key not in left_out}


def _other_threads(study: Study) -> bool:
    return study["noise_floor"] == OTHER_THREADS


KEYS = {
    # which study, and which of its jobs
    "study": Key("name of the study"),
    "seed": Key("number that fixes all that is drawn by chance"),
    "model": Key("name of the model"),
    "precision": Key("name of the precision"),
    "condition": Key("how the model is prompted: zero-shot, 4-shot …"),
    "repeat": Key("number of this process among those that measure the same, from 1"),
    "again": Key("true for the baseline's second pass, the noise floor: the items in another order", optional=True),
    "other_threads": Key(
        "true for a second pass with another number of threads",
        lambda study, job: True if job.get("again") and _other_threads(study) else None,
        optional=True,
    ),
    # all that a study compares
    "track": Key("captioning, vqa, lambada or detection"),
    "primary": Key("metric that the study goes by"),
    "primary_range": Key("lowest and highest value of this metric for one answer, or null", _primary_range),
    "models": Key("names of the models, in the study's order", lambda study, job: list(study["models"])),
    "precisions": Key("names of the precisions, in the study's order"),
    "conditions": Key("names of the conditions, in the study's order"),
    "baseline": Key("precision that the others are compared with"),
    "second_pass": Key("whether the baseline was asked a second time", lambda study, job: bool(study["noise_floor"])),
    "machine": Key(
        "what the machine decided: its title, remarks, and the precisions that are left_out, with reasons",
        optional=True,
    ),
    "noise_floor": Key(
        f"`{OTHER_THREADS}` where that second pass has another number of threads",
        lambda study, job: OTHER_THREADS if _other_threads(study) else None,
        optional=True,
    ),
    "accept": Key("when a precision is good enough, and which of those is recommended"),
    "demo": Key("whether this project made the study's inputs and models"),
    "note": Key(
        "what stands under the figures",
        lambda study, job: f"demo study: {study['description']}" if study["demo"] else study["description"],
    ),
    "ablation.format": Key("format in which one module group at a time is held"),
    "ablation.groups": Key("the group that each precision quantizes, or every-group", "ablation.precisions"),
    # the data set, its items and images
    "dataset": Key("name of the data set", "dataset.name"),
    "kind": Key("reader of the data set", "dataset.kind"),
    "options": Key("options of this reader", "dataset.options"),
    "licence": Key("the data set's licence, where its source does not tell it", "dataset.licence", optional=True),
    "split": Key("split that is evaluated", "dataset.split"),
    "subset": Key('number of items, "all", or {"ids": file}', "dataset.subset"),
    "shots_split": Key("split that examples are taken from", "dataset.shots_split"),
    "shots": Key("number of examples before each item", lambda study, job: number_of(job["condition"])),
    "at_most": Key("images that are downloaded at a time", "images.downloads"),
    "max_side": Key("pixels of an image's longest side, at most", "images.max_side", optional=True),
    "images.max_tokens": Key("tokens that an image takes in a prompt, at most; null: no bound", optional=True),
    "images.enlarge": Key("whether a processor may give a small picture more tiles than it fits into", optional=True),
    "on_corrupt": Key("`fail` or `skip`, for an image that cannot be read", "images.on_corrupt"),
    "remedy": Key("what to do about such an image, for the error", optional=True),
    "families": Key("model families that do not take every image, whose refusals are skipped", _choosy, optional=True),
    "calibration.split": Key("split that calibration takes from", "quantization.calibration.split"),
    "calibration.items": Key("number of texts or images to calibrate on", "quantization.calibration.items"),
    "calibration.file": Key("the user's own file of texts, or null", "quantization.calibration.file"),
    "calibration.asked": Key(
        "how the model is asked about each calibration image (prompt, prompt_template, track, max_side, max_tokens, "
        "enlarge); only for a precision that calibrates",
        _calibration_asked,
        optional=True,
    ),
    # the model and how it is held
    "entry": Key(
        "the model in config/models.yaml, without `detector`, `gigabytes` and `prompt_template`: family, hub …",
        _without("models.{model}", "detector", "gigabytes", "prompt_template"),
    ),
    "templated": Key(
        "whether config/models.yaml says how the model is asked",
        lambda study, job: "prompt_template" in study["models"][job["model"]],
    ),
    "source": Key("where a ready checkpoint comes from: hub, local or url, revision, licence, and the model's family"),
    "family": Key("adapter that knows the model's parts", "models.{model}.family"),
    "detector": Key("what a detector's file takes in and gives out", "models.{model}.detector", optional=True),
    "assignment": Key("format of every module group, with its options", "assignments.{model}.{precision}"),
    "made": Key("format that TensorFlow's converter is to make, with its options; null for plain float32", _made),
    "formats": Key(
        "names of the formats of every model's precisions, by module group",
        lambda study, job: {
            model: {
                precision: {group: one["format"] for group, one in groups.items()}
                for precision, groups in precisions.items()
            }
            for model, precisions in study["assignments"].items()
        },
        optional=True,
    ),
    "least_coverage": Key(
        "least share of the weights that a precision names which its formats must reach", "quantization.least_coverage"
    ),
    "dtype": Key(
        "float format that the model computes in beside quantized layers; auto for a ready checkpoint's own", _dtype
    ),
    "simulated": Key("those of its formats that are simulated, and not to be measured", simulated),
    # how it is asked, run and measured
    "device": Key("auto, cpu or cuda"),
    "prompt": Key("what the model is asked, {question} standing for the item's"),
    "answer": Key("what counts of an answer when it is scored", optional=True),
    "prompt_template": Key(
        "text around what is asked, in place of the model's chat template",
        "models.{model}.prompt_template",
        optional=True,
    ),
    "generation": Key("how answers are decoded"),
    "generation.num_beams": Key("beams of the search for an answer"),
    "bos": Key("whether passages begin with the tokenizer's first token", "last_word.bos", optional=True),
    "top_k": Key("numbers k of the top-k accuracies of last words", "last_word.top_k", optional=True),
    "detection.threads": Key("threads of a detector, or null for as many as OMP_NUM_THREADS says"),
    "detection.score_threshold": Key("score that boxes must have where a detector's speed is measured"),
    "batch_size": Key("items in one batch", _batch_size),
    "shard_size": Key("items after which answers are kept safe on disk"),
    "measure": Key("how one process measures", _without("measure", "repeats")),
    "measure.busy_gpu": Key("`refuse` or `warn`, where another process computes on the GPU"),
    "measure.items": Key("number of items that are measured"),
    "measure.new_tokens": Key("number of tokens in each measured answer"),
    "carbon": Key("where the energy comes from, for all of the table"),
    "carbon.country": Key("country whose electricity is used, ISO 3166-1 alpha-3"),
    "carbon.pue": Key("power usage effectiveness of the place"),
    "carbon.intensity": Key("g CO2e per kWh, or null for the country's"),
    # what is inspected, rated and published
    "spot_check": Key("number of items on the page for people to rate; 0 makes none"),
    "inspection.redact": Key("whether personal strings are replaced"),
    "inspection.phone_region": Key("country whose telephone numbers are looked for"),
    "with": Key("other studies that the report tells of", "report.with"),
    "report.title": Key("title, or null for the study's own"),
    "report.authors": Key("authors: name, affiliation and email of each"),
    "report.template": Key("the user's own Typst template of the paper, or null"),
    "report.code_address": Key("web address of the code, or null"),
    "report.examples": Key("number of items on the results page"),
}


def of(script: str, study: Study, job: Job) -> dict[str, Any]:
    """The `--spec` of a script: each of its keys for this study and job; what is optional may be left out."""
    found: dict[str, Any] = {}
    for name in keys_of(script):
        value = _value(name, study, job)
        if value is None and KEYS[name].optional:
            continue
        *parents, last = name.split(".")
        inner = found
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return found


@cache
def keys_of(script: str) -> tuple[str, ...]:
    """The keys that a script names as SPEC, read from its file: importing it could import torch."""
    for node in ast.parse((SCRIPTS / f"{script}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["SPEC"]:
            return ast.literal_eval(node.value)
    raise ValueError(f"{script}.py is told of the study, and names no keys as SPEC")


def add_option(parser: argparse.ArgumentParser, keys: Sequence[str], action: str) -> None:
    """Add `--spec` to a script's parser; its help says what each key means."""
    told = [f"{name}: {KEYS[name].help}{'; may be left out' if KEYS[name].optional else ''}" for name in keys]
    lines = ["what the script needs to know of the study, as JSON with the keys", *told]
    parser.add_argument(
        "--spec",
        type=lambda text: _parsed(text, keys),
        action=action,
        required=True,
        default=argparse.SUPPRESS,
        metavar="JSON",
        help="\n".join(lines).replace("%", "%%"),
    )


def _parsed(text: str, keys: Sequence[str]) -> dict[str, Any]:
    """Raises `UserError` for what is no JSON, and for a key that is unknown or missing."""
    try:
        given = json.loads(text)
    except json.JSONDecodeError as fault:
        raise UserError(f"--spec is not JSON ({fault}): {text[:80]}") from fault
    if not isinstance(given, dict):
        raise UserError(f'--spec is no JSON object, {{"key": value, …}}: {text[:80]}')
    named = set(_named(given, keys))
    unknown = next((name for name in named if name not in keys), None)
    if unknown is not None:
        raise UserError(f"--spec has a key `{unknown}`, which this script does not read; {suggest(unknown, keys)}")
    missing = [name for name in keys if name not in named and not KEYS[name].optional]
    if missing:
        more = "" if len(missing) == 1 else f"; missing are {', '.join(missing)}"
        raise UserError(f"--spec lacks the key `{missing[0]}` ({KEYS[missing[0]].help}){more}.")
    return given


def _named(given: dict[str, Any], keys: Collection[str], above: str = "") -> Iterator[str]:
    """The keys that are given, `measure.items` for one inside `measure` where `measure` is no key itself."""
    for last, value in given.items():
        name = above + last
        inside = name not in keys and isinstance(value, dict) and any(key.startswith(f"{name}.") for key in keys)
        yield from _named(value, keys, f"{name}.") if inside else [name]


def _value(name: str, study: Study, job: Job) -> Any:
    """A key's value; what the job's rule says by itself stands before what the study says."""
    key = KEYS[name]
    if name in job:
        return job[name]
    return key.at(study, job) if callable(key.at) else _at(study, key.at or name, job, optional=key.optional)


def _at(study: Study, place: str, job: Job, optional: bool = False) -> Any:
    """What stands at a place in the study; None where an optional one is not there."""
    value: Any = study
    for part in place.split("."):
        name = part.format(**job) if part.startswith("{") else part
        if optional and name not in value:
            return None
        value = value[name]
    return value
