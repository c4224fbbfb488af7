"""A study, resolved: its file with every default filled in, every name looked up and every combination checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbudget import contracts
from bitbudget.config import sensible
from bitbudget.config.ablation import expand
from bitbudget.config.calibration import resolve_calibration
from bitbudget.config.dataset import refuse_two_readings, resolve_dataset
from bitbudget.config.precision import Beside, resolve_precision
from bitbudget.config.ready import refuse_two_meanings, resolve_ready
from bitbudget.config.report import resolve_inspection, resolve_report
from bitbudget.config.validate import check, read_yaml, schema, with_defaults
from bitbudget.errors import UserError, suggest
from bitbudget.items import answer_filter, shots
from bitbudget.models.asking import forms
from bitbudget.models.gguf_file import is_gguf
from bitbudget.registry import FAMILIES, TRACKS, module_of
from bitbudget.system.machine import Machine, look

# Names that would collide with the study's own files (DESIGN, path grammar).
RESERVED = {"images", "figures", "paper_pictures", "shots", "checkpoint", "calibration"}

Resolved = dict[str, Any]


def load_studies(
    config: dict[str, Any],
    root: Path = Path("config"),
    machine: Machine | None = None,
    tell: sensible.Tell = lambda sentence: None,
) -> dict[str, Resolved]:
    """The resolved studies that the configuration picks, by name.

    `machine` is the one that they are to run on, this one where none is given; `tell` is given sentences on what it
    decides. Raises `UserError` with one sentence for the first thing that is wrong in any file read.
    """
    machine = machine or look(sensible.packages())
    check(config, schema("config"), "config/config.yaml or --config")
    names = config["study"] if isinstance(config["study"], list) else [config["study"]]
    models = _table(root / "models.yaml", "models")
    precisions = _table(root / "precisions.yaml", "precisions")
    if sensible.AUTO in precisions:
        raise UserError(f"{root / 'precisions.yaml'}: {sensible.AUTO!r} is a reserved name; choose another.")
    datasets = _table(root / "datasets.yaml", "datasets")
    studies = {name: _resolve(name, root, models, precisions, datasets, machine, tell) for name in names}
    for study in studies.values():
        study["report"]["code_address"] = config.get("code", {}).get("address")
    refuse_two_readings(studies)
    refuse_two_meanings(studies)
    return studies


def _content(path: Path) -> Any:
    """What a file says; an empty one says nothing of any key."""
    content = read_yaml(path)
    return {} if content is None else content


def _table(path: Path, kind: str) -> dict[str, Any]:
    content, rules = _content(path), schema(kind)
    check(content, rules, str(path))
    entry = rules["additionalProperties"]
    return {name: with_defaults(value, entry) for name, value in content.items()} if kind != "precisions" else content


def _resolve(
    name: str, root: Path, models: dict, precisions: dict, datasets: dict, machine: Machine, tell: sensible.Tell
) -> Resolved:
    path = root / "studies" / f"{name}.yaml"
    if not path.exists():
        raise UserError(f"there is no study {name!r} ({path} does not exist); {suggest(name, _names(root))}")
    content, rules = _content(path), schema("study")
    check(content, rules, str(path))
    study = with_defaults(content, rules)
    if study["study"] != name:
        raise UserError(f"{path}: `study` is {study['study']!r}, and must be the file's name, {name!r}.")
    if study["track"] not in TRACKS:
        raise UserError(f"{path}: there is no track {study['track']!r}; {suggest(study['track'], list(TRACKS))}")
    track = module_of("track", study["track"])
    _conditions(study, track, str(path))
    study["dataset"] = resolve_dataset(study, datasets, str(path))
    study["models"] = {m: _model(m, study, models, str(path)) for m in study["models"]}
    stray = next((name for name in study["accept_licences"] if name not in study["models"]), None)
    if stray is not None:
        raise UserError(
            f"{path}: `accept_licences` names {stray!r}, which is no model of this study; remove it, or correct it."
        )
    study["prompt"] = _prompt(study.get("prompt", track.PROMPT), track, str(path))
    _drop_what_does_not_apply(study, content, track, str(path))
    if wrong := answer_filter.fault(study.get("answer", {})):
        raise UserError(f"{path}: `answer`: {wrong}.")
    study["primary"] = contracts.of(module_of("dataset", study["dataset"]["kind"]), "PRIMARY") or track.PRIMARY
    study["spot_check"] = study.get("spot_check", contracts.of(track, "SPOT_CHECK") or 0)
    if study["spot_check"] and contracts.of(track, "SPOT_CHECK") is None:
        raise UserError(
            f"{path}: `spot_check` shows people images and answers in words, and track {study['track']} does not have "
            "both; remove it."
        )
    _measurement(study, content, track, str(path))
    study["precisions"] = study.get("precisions", list(track.DEFAULT_PRECISIONS))
    resolve_ready(study, precisions, RESERVED, str(path))
    study["baseline"] = study.get("baseline", study["precisions"][0])
    results = root.parent / "results"
    before = sensible.begun(study, results)
    sensible.settle_baseline(study, track.RUNTIME, machine, before, str(path), tell)
    if study["baseline"] not in study["precisions"]:
        raise UserError(f"{path}: the baseline {study['baseline']!r} is not among the study's precisions; add it.")
    families = [module_of("family", entry["family"]) for entry in study["models"].values()]
    ablated = expand(study, families, str(path))
    taken = next((precision for precision in ablated if precision in precisions), None)
    if taken is not None:
        raise UserError(
            f"{path}: `ablation` adds a precision {taken!r}, which config/precisions.yaml has; rename that one."
        )
    precisions = precisions | ablated
    study["precisions"] += ablated
    autos = [sensible.AUTO] if track.RUNTIME == "transformers" else []
    for precision in study["precisions"]:
        if precision not in precisions and precision not in study["ready"]:
            raise UserError(f"{path}: there is no precision {precision!r}; {suggest(precision, [*precisions, *autos])}")
        if precision in RESERVED:
            raise UserError(f"config/precisions.yaml: {precision!r} is a reserved name; choose another.")
    study["assignments"] = {model: {} for model in study["models"]}
    beside: dict[str, str] = {}
    for model, entry in study["models"].items():
        for precision in study["precisions"]:
            place = f"{path}: `ablation`, {precision}" if precision in ablated else ""
            try:
                study["assignments"][model][precision] = resolve_precision(
                    precision, precisions, study, module_of("family", entry["family"]), model, place
                )
            except Beside as fault:
                if study["on_unusable"] == "fail":
                    raise
                beside[precision] = fault.reason
    sensible.leave_out(study, beside, machine, before, results, str(path), tell)
    resolve_calibration(study, str(path))
    resolve_inspection(study, str(path))
    resolve_report(study, _names(root), str(path))
    return study


def _names(root: Path) -> list[str]:
    """Of all study files."""
    return sorted(path.stem for path in (root / "studies").glob("*.yaml"))


def _drop_what_does_not_apply(study: Resolved, content: dict[str, Any], track: Any, where: str) -> None:
    """Take the defaults out of a study that its track has no use for; refuse them where the study sets them."""
    reasons = {} if track.PROMPT else {"answer": "whose models are asked nothing"}
    if track.IMAGES:
        reasons["last_word"] = "whose models read no passages"
    else:
        reasons["images"] = "whose models see none"
    if track.RUNTIME == "litert":
        reasons |= {
            "generation": "whose models write no text",
            "batch_size": "whose models take one image at a time",
            "device": "whose models run on the processor",
        }
        asked = next((key for key in ("max_tokens", "enlarge") if key in content.get("images", {})), None)
        if asked:
            raise UserError(
                f"{where}: `images.{asked}` has no place in the track {study['track']}, whose models are given no "
                "prompt; remove it."
            )
    else:
        reasons["detection"] = "whose models find no objects"
    for name, reason in reasons.items():
        if name in content:
            raise UserError(f"{where}: `{name}` has no place in the track {study['track']}, {reason}; remove it.")
        study.pop(name, None)
    if track.RUNTIME == "litert":
        study["device"] = "cpu"


def _measurement(study: Resolved, content: dict[str, Any], track: Any, where: str) -> None:
    """Fill in what is measured: how many new tokens, or for a detector that it is given one image at a time."""
    measure = study["measure"]
    if track.RUNTIME != "litert":
        # the decode loop needs two tokens to tell the first from those that follow
        measure.setdefault("new_tokens", max(2, study["generation"]["max_new_tokens"]))
        return
    for name in ("new_tokens", "context"):
        if name in content.get("measure", {}):
            raise UserError(f"{where}: `measure.{name}` has no place in the track {study['track']}; remove it.")
    if "batch_sizes" in content.get("measure", {}) and measure["batch_sizes"] != [1]:
        raise UserError(
            f"{where}: `measure.batch_sizes` can only be [1] in the track {study['track']}, whose models take one "
            "image at a time; remove it."
        )
    measure["batch_sizes"] = [1]


def _prompt(prompt: str | None, track: Any, where: str) -> str | None:
    """The prompt, which must hold the item's question where the track has questions, and must not elsewhere.

    None in a track whose models are asked nothing.
    """
    place = "{question}"
    if track.PROMPT is None:
        if prompt is not None:
            raise UserError(f"{where}: `prompt` has no place in this track, whose models just read on; remove it.")
        return None
    if place in track.PROMPT and place not in prompt:
        raise UserError(
            f"{where}: `prompt` does not contain {place}, so the model would never see the question; add it."
        )
    if place in prompt and place not in track.PROMPT:
        raise UserError(f"{where}: `prompt` contains {place}, but items of this track have no question; remove it.")
    return prompt


def _model(name: str, study: Resolved, models: dict[str, Any], where: str) -> dict[str, Any]:
    if name not in models:
        raise UserError(f"{where}: there is no model {name!r} in config/models.yaml; {suggest(name, list(models))}")
    if name in RESERVED:
        raise UserError(f"config/models.yaml: {name!r} is a reserved name; choose another.")
    entry = models[name] | {"family": _family(name, models[name], study)}
    if entry["family"] not in FAMILIES:
        raise UserError(
            f"config/models.yaml: model {name!r} is of family {entry['family']!r}, which does not exist; "
            f"{suggest(entry['family'], list(FAMILIES))}"
        )
    family = module_of("family", entry["family"])
    if "local" in entry:
        entry["local"] = str(Path(entry["local"]).expanduser())
    if study["track"] not in family.TRACKS:
        raise UserError(
            f"{where}: models of family {entry['family']} serve the tracks {', '.join(family.TRACKS)}, "
            f"not {study['track']}; choose another model."
        )
    if "package" in entry and "file" not in entry:
        raise UserError(
            f"config/models.yaml: model {name!r} names a `package`, and no `file` in it; add the name of its GGUF file."
        )
    if "file" in entry and not {"package", "hub"} & set(entry):
        raise UserError(
            f"config/models.yaml: model {name!r} has a `file`, which stands beside `package` or `hub`; remove it."
        )
    if wrong := _misplaced(entry, family, module_of("track", study["track"])):
        raise UserError(f"config/models.yaml: model {name!r} {wrong}.")
    if "local" in entry:
        names = ("",) if is_gguf(entry) else contracts.of(family, "LOCAL")
        _local_model(name, Path(entry["local"]), names)
    if contracts.of(family, "NEEDS_DETECTOR"):
        missing = [key for key in ("input", "outputs", "classes") if key not in entry.get("detector", {})]
        if missing:
            raise UserError(
                f"config/models.yaml: model {name!r} is of family {entry['family']}, so nothing but its `detector` "
                f"entry can say what goes in, what comes out and what labels mean; add {', '.join(missing)} there."
            )
    if entry["restricted"] and name not in study["accept_licences"]:
        raise UserError(
            f"{where}: model {name!r} stands under the restricted licence {entry['licence']}; "
            f"read it, and add `accept_licences: [{name}]` to the study if you accept its terms."
        )
    return _asked_by(name, entry, study["track"])


def _misplaced(entry: dict[str, Any], family: Any, track: Any) -> str | None:
    """What an entry says that its kind of source or the track has no use for, in a clause; None where all is of use."""
    if is_gguf(entry) and track.IMAGES:
        return "is a GGUF file, which holds a language model alone; name the original repository or folder instead"
    if "url" in entry and contracts.of(family, "SOURCE") != "tflite":
        return "has a `url`, which is for ready .tflite files alone; name a `hub` or `package`, or fetch it for `local`"
    for key in ("revision", "branch"):
        if entry[key] and "hub" not in entry:
            return f"has a `{key}`, which stands beside `hub` alone; remove it"
    if entry["sha256"] and "url" not in entry and not is_gguf(entry):
        return "has a `sha256`, which is of one file, at `url` or in GGUF; remove it"
    return None


def _asked_by(name: str, entry: dict[str, Any], track: str) -> dict[str, Any]:
    """The entry, with the prompt template of this track where it has one."""
    given = entry.get("prompt_template")
    entry = {key: value for key, value in entry.items() if key != "prompt_template"}
    template = given.get(track) if isinstance(given, dict) else given
    if template is None:
        return entry
    about = module_of("track", track)
    where = f"config/models.yaml: `prompt_template` of model {name!r}"
    if not about.IMAGES or about.PROMPT is None:
        if isinstance(given, dict):
            return entry
        raise UserError(f"{where} has no place in the track {track}, whose models are asked nothing; remove it.")
    if wrong := forms.fault(template, asks=forms.QUESTION in about.PROMPT):
        raise UserError(f"{where} {wrong}.")
    return entry | {"prompt_template": template}


def _family(name: str, entry: dict[str, Any], study: Resolved) -> str:
    """The family of a model: its own, or where it is `auto` the one that reads the parts of such models."""
    track = module_of("track", study["track"])
    if entry["family"] != "auto":
        return entry["family"]
    if track.RUNTIME == "transformers":
        return "auto-vision" if track.IMAGES else "auto-text"
    if str(entry.get("url", entry.get("local"))).endswith(".tflite"):
        return "tflite"
    known = [name for name in FAMILIES if study["track"] in module_of("family", name).TRACKS]
    raise UserError(
        f"config/models.yaml: model {name!r} names no `family`, and for the track {study['track']} it has to; add one "
        f"of {', '.join(known)}."
    )


def _local_model(name: str, path: Path, names: tuple[str, ...]) -> None:
    """Whether a local model is there: the path itself as a file (the name ""), or one of these files in it."""
    if any((path / one).is_file() for one in names):
        return
    inside = [one for one in names if one]
    lacks = f"has no {' or '.join(inside)}" if inside and path.exists() else "does not exist"
    raise UserError(
        f"config/models.yaml: model {name!r} is to come from {path}, which {lacks}; correct its `local` path."
    )


def _conditions(study: Resolved, track: Any, where: str) -> None:
    """Each condition must be one that the track knows."""
    for condition in study["conditions"]:
        if condition != "zero-shot" and not (track.FEW_SHOT and shots.number_of(condition)):
            known = "zero-shot, or a number of examples as in 4-shot" if track.FEW_SHOT else "zero-shot"
            raise UserError(f"{where}: track {study['track']} has no condition {condition!r}; choose {known}.")
