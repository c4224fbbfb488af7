# Validation of the configuration, wildcard constraints, and what input functions share. All else is in the library.
import json
import logging
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake import __version__ as SNAKEMAKE
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from bitbudget.system import machine, programs
from bitbudget.config import deployment, plan, publication, ready, sensible, spec
from bitbudget.config.dependencies import code_of, content_of
from bitbudget.config.run import (
    Lock,
    cache_variables,
    refuse_full_disk,
    refuse_future_dates,
    refuse_no_folders,
    summary_lines,
)
from bitbudget.config.study import load_studies
from bitbudget.errors import UserError, lack_in_one_sentence
from bitbudget.files import sha256_of
from bitbudget.registry import DATASETS, FAMILIES, TRACKS
from bitbudget.items.shots import number_of
from bitbudget.spot_check.folder import needed_rating_files, rating_files


def in_one_sentence(function, *arguments, **named):
    """Call a function of the library; what a user can mend becomes Snakemake's error, without a traceback."""
    try:
        return function(*arguments, **named)
    except UserError as fault:
        raise WorkflowError(str(fault)) from None
    except OSError as fault:  # a path that may not be read, or that no file system takes
        raise WorkflowError(lack_in_one_sentence(fault) or str(fault)) from None


if programs.keeps_to_ascii():
    raise WorkflowError(
        "this Python takes names of files for ASCII (PYTHONUTF8=0 under LC_ALL=C), with which Snakemake cannot run in "
        "every folder; run the same command again with PYTHONUTF8=1."
    )
logging.raiseExceptions = False  # a full disk must not hide what is said under tracebacks of Snakemake's own log file

BY_CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
# What the studies leave to the machine is decided once: what this process starts, and what parses again, has it told.
MACHINE = machine.look(() if BY_CONDA else sensible.packages())
os.environ[machine.VARIABLE] = machine.as_text(MACHINE)
REMARKS = []
STUDIES = in_one_sentence(load_studies, config, machine=MACHINE, tell=REMARKS.append)


def any_of(names):
    """A wildcard's constraint: one of these names; `(?!)` matches nothing, an empty alternative would match all."""
    return "|".join(map(re.escape, sorted(set(names)))) or "(?!)"


# Ready checkpoints by the folder that each is fetched into; and the precisions that they are, and that are made here.
CHECKPOINTS = ready.sources(STUDIES)
READY = any_of(name for s in STUDIES.values() for name in s["ready"])
MADE = any_of(p for s in STUDIES.values() for p in s["precisions"] if p not in s["ready"])


wildcard_constraints:
    study=any_of(STUDIES),
    dataset=any_of(s["dataset"]["name"] for s in STUDIES.values()),
    checkpoint=any_of(CHECKPOINTS),
    model=any_of(m for s in STUDIES.values() for m in s["models"]),
    precision=any_of(p for s in STUDIES.values() for p in s["precisions"]),
    condition=any_of(c for s in STUDIES.values() for c in s["conditions"]),
    repeat=r"[1-9]\d*",


# Every core that this run was given; `--dag` and the like are given none.
ALL_CORES = workflow.resource_settings.cores or 1

# For a user who may not write HOME, libraries keep their caches here; and every program has one locale.
CACHES = cache_variables(os.environ, Path(".snakemake/cache"))

if BY_CONDA:
    os.environ.update(deployment.FOR_CONDA | os.environ)
TENSORFLOW = deployment.tensorflow_python(Path(workflow.basedir), sys.executable, BY_CONDA)
STARTED_WITH = CACHES | programs.INHERITED | {"BITBUDGET_TENSORFLOW": TENSORFLOW}
shell.prefix(deployment.prefix(sys.executable, SNAKEMAKE, BY_CONDA, STARTED_WITH))


def spot_check(name):
    """The page that people rate answers on, and what its cards are; nothing for a study without a spot-check."""
    pages = [f"results/{name}/spot_check.{form}" for form in ("html", "json")]
    return pages if STUDIES[name]["spot_check"] else []


