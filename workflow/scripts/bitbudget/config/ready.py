"""Ready checkpoints as precisions: `{name, checkpoint}` in a study, taken as somebody else made them.

In the resolved study such a precision is a name like any other; `ready` says by name and model where its checkpoint
comes from, and under which name in resources/checkpoints/ it lies.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bitbudget.errors import UserError, suggest
from bitbudget.registry import module_of

Study = dict[str, Any]

# owner/name on the Hub, and perhaps @ with a commit, a tag or a branch
REPOSITORY = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
# a GGUF file of such a repository
FILE_IN_REPOSITORY = re.compile(REPOSITORY.pattern + r":([\w./-]+\.gguf)")
AUTO = "auto"  # stands for the float format that the machine decides (`sensible`)
AS_IS = {"transformers": "as-is", "litert": "litert-as-is"}  # by runtime: the format that says nothing of itself
GGUF_AS_IS = "gguf-as-is"


def resolve_ready(study: Study, precisions: Collection[str], reserved: Collection[str], where: str) -> None:
    """Make names of the study's ready precisions, and tell in `ready` where each model's checkpoint comes from.

    `precisions` are those of config/precisions.yaml. Raises `UserError` that begins with `where`, the study's file, for
    a name that is taken, and for a checkpoint that is not there or does not say whose it is.
    """
    given = [one for one in study["precisions"] if isinstance(one, dict)]
    study["precisions"] = [one["name"] if isinstance(one, dict) else one for one in study["precisions"]]
    study["ready"] = {}
    for one in given:
        name = one["name"]
        if name in precisions or study["precisions"].count(name) > 1:
            place = "config/precisions.yaml has" if name in precisions else "stands in `precisions` twice"
            raise UserError(f"{where}: the ready precision needs a name of its own, and {name!r} {place}; rename it.")
        if name in reserved or name == AUTO:
            raise UserError(f"{where}: {name!r} is a reserved name; choose another for this precision.")
        study["ready"][name] = {
            model: _source(text, study, one.get("licence"), f"{where}: the checkpoint of {name}")
            for model, text in _by_model(one["checkpoint"], study, f"{where}: the checkpoint of {name}").items()
        }


def _by_model(given: str | Mapping[str, str], study: Study, what: str) -> Mapping[str, str]:
    models = list(study["models"])
    if isinstance(given, str):
        if len(models) > 1:
            raise UserError(
                f"{what} is one, and the study has the models {', '.join(models)}; name one of each, as in "
                f"`checkpoint: {{{models[0]}: {given}, …}}`."
            )
        return {models[0]: given}
    stray = next((model for model in given if model not in models), None)
    if stray is not None:
        raise UserError(f"{what} names {stray!r}, which is no model of this study; {suggest(stray, models)}")
    missing = next((model for model in models if model not in given), None)
    if missing is not None:
        raise UserError(f"{what} is missing for the model {missing}; name it, or compare {missing} in its own study.")
    return given


def _source(text: str, study: Study, licence: str | None, what: str) -> dict[str, Any]:
    """Where a checkpoint comes from, in the words of an entry of config/models.yaml, and its `folder`."""
    is_file = module_of("track", study["track"]).RUNTIME == "litert"
    told = {"licence": licence or "as its source says", "checkpoint": text, "file": is_file}
    if is_file and text.startswith("https://"):
        return {"url": text, "folder": _folder(text)} | told
    if not is_file and text.endswith(".gguf"):
        return _gguf_file(text, what) | told
    path = Path(text).expanduser()
    if is_file or path.exists() or text.startswith((".", "/", "~")):
        if not is_file and path.is_file():
            raise UserError(
                f"{what} is to come from {text}, which is a file, and no folder with config.json and weights; name "
                "such a folder, or a .gguf file."
            )
        if not (path.is_file() if is_file else (path / "config.json").is_file()):
            lacks = "is no .tflite file" if is_file else "has no config.json" if path.exists() else "does not exist"
            raise UserError(f"{what} is to come from {text}, which {lacks}; correct the path.")
        return {"local": str(path), "folder": _folder(text)} | told
    found = REPOSITORY.fullmatch(text)
    if not found:
        raise UserError(f"{what} is {text!r}, which is no folder, and no `org/name` of the Hub; correct it.")
    if found[1].lower().endswith("-gguf"):
        raise UserError(f"{what} is {text!r}, which has GGUF files, and names none of them; write `{text}:file.gguf`.")
    return {"hub": found[1], "revision": found[2] or "", "folder": _folder(text)} | told


def _gguf_file(text: str, what: str) -> dict[str, Any]:
    """The same of a GGUF file, whose name is under `gguf`: one on this disk, or `org/name:file.gguf` on the Hub."""
    path, found = Path(text).expanduser(), FILE_IN_REPOSITORY.fullmatch(text)
    if path.is_file():
        return {"local": str(path), "gguf": path.name, "folder": _folder(text)}
    if not found:
        raise UserError(
            f"{what} is to come from {text}, which does not exist; correct the path, or name a file of the Hub as "
            f"`org/name:{path.name}`."
        )
    return {"hub": found[1], "revision": found[2] or "", "gguf": found[3], "folder": _folder(text)}


def _folder(text: str) -> str:
    """A folder's name for a checkpoint: readable, and another for every other one."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "--", text).strip(".-")[-60:]
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def refuse_two_meanings(studies: Mapping[str, Study]) -> None:
    """Raise `UserError` where one name is a ready precision in one of these studies and a made one in another."""
    ready = {name: study["study"] for study in studies.values() for name in study["ready"]}
    for study in studies.values():
        for name in study["precisions"]:
            if name in ready and name not in study["ready"]:
                raise UserError(
                    f"{name!r} is a ready checkpoint in the study {ready[name]}, and not in {study['study']}: "
                    "rename one of them, or run these studies one after the other."
                )


def sources(studies: Mapping[str, Study]) -> dict[str, dict[str, Any]]:
    """Where the checkpoints of all ready precisions come from, by their folder, with the model's family."""
    return {
        source["folder"]: source | {"family": "tflite" if source["file"] else study["models"][model]["family"]}
        for study in studies.values()
        for by_model in study["ready"].values()
        for model, source in by_model.items()
    }


def as_is(study: Study, precision: str, model: str) -> dict[str, Any]:
    """The format of what a ready precision's checkpoint holds; it names this, so that paper and page do."""
    source = study["ready"][precision][model]
    name = GGUF_AS_IS if "gguf" in source else AS_IS[module_of("track", study["track"]).RUNTIME]
    return {"format": name, "checkpoint": source["checkpoint"]}