def ablation(name):
    """What quantizing one module group at a time tells; nothing for a study that does not ask."""
    folder = f"results/{name}"
    return (
        [f"{folder}/ablation.csv", *figures(f"{folder}/figures", ["ablation"])] if plan.ablates(STUDIES[name]) else []
    )


def figures(folder, names=plan.FIGURES):
    """Figures of a study, as svg and png; those that every track has where none are named."""
    return [f"{folder}/{name}.{form}" for name in names for form in ("svg", "png")]


def study_cells(name, tail):
    """A file of every (model, precision, condition) of a study, in its order; each once."""
    paths = [f"results/{name}/{m}/{p}/{tail.format(condition=c)}" for m, p, c in plan.cells(STUDIES[name])]
    return list(dict.fromkeys(paths))


def repeats(wildcards):
    """The records of every process that measured a precision."""
    numbers = plan.repeats(study_of(wildcards), wildcards.model, wildcards.precision)
    folder = f"results/{wildcards.study}/{wildcards.model}/{wildcards.precision}/{wildcards.condition}"
    return [f"{folder}/measurements/repeat-{number}.json" for number in numbers]


def floor_records(wildcards):
    """What a precision's speed is held against: the machine, its audit, and the baseline's operations.

    Nothing for detectors, which run without torch, whose probe it is.
    """
    study = study_of(wildcards)
    if plan.detects(study):
        return []
    folder = f"results/{wildcards.study}/{wildcards.model}"
    counted = f"{folder}/{study['baseline']}/{wildcards.condition}/flops.json"
    return [f"results/{wildcards.study}/machine.json", f"{folder}/{wildcards.precision}/audit.json", counted]


def floor_options(wildcards, input):
    """The same as a script's options."""
    return " ".join(f"{option} {path}" for option, path in zip(("--machine", "--audit", "--flops"), input.floor))


def noise_floor(name, tail):
    """A file of the baseline's second pass of every model and condition; nothing where a study wants none."""
    study = STUDIES[name]
    asked = [(m, c) for m in study["models"] for c in study["conditions"] if study["noise_floor"]]
    return [f"results/{name}/{m}/{study['baseline']}/{c}/noise_floor/{tail}" for m, c in asked]


def instances_option(wildcards, input):
    """The user's own file of the objects in the images, as a script's option; nothing where there is none."""
    return f"--instances {shlex.quote(input.instances[0])}" if input.instances else ""


def noise_floor_options(wildcards, input):
    """The same as a script's options."""
    if not input.noise_scores:
        return ""
    names = ("noise_scores", "noise_item_scores", "noise_predictions")
    return " ".join(f"--{name.replace('_', '-')} {input[name]}" for name in names)


def baseline_cells(name, tail):
    """A file of the baseline under every condition of every model."""
    study = STUDIES[name]
    return [f"results/{name}/{m}/{study['baseline']}/{c}/{tail}" for m in study["models"] for c in study["conditions"]]


def cells(tail):
    """The same of every study."""
    return [path for name in STUDIES for path in study_cells(name, tail)]


def cell_of(wildcards):
    """The model, precision and condition of a job, as far as its files are of one."""
    return {name: wildcards[name] for name in ("model", "precision", "condition") if name in wildcards.keys()}


def study_of(wildcards):
    """The study of a job, or the first with the data set or model that it is about.

    Asking for a model, precision or condition that a study does not have gives a sentence.
    """
    cell = cell_of(wildcards)
    if "study" in wildcards.keys():
        return in_one_sentence(plan.study_of, STUDIES, wildcards.study, **cell)
    if "dataset" in wildcards.keys():
        return next(s for s in STUDIES.values() if s["dataset"]["name"] == wildcards.dataset)
    return next(s for s in STUDIES.values() if wildcards.model in s["models"])


def spec_of(script, **fixed):
    """The params function of a rule: what its script is told of the study (bitbudget.config.spec), as JSON.

    `fixed` is what the rule itself says, in place of the study.
    """

    def as_json(wildcards):
        repeat = {"repeat": int(wildcards.repeat)} if "repeat" in wildcards.keys() else {}
        told = spec.of(script, study_of(wildcards), cell_of(wildcards) | repeat | fixed)
        return json.dumps(told, ensure_ascii=False)

    return as_json


# Measuring waits until every checkpoint is there and every question answered, and then goes through all precisions
# before it begins again: what can run and comes first in these runs first (measuring: 50, 49 …).
CHECKPOINTS_FIRST, ANSWERS_NEXT = 100, 75


def measuring_in_turn(wildcards):
    """The priority of a measuring job: every precision's first repeat before any second."""
    return 51 - int(wildcards.repeat)


# Studies that have images, those whose models only read, and those whose models write an answer to an image; the
# others' find objects. All but these are run by transformers.
WITH_IMAGES = any_of(name for name, s in STUDIES.items() if plan.has_images(s))
TEXT_ONLY = any_of(name for name, s in STUDIES.items() if not plan.has_images(s))
ANSWERING = any_of(name for name, s in STUDIES.items() if plan.has_images(s) and not plan.detects(s))
DETECTION = any_of(name for name, s in STUDIES.items() if plan.detects(s))
TRANSFORMERS = any_of(name for name, s in STUDIES.items() if not plan.detects(s))


def images(wildcards):
    """The record of a study's prepared images; nothing for one that has none."""
    return [f"results/{wildcards.study}/images.json"] if plan.has_images(study_of(wildcards)) else []


def choosy_families(wildcards):
    """The model families whose refusals of an image are skipped."""
    return spec.of("resize_images", study_of(wildcards), {}).get("families", [])


def images_option(wildcards, input):
    """The same as a script's option."""
    return f"--images {input.images}" if input.images else ""


def fetched_checkpoint(wildcards):
    """The folder of a ready precision's checkpoint."""
    source = study_of(wildcards)["ready"][wildcards.precision][wildcards.model]
    return f"resources/checkpoints/{source['folder']}"


def ready_file(wildcards):
    """The same for a detector, as a list; nothing for a precision that is made here."""
    return [fetched_checkpoint(wildcards)] if wildcards.precision in study_of(wildcards)["ready"] else []


def ready_option(wildcards, input):
    """The same as a script's option."""
    return f"--ready {input.ready}" if input.ready else ""


def converted_model(wildcards):
    """The folder of what TensorFlow's converter makes of a model; nothing for one that it does not convert."""
    return [f"resources/converted/{wildcards.model}"] if spec.converted(study_of(wildcards), wildcards.model) else []


def converted_precision(wildcards):
    """The same of a precision."""
    found = spec.converted(study_of(wildcards), wildcards.model, wildcards.precision)
    return [f"results/{wildcards.study}/{wildcards.model}/{wildcards.precision}/converted"] if found else []


def converted_option(wildcards, input):
    """Either as a script's option."""
    return f"--converted {input.converted}" if input.converted else ""


def calibration(wildcards):
    """What a quantization method looks at, for a precision that has such a format: texts, or items and their images."""
    study, folder = study_of(wildcards), f"results/{wildcards.study}"
    if not spec.calibrated(study, wildcards.model, wildcards.precision):
        return []
    if not plan.has_images(study):
        return [f"{folder}/calibration.jsonl"]
    return [f"{folder}/calibration/items.jsonl", f"{folder}/calibration/images.json"]


def calibration_options(wildcards, input):
    """The same as a script's options."""
    given = zip(("--calibration", "--calibration-images"), input.calibration)
    return " ".join(f"{option} {path}" for option, path in given)


def logits_again(wildcards):
    """The logits of the noise floor, and those of the first pass."""
    if not plan.compares_logits(study_of(wildcards)):
        return []
    folder = f"results/{wildcards.study}/{wildcards.model}/{wildcards.precision}/{wildcards.condition}"
    return [f"{folder}/noise_floor/logits.safetensors", f"{folder}/logits.safetensors"]


def logits(wildcards):
    """A precision's logits and, but for the baseline itself, the baseline's; nothing in a track that compares none."""
    study = study_of(wildcards)
    if not plan.compares_logits(study):
        return []
    folder, tail = f"results/{wildcards.study}/{wildcards.model}", f"{wildcards.condition}/logits.safetensors"
    return [f"{folder}/{p}/{tail}" for p in dict.fromkeys([wildcards.precision, study["baseline"]])]


def logits_options(wildcards, input):
    """The same as a script's options."""
    return " ".join(f"{option} {path}" for option, path in zip(("--logits", "--baseline-logits"), input.logits))


def paraphrases(wildcards):
    """METEOR's paraphrases, as filter_paraphrases makes them, for a study whose track uses them."""
    return [f"results/{wildcards.study}/meteor_paraphrases.gz"] if plan.uses_paraphrases(study_of(wildcards)) else []


def paraphrases_option(wildcards, input):
    """The same as a script's option."""
    return f"--paraphrases {input.paraphrases}" if input.paraphrases else ""


def human(wildcards):
    """What people think of the answers, as read_ratings makes it; nothing before anybody has rated."""
    rated = rating_files(wildcards.study) and study_of(wildcards)["spot_check"]
    return [f"results/{wildcards.study}/human.json"] if rated else []


def human_option(wildcards, input):
    """The same as a script's option."""
    return f"--human {input.human}" if input.human else ""


def shots(wildcards):
    """The examples of a few-shot condition; nothing for another."""
    folder = f"results/{wildcards.study}/shots/{wildcards.condition}"
    return [f"{folder}/shots.jsonl", f"{folder}/images.json"] if number_of(wildcards.condition) else []


def shots_options(wildcards, input):
    """The same as a script's options."""
    return "--shots {} --shot-images {}".format(*input.shots) if input.shots else ""


def rerunning(wildcards, threads):
    """The command that reruns every study picked."""
    options = [f"--snakemake-options={shlex.join(deployment.options(workflow.deployment_settings))}"]
    for name, study in STUDIES.items():
        options += ["--study", name, "--spec", json.dumps(spec.of("reproduce_study", study, {}))]
    return shlex.join([sys.executable, "workflow/scripts/reproduce_study.py", "--cores", str(threads), *options])


def model_code(script):
    """The params function of a rule's code: its script, and its job's family and formats, with all they import."""

    def digest(wildcards):
        return code_of(script, plan.modules(study_of(wildcards), wildcards.model, wildcards.precision))

    return digest


def telling_code(script, wildcards):
    """The digest of a script that tells of one study: its track's code, and the words of all that it is about."""
    study = study_of(wildcards)
    return code_of(script, [TRACKS[study["track"]]], publication.speaking_modules([study]))


def inspecting_code(script, wildcards):
    """The same of one that needs to know what may be published."""
    study = study_of(wildcards)
    return code_of(script, [TRACKS[study["track"]]], publication.inspected_modules(study))


LOCK = Lock(Path(".snakemake/bitbudget.lock"))


def hold_the_folder():
    """Two runs in one folder would write the same files; the hold ends with this process, however it ends."""
    in_one_sentence(refuse_no_folders, Path("."))
    in_one_sentence(refuse_full_disk, Path.cwd())
    in_one_sentence(LOCK.hold)


def look_at_the_dates():
    """What the jobs of this run are to read is not of the future."""
    in_one_sentence(refuse_future_dates, {str(path) for job in workflow.dag.needrun_jobs() for path in job.input})


def say_what_the_machine_decided():
    """Which baseline was taken and why, what is left out, and what is slow here."""
    for remark in REMARKS:
        print(remark, file=sys.stderr)


def say_where_results_are():
    """The last lines of a run; what was reproduced is said by the rerun itself, and should stay in sight."""
    if "reproduce" in workflow.dag_settings.targets:
        return
    for line in summary_lines(STUDIES):
        print(line, file=sys.stderr)
